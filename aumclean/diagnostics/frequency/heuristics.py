"""What batch size, dropout, mix-up, batch norm, adversarial training and optimisers change in the use of the bands."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from aumclean.config.recipe import Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.diagnostics.figures import Figure, Line, Panel
from aumclean.diagnostics.frequency.accuracy import ORIGINAL, BnEval, band_names, measuring
from aumclean.diagnostics.frequency.bands import Disc, Edge
from aumclean.diagnostics.frequency.presets import SETTINGS, discs_for, evenly, limits
from aumclean.diagnostics.frequency.record import Heuristic
from aumclean.diagnostics.report import Report, Table
from aumclean.diagnostics.rows import EpochRow, over_seeds
from aumclean.diagnostics.store import Store
from aumclean.diagnostics.study import Options, Preset, Study, asking, open_study
from aumclean.diagnostics.trainings import trained
from aumclean.diagnostics.write import write
from aumclean.errors import ConfigError, did_you_mean
from aumclean.progress import Track, by_default
from aumclean.training.loop import Epoch

EPSILON = 8 / 255  # of the attack that is trained against, as Wang et al. 2020 do

# What each variant changes in the plain recipe; rates of optimisers are relative to Adam's in the preset.
VARIANTS: dict[str, dict[str, Any]] = {
    "vanilla": {},
    "batch-4": {"batch_size": 4},
    "batch-20": {"batch_size": 20},
    "batch-250": {"batch_size": 250},
    "batch-500": {"batch_size": 500},
    "dropout": {"dropout": 0.5},
    "mix-up": {"mixup": 0.5},
    "batch-norm": {"batch_norm": True},
    "adversarial": {"adversarial": EPSILON},
    "sgd": {"optimizer": "sgd", "learning_rate": 10.0},
    "adagrad": {"optimizer": "adagrad", "learning_rate": 5.0},
    "adadelta": {"optimizer": "adadelta", "learning_rate": 500.0},
    "rmsprop": {"optimizer": "rmsprop", "learning_rate": 0.5},
}

BY_PRESET: dict[Preset, tuple[str, ...]] = {
    "quick": ("vanilla", "batch-250", "dropout", "mix-up", "batch-norm", "adversarial", "sgd"),
    "paper": tuple(VARIANTS),
}
QUICK_ATTACK_STEPS = 3


def recipe_of(variant: str, plain: Recipe, preset: Preset) -> Recipe:
    """The plain recipe with what a variant changes.

    Raises:
        ConfigError: for an unknown variant.
    """
    if variant not in VARIANTS:
        known = ", ".join(VARIANTS)
        raise ConfigError(f"--variants: '{variant}' is none of {known}{did_you_mean(variant, VARIANTS)}")
    changed = dict(VARIANTS[variant])
    if "learning_rate" in changed:
        changed["learning_rate"] *= plain.learning_rate
    if "adversarial" in changed and preset == "quick":
        changed["adversarial_steps"] = QUICK_ATTACK_STEPS
    return replace(plain, **changed)


def heuristics(
    options: Options,
    *,
    variants: tuple[str, ...] | None = None,
    radii: tuple[float, ...] | None = None,
    edge: Edge = "inside",
    track: Track = by_default,
) -> tuple[Report, Store]:
    """Train the same network in several ways, and judge test images in each band after every epoch.

    Wang et al. 2020, Figures 4 and 5, and the optimisers of section 5. A network with batch normalisation is judged
    twice, with running statistics and with those of the batch.

    Args:
        options: what to train on and how.
        variants: names out of `VARIANTS`; by default by preset.
        radii: in bins; by default the paper's in proportion to the images' size.
        edge: whether frequencies at exactly the radius are in the low band.
        track: for a progress display.

    Raises:
        AumcleanError: when the data, an option or the machine do not allow it.
    """
    setting = SETTINGS[options.preset]["heuristics"]
    chosen = variants or BY_PRESET[options.preset]
    for variant in chosen:
        recipe_of(variant, setting.recipe, options.preset)
    study = open_study(options, limit=setting.limit, test_limit=setting.test_limit, track=track)
    discs = discs_for(radii, edge, study.train.images.shape[1])
    plain = options.recipe(setting.recipe, study.accelerator)
    asked = asking(
        "frequency heuristics", options, study, variants=chosen, radii=[disc.radius for disc in discs], edge=edge,
        recipe=asdict(plain),
    )  # fmt: skip
    looked_at = study.test.take(evenly(setting.watched, len(study.test)))
    judged: dict[_Judged, list[list[EpochRow]]] = {}
    with asked as store:
        for variant in chosen:
            recipe = recipe_of(variant, plain, options.preset)
            ways: tuple[BnEval, ...] = ("running", "batch") if recipe.batch_norm else ("running",)
            measure = _measuring(study, recipe, looked_at, discs, ways)
            for seed in options.seeds:
                rows = trained(
                    store, f"{variant}-seed={seed}", study.train, recipe, EpochRow, seed=seed,
                    accelerator=study.accelerator, measure=measure, track=track,
                )  # fmt: skip
                for way in ways:
                    judged.setdefault(_Judged(variant, way, len(ways) > 1), []).append(rows)
        report = _report(options, study, judged, [disc.radius for disc in discs])
        report.settings.update({**study.about(), "watched": len(looked_at), **asdict(plain)})
        return write(store, report)


def _measuring(
    study: Study, recipe: Recipe, looked_at: Dataset, discs: Sequence[Disc], ways: tuple[BnEval, ...]
) -> Callable[[Epoch], dict[str, float]]:
    """What is measured after every epoch: the accuracy on each band, with each kind of statistics."""
    each = {way: measuring(study.train, recipe, looked_at, discs, study.accelerator.device, way) for way in ways}
    return lambda epoch: {
        f"{way}-{band}": value for way, measure in each.items() for band, value in measure(epoch).items()
    }


@dataclass(frozen=True)
class _Judged:
    """A variant and how it is judged."""

    variant: str
    way: BnEval
    both: bool

    @property
    def name(self) -> str:
        return f"{self.variant} ({self.way})" if self.both else self.variant


def _row(way: _Judged, last: EpochRow, bands: list[str]) -> Heuristic:
    """After the last epoch."""
    accuracy = {band: getattr(last, f"{way.way}-{band}") for band in bands}
    test = accuracy.pop(ORIGINAL)
    return Heuristic(variant=way.name, train=last.accuracy, test=test, gap=last.accuracy - test, **accuracy)


def _report(options: Options, study: Study, judged: dict[_Judged, list[list[EpochRow]]], radii: list[float]) -> Report:
    bands, chance = band_names(radii), study.chance
    rows: list[Heuristic] = []
    panels = []
    for way, seeds in judged.items():
        rows += over_seeds([[_row(way, history[-1], bands)] for history in seeds], ["variant"])
        test = f"{way.way}-{ORIGINAL}"
        lines = [Line.over_seeds("train", seeds, "accuracy", colour=5), Line.over_seeds("test", seeds, test, colour=0)]
        for number, radius in enumerate(radii, start=1):
            for part in ("low", "high"):
                lines.append(
                    Line.over_seeds(
                        f"{part} {radius:g}", seeds, f"{way.way}-{part}-{radius:g}", dashed=part == "high",
                        colour=number + number // 5,
                    )
                )  # fmt: skip
        panels.append(Panel(way.name, "epoch", "accuracy", lines, level=chance))
    return Report(
        title=f"{study.name}: how training changes the use of high frequencies",
        lead="The same network trained in several ways; test images judged as they are, low-pass and high-pass.",
        said=_said(options, rows, radii, chance),
        tables=[Table("heuristics", "After the last epoch", rows)],
        figures=[
            Figure("heuristics", "Accuracy per epoch", "Solid: as they are and low-pass; dashed: high-pass.", panels)
        ],
    )  # fmt: skip


def _said(options: Options, rows: list[Heuristic], radii: list[float], chance: float) -> list[str]:
    high = {row.variant: getattr(row, f"high-{radii[0]:g}") for row in rows}
    most = max(high, key=lambda variant: high[variant])
    said = [
        f"On the high-pass images of radius {radii[0]:g} '{most}' is right most often, {high[most]:.1%}; "
        f"chance is {chance:.1%}.",
        "More accuracy on the high band is not better or worse: it says that a network answers to it, which makes it "
        "easier to fool and sometimes more accurate.",
    ]
    if "batch-norm (batch)" in high:
        running, batch = (high[f"batch-norm ({way})"] for way in ("running", "batch"))
        said.append(
            f"Batch normalisation, radius {radii[0]:g}, high band: {running:.1%} with running statistics, {batch:.1%} "
            "with those of the batch. The paper's figure rests on the batch's."
        )
    return said + limits(options, ["final gaps between training and test", "the smallest batches and all optimisers"])
