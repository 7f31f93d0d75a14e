"""One training per corruption with the same hyper-parameters: Zhang et al. 2017, figure 1a."""

from collections.abc import Sequence
from dataclasses import asdict

from aumclean.diagnostics.figures import COLOURS, Figure, Line, Panel
from aumclean.diagnostics.random_labels.corruptions import OF_LABELS, Corruption
from aumclean.diagnostics.random_labels.fitting import LOSS, Case, Fitted, fit_case, tables_of
from aumclean.diagnostics.random_labels.presets import DECAY, about, cannot, open_cropped, recipes
from aumclean.diagnostics.random_labels.record import Fit
from aumclean.diagnostics.report import Report
from aumclean.diagnostics.store import Store
from aumclean.diagnostics.study import Options, Study, asking
from aumclean.diagnostics.write import write
from aumclean.errors import ConfigError
from aumclean.progress import Track, by_default

FIGURE_1A: tuple[Corruption, ...] = ("true", "shuffled-pixels", "random-pixels", "gaussian", "random")
DRAWN_POINTS = 400  # of a curve
CANNOT = (
    "the paper's numbers of steps, nor its test errors, which are of the small Inception on 50,000 images. With fewer "
    "images noise is fitted sooner beside true labels, and the order of the corruptions may be another"
)


def fit(
    options: Options,
    corruptions: Sequence[Corruption] = FIGURE_1A,
    *,
    probability: float = 0.5,
    level: float = LOSS,
    rate_decay: float = DECAY,
    track: Track = by_default,
) -> tuple[Report, Store]:
    """Train on each corruption until it is fitted; write and return what was found.

    Args:
        options: of every diagnostic.
        corruptions: one training each, per seed.
        probability: of a redrawn label, for `partial`.
        level: the training loss that counts as reached.
        rate_decay: factor on the learning rate after every epoch.
        track: for a progress display.

    Raises:
        AumcleanError: when the data, an option or the machine do not allow it.
    """
    require_level(level)
    study = open_cropped(options, "fit", track=track)
    (recipe, *more) = recipes(options, study, "fit", rate_decay)
    if more:
        raise ConfigError("--arch: fit takes one network; sweep compares several")
    cases = [Case(name, probability if name == "partial" else float(name == "random")) for name in corruptions]
    with asking(
        "random-labels fit", options, study,
        corruptions=[str(case) for case in cases], level=level, recipe=asdict(recipe),
    ) as store:  # fmt: skip
        fitted = [
            [fit_case(store, study, case, recipe, seed=seed, level=level, track=track) for case in cases]
            for seed in options.seeds
        ]
        return write(store, _report(options, study, fitted, level))


def require_level(level: float) -> None:
    """Make sure that the loss to reach can be reached.

    Raises:
        ConfigError: when it is not above 0.
    """
    if not level > 0:
        raise ConfigError(f"--loss: {level:g} is not above 0")


def _report(options: Options, study: Study, fitted: list[list[Fitted]], level: float) -> Report:
    recipe = fitted[0][0].recipe
    rows = [[each.row(Fit, corruption=str(each.case)) for each in of_seed] for of_seed in fitted]
    summary, tables = tables_of("fit", "Steps until fitted", ["corruption"], fitted, rows)
    figure = Figure(
        "fit",
        "Loss and accuracy while training",
        "Training loss, averaged over the last epoch's worth of steps, and accuracy of the training pass, against the "
        "number of steps: figure 1a of the paper, where true labels are fitted first, then shuffled pixels, then noise "
        "in place of pixels, and random labels last. Each curve ends where all was fitted, or with the last epoch.",
        [
            Panel("training loss", "steps", "loss", _curves(fitted, "step_loss"), None, "y", level),
            Panel("training accuracy", "steps", "accuracy", _curves(fitted, "step_accuracy"), level=study.chance),
        ],
    )
    return Report(
        title=f"How fast {recipe.arch} fits {study.name}, and noise in its place",
        lead=f"One training of {recipe.arch} per corruption of {len(study.train):,} images, everything else the same.",
        said=[*_said(summary, fitted, study, level), *cannot(options, study, CANNOT)],
        tables=tables,
        figures=[figure],
        settings=about(study, options, recipe, **{"loss to reach": level}),
        facts={"steps_per_epoch": fitted[0][0].steps_per_epoch, "chance": study.chance},
    )


def _curves(fitted: list[list[Fitted]], name: str) -> list[Line]:
    lines = []
    for number, of_seed in enumerate(fitted):
        for colour, each in enumerate(of_seed):
            curve = each.smoothed(name)
            every = max(1, len(curve) // DRAWN_POINTS)
            steps = range(1, len(curve) + 1, every)
            label = str(each.case) if number == 0 else ""
            lines.append(Line(label, list(steps), curve[::every].tolist(), colour=colour % len(COLOURS)))
    return lines


def _said(summary: Sequence[Fit], fitted: list[list[Fitted]], study: Study, level: float) -> list[str]:
    def steps(row: Fit, count: float | None) -> str:
        return f"{row.corruption} never" if count is None else f"{row.corruption} {count:,.0f}"

    ranked = sorted(summary, key=lambda row: row.steps_to_loss or float("inf"))
    said = [
        f"Steps to a training loss of {level:g}: {', '.join(steps(row, row.steps_to_loss) for row in ranked)}.",
        f"Steps to zero training error: {', '.join(steps(row, row.steps_to_fit) for row in ranked)}.",
    ]
    if censored := [each for of_seed in fitted for each in of_seed if each.steps_to_fit is None]:
        names = ", ".join(dict.fromkeys(str(each.case) for each in censored))
        said.append(
            f"Not fitted within {censored[0].steps:,} steps: {names}. With a rate that falls every epoch that need not "
            "mean that the network cannot: more --epochs may do."
        )
    said += [
        f"{row.corruption}: {row.realised_rate:.1%} of the labels are wrong; test error "
        f"{row.test_error:.1%}, where chance is {1 - study.chance:.1%}."
        for row in summary
        if row.corruption in OF_LABELS
    ]
    return said
