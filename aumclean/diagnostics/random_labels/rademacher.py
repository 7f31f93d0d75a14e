"""How well random signs are fitted: an estimate of the empirical Rademacher complexity, Zhang et al. 2017, section 2.2.

The complexity of functions h with values in -1..1 on n images is the mean, over random signs s, of the largest mean of
s_i h(x_i). Training on the signs as two classes finds one h, so that its mean is a bound from below. 1 says that the
network can take either label on every image, and that bounds of generalisation resting on this complexity say nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from aumclean.config.recipe import Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.diagnostics.figures import Figure, Line, Panel
from aumclean.diagnostics.random_labels.fitting import Case, fit_case
from aumclean.diagnostics.random_labels.presets import DECAY, about, cannot, open_cropped, recipes, without_test
from aumclean.diagnostics.random_labels.record import Complexity
from aumclean.diagnostics.report import Report, Table
from aumclean.diagnostics.store import Store
from aumclean.diagnostics.study import Options, Study, asking
from aumclean.diagnostics.write import write
from aumclean.errors import ConfigError
from aumclean.progress import Track, by_default

SIGNS = ("-1", "+1")
DRAWS = 3
CANNOT = "the complexity on all images, which may be smaller: it falls as their number grows (--limit, --fractions)"


def rademacher(
    options: Options,
    *,
    draws: int = DRAWS,
    fractions: Sequence[float] = (1.0,),
    rate_decay: float = DECAY,
    track: Track = by_default,
) -> tuple[Report, Store]:
    """Train on random signs, several draws of them; write and return what was found.

    Args:
        options: of every diagnostic; the test part is not looked at.
        draws: of signs, per seed; the network starts afresh with each.
        fractions: of the training images: the complexity falls as their number grows.
        rate_decay: factor on the learning rate after every epoch.
        track: for a progress display.

    Raises:
        AumcleanError: when the data, an option or the machine do not allow it.
    """
    if draws < 1:
        raise ConfigError(f"--draws: {draws} is not at least 1")
    if bad := [fraction for fraction in fractions if not 0 < fraction <= 1]:
        raise ConfigError(f"--fractions: {bad[0]:g} is not above 0 and at most 1")
    study = open_cropped(without_test(options), "rademacher", track=track)
    networks = recipes(options, study, "rademacher", rate_decay)
    seeds = [seed * draws + draw for seed in options.seeds for draw in range(draws)]
    with asking(
        "random-labels rademacher", options, study,
        draws=draws, fractions=list(fractions), recipes=[asdict(recipe) for recipe in networks],
    ) as store:  # fmt: skip
        rows = [_row(store, study, recipe, fraction, seeds, track) for recipe in networks for fraction in fractions]
        return write(store, _report(options, study, rows, networks))


def with_signs(dataset: Dataset) -> Dataset:
    """The images as two classes, all of the first: drawing them at random gives the signs."""
    return dataset.with_labels(np.zeros(len(dataset), np.int64), SIGNS)


def _row(store: Store, study: Study, recipe: Recipe, fraction: float, seeds: Sequence[int], track: Track) -> Complexity:
    count = max(2, round(fraction * len(study.train)))
    keep = np.arange(count) * len(study.train) // count
    signs = replace(study, train=with_signs(study.train.take(keep)), test=with_signs(study.test.take(np.arange(0))))
    estimates, steps = [], []
    for seed in seeds:
        fitted = fit_case(store, signs, Case("random"), recipe, seed=seed, name=f"n{count}", track=track)
        estimates.append(max(0.0, 2 * max(row.train_accuracy for row in fitted.epochs) - 1))
        steps.append(fitted.steps_to_fit)
    reached = [value for value in steps if value is not None]
    return Complexity(
        arch=recipe.arch,
        images=count,
        draws=len(seeds),
        complexity=float(np.mean(estimates)),
        complexity_low=min(estimates),
        complexity_high=max(estimates),
        fitted_draws=len(reached),
        steps_to_fit=float(np.mean(reached)) if reached else None,
    )


def _report(options: Options, study: Study, rows: list[Complexity], networks: Sequence[Recipe]) -> Report:
    def line(arch: str) -> Line:
        own = [row for row in rows if row.arch == arch]
        return Line(
            arch,
            [row.images for row in own],
            [row.complexity for row in own],
            [row.complexity_low for row in own],
            [row.complexity_high for row in own],
        )

    lines = [line(recipe.arch) for recipe in networks]
    figure = Figure(
        "rademacher",
        "Complexity against the number of images",
        "Mean over draws of the mean of sign times output of the trained network; the band is from the least to the "
        "greatest draw. 1 is the most possible.",
        [Panel("empirical Rademacher complexity", "images", "estimate (from below)", lines, (0, 1.05), level=1.0)],
    )
    said = [
        f"{row.arch} on {row.images:,} images: complexity at least {row.complexity:.3f} "
        f"({row.complexity_low:.3f} to {row.complexity_high:.3f} over {row.draws} draws of signs)."
        for row in rows
    ]
    said.append(
        "An estimate from below: training finds one function, not the best one. At 1 every sign is fitted, and a bound "
        "on the test error that rests on this complexity allows any error."
    )
    return Report(
        title=f"Random signs on {study.name}",
        lead=f"{', '.join(each.arch for each in networks)} trained on random signs of {len(study.train):,} images.",
        said=[*said, *cannot(options, study, CANNOT)],
        tables=[Table("rademacher", "Empirical Rademacher complexity", rows)],
        figures=[figure],
        settings=about(study, options, networks[0]),
    )
