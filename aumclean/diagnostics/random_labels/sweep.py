"""Time to fit and test error against the share of random labels, by network: Zhang et al. 2017, figures 1b and 1c."""

from collections.abc import Sequence
from dataclasses import asdict, replace

from aumclean.diagnostics.figures import Figure, Line, Panel
from aumclean.diagnostics.random_labels.fit import require_level
from aumclean.diagnostics.random_labels.fitting import LOSS, Case, Fitted, fit_case, tables_of
from aumclean.diagnostics.random_labels.presets import DECAY, about, cannot, open_cropped, recipes
from aumclean.diagnostics.random_labels.record import Sweep
from aumclean.diagnostics.report import Report
from aumclean.diagnostics.store import Store
from aumclean.diagnostics.study import Options, Study, asking
from aumclean.diagnostics.write import write
from aumclean.errors import ConfigError
from aumclean.progress import Track, by_default

PAPER_PROBABILITIES = tuple(tenth / 10 for tenth in range(11))
QUICK_PROBABILITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
CANNOT = (
    "the paper's ratios of steps, up to four, which are of convolutional networks on 50,000 images; and since fitting "
    "is seen at the ends of epochs, here of {steps} steps, it cannot tell ratios near 1 apart"
)


def sweep(
    options: Options,
    probabilities: Sequence[float] | None = None,
    *,
    level: float = LOSS,
    rate_decay: float = DECAY,
    track: Track = by_default,
) -> tuple[Report, Store]:
    """Train every network at every probability of a random label; write and return what was found.

    Args:
        options: of every diagnostic; `arch` may name several networks, separated by commas.
        probabilities: of a redrawn label; by default the preset's.
        level: the training loss that counts as reached.
        rate_decay: factor on the learning rate after every epoch.
        track: for a progress display.

    Raises:
        AumcleanError: when the data, an option or the machine do not allow it.
    """
    require_level(level)
    quick = options.preset == "quick"
    shares = tuple(probabilities or (QUICK_PROBABILITIES if quick else PAPER_PROBABILITIES))
    if bad := [share for share in shares if not 0 <= share <= 1]:
        raise ConfigError(f"--probabilities: {bad[0]:g} is not between 0 and 1")
    study = open_cropped(options, "sweep", track=track)
    networks = recipes(options, study, "sweep", rate_decay)
    with asking(
        "random-labels sweep", options, study,
        probabilities=list(shares), level=level, recipes=[asdict(recipe) for recipe in networks],
    ) as store:  # fmt: skip
        fitted = [
            [
                fit_case(store, study, Case("partial", share), recipe, seed=seed, level=level, track=track)
                for recipe in networks
                for share in shares
            ]
            for seed in options.seeds
        ]
        return write(store, _report(options, study, fitted, level))


def rows_of(fitted: Sequence[Fitted]) -> list[Sweep]:
    """A row per network and probability, with the steps relative to those of the same network on true labels."""

    clean = {each.recipe.arch: each for each in fitted if not each.case.probability}

    def relative(each: Fitted, name: str) -> float | None:
        steps, base = getattr(each, name), getattr(clean.get(each.recipe.arch), name, None)
        return steps / base if steps is not None and base else None

    return [
        each.row(
            Sweep,
            arch=each.recipe.arch,
            probability=each.case.probability,
            relative_steps_to_loss=relative(each, "steps_to_loss"),
            relative_steps_to_fit=relative(each, "steps_to_fit"),
        )
        for each in fitted
    ]


def _report(options: Options, study: Study, fitted: list[list[Fitted]], level: float) -> Report:
    per_seed = [rows_of(of_seed) for of_seed in fitted]
    keys = ["arch", "probability"]
    summary, tables = tables_of("sweep", "By network and probability", keys, fitted, per_seed)
    networks = {each.recipe.arch: each.recipe for each in fitted[0]}
    archs = list(networks)
    figure = Figure(
        "sweep",
        "Time to fit and test error against the share of random labels",
        "Left: steps to the training loss and to zero training error, relative to true labels (figure 1b of the "
        "paper). Right: test error, against true labels, when the training ended (figure 1c).",
        [
            Panel(f"steps to loss {level:g}", "probability", "relative to true labels",
                  _lines(per_seed, archs, "relative_steps_to_loss"), None),
            Panel("steps to zero training error", "probability", "relative to true labels",
                  _lines(per_seed, archs, "relative_steps_to_fit"), None),
            Panel("test error", "probability", "error", _lines(per_seed, archs, "test_error"), level=1 - study.chance),
        ],
    )  # fmt: skip
    rates = ", ".join(f"{arch} {recipe.learning_rate:g}" for arch, recipe in networks.items())
    first = fitted[0][0]
    recipe = replace(first.recipe, arch=", ".join(archs))
    return Report(
        title=f"Random labels in {study.name}: time to fit, and what is left of the rest",
        lead=f"{', '.join(archs)} on {len(study.train):,} images, labels redrawn at random with growing probability.",
        said=[
            *_said(summary, archs),
            *cannot(options, study, CANNOT.format(steps=fitted[0][0].steps_per_epoch)),
        ],
        tables=tables,
        figures=[figure],
        settings=about(study, options, recipe, **{"loss to reach": level}) | {"learning_rate": rates},
        facts={"chance": study.chance},
    )


def _lines(per_seed: list[list[Sweep]], archs: list[str], column: str) -> list[Line]:
    own = {arch: [[row for row in rows if row.arch == arch] for rows in per_seed] for arch in archs}
    return [Line.over_seeds(arch, rows, column, x="probability") for arch, rows in own.items()]


def _said(summary: Sequence[Sweep], archs: list[str]) -> list[str]:
    said = []
    for arch in archs:
        own = [row for row in summary if row.arch == arch]
        first, last = own[0], own[-1]
        at_first, at_last = (f"at {row.probability:g} {_steps(row)}" for row in (first, last))
        times = last.relative_steps_to_fit
        said.append(
            f"{arch}: steps to zero training error {at_first}, {at_last}"
            + (f", {times:.1f} times as many" if times else "")
            + f"; test error {first.test_error:.1%} and {last.test_error:.1%}."
        )
    return said


def _steps(row: Sweep) -> str:
    return "never" if row.steps_to_fit is None else f"{row.steps_to_fit:,.0f}"
