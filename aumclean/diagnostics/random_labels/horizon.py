"""The memorisation horizon: after how many epochs does the scan's network, on these data, learn planted wrong labels?

A scan separates wrong labels by the margins of the time before they are learned. Here some labels are made wrong on
purpose and the scan's own training, indicator class included, goes on long enough to see their margins rise: when the
median of the planted ones reaches 0, half of them have been memorised. The data's own errors count as "other" samples.
"""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import scipy.stats
from sklearn.metrics import roc_auc_score

from aumclean.config.presets import Rule
from aumclean.config.reading import checked
from aumclean.config.recipe import Recipe
from aumclean.config.scan import ScanConfig
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.indicators import draw_indicators, with_indicators
from aumclean.dataset.label_noise import uniform_noise
from aumclean.diagnostics.figures import Figure, Line, Panel
from aumclean.diagnostics.random_labels.presets import without_test
from aumclean.diagnostics.random_labels.record import PlantedDraw, PlantedEpoch
from aumclean.diagnostics.report import Report, Table
from aumclean.diagnostics.rows import EpochRow, over_seeds
from aumclean.diagnostics.store import Store
from aumclean.diagnostics.study import Options, Study, asking, open_study
from aumclean.diagnostics.trainings import trained
from aumclean.diagnostics.write import write
from aumclean.errors import ConfigError, DataError
from aumclean.files import atomic
from aumclean.files.records import Share
from aumclean.progress import Track, by_default
from aumclean.scanning.plan import Plan, settle
from aumclean.training.loop import Epoch
from aumclean.verdict.horizon import KIND

SHARE = 0.1  # of labels made wrong
DRAWS = 3  # of planted labels, and trainings
LONGER = 3  # times the scan's epochs are trained by default
QUICK_IMAGES = 2000
MOST_EPOCHS = 10_000  # of a scan that anybody would wait for


class Learned(EpochRow):
    """Besides, how far planted and other labels were learned; columns as in `PlantedEpoch`."""

    planted_margin: float
    planted_memorised: Share
    other_margin: float
    other_fitted: Share


@dataclass(frozen=True)
class Planted:
    """A data set with some labels made wrong.

    Attributes:
        dataset: as a scan would train on it, indicator class included.
        planted: bool [n], labels made wrong here.
        judged: bool [n], samples that are not indicator samples.
    """

    dataset: Dataset
    planted: np.ndarray
    judged: np.ndarray


def plant(
    dataset: Dataset, share: float, seed: int, *, rule: Rule = "percentile", least_held_out: float = 0.0
) -> Planted:
    """Make a share of the labels wrong, uniformly over the other classes, then draw indicator samples as a scan does.

    Args:
        dataset: whose labels are made wrong.
        share: of them.
        seed: of both draws.
        rule, least_held_out: how many indicator samples the scan takes.

    Raises:
        DataError: when the data are too few for either.
    """
    n_classes = len(dataset.class_names)
    noisy = uniform_noise(dataset.labels, n_classes, share, np.random.default_rng([seed, 7]))
    try:
        (indicators,) = draw_indicators(len(dataset), n_classes, 1, seed=seed, rule=rule, least=least_held_out)
    except ValueError:
        raise DataError(f"{len(dataset)} images in {n_classes} classes are too few; add images") from None
    judged = np.ones(len(dataset), bool)
    judged[indicators] = False
    planted = noisy != dataset.labels
    if not (planted & judged).any() or not (~planted & judged).any():
        raise DataError(f"--share {share:g} of {len(dataset)} images leaves none planted, or none other; change it")
    return Planted(with_indicators(dataset.with_labels(noisy), indicators), planted, judged)


def crossing(medians: Sequence[float]) -> float | None:
    """Epochs, counted from 1, until a curve first reaches 0, interpolated between two; None when it never does."""
    for number, value in enumerate(medians):
        if value >= 0:
            if number == 0:
                return 1.0
            before = medians[number - 1]
            return number + 1 - value / (value - before)
    return None


def horizon(
    options: Options,
    *,
    share: float = SHARE,
    draws: int = DRAWS,
    flip: bool = True,
    first_epoch: int | None = None,
    track: Track = by_default,
) -> tuple[Report, Store]:
    """Train the scan's network on planted wrong labels; write and return when they are memorised.

    Args:
        options: of every diagnostic; `quick` is the scan's preset `fast` on at most 2,000 images, `paper` its preset
            `paper` on all. No test part is needed.
        share: of labels made wrong, uniformly among the other classes.
        draws: of planted labels per seed, each with a training of its own.
        flip: as for `scan`.
        first_epoch: first epoch that is averaged into AUM, from 0; the preset's by default.
        track: for a progress display.

    Raises:
        AumcleanError: when the data, an option or the machine do not allow it.
    """
    if not 0 < share < 1:
        raise ConfigError(f"--share: {share:g} is not between 0 and 1")
    if draws < 1:
        raise ConfigError(f"--draws: {draws} is not at least 1")
    plan = _plan_of_scan(options, flip, first_epoch)
    options = options.model_copy(update={"image_size": plan.image_size})
    quick = options.preset == "quick"
    most = QUICK_IMAGES if quick else None
    study = open_study(without_test(options), limit=most, test_limit=most, track=track)
    recipe = replace(plan.recipe, closing=0.0)  # in those of a scan no margin is averaged
    if not options.epochs:
        recipe = replace(recipe, epochs=LONGER * recipe.epochs)
    first = min(plan.settings.first_epoch, recipe.epochs - 1)
    with asking(KIND, options, study, share=share, draws=draws, first_epoch=first, recipe=asdict(recipe)) as store:
        per_draw = [
            _draw(store, study, plan, recipe, share, first, seed * draws + draw, track)
            for seed in options.seeds
            for draw in range(draws)
        ]
        return write(store, _report(options, study, recipe, plan, share, first, per_draw))


def _plan_of_scan(options: Options, flip: bool, first_epoch: int | None) -> Plan:
    """What `scan` would do with the same options."""
    names = ("image_size", "epochs", "learning_rate", "batch_size", "arch", "device", "precision")
    asked = {name: value for name in names if (value := getattr(options, name)) is not None}
    preset = "fast" if options.preset == "quick" else "paper"
    config = checked(ScanConfig, preset=preset, flip=flip, first_epoch=first_epoch, **asked)
    return settle(options.read(options.data, options.split), config)


def _draw(
    store: Store, study: Study, plan: Plan, recipe: Recipe, share: float, first_epoch: int, seed: int, track: Track
) -> list[PlantedEpoch]:
    """One training on planted labels, a row per epoch."""
    planted = plant(study.train, share, seed, rule=plan.settings.rule, least_held_out=plan.least_held_out)
    wrong, other = planted.planted & planted.judged, ~planted.planted & planted.judged
    name = f"planted-seed{seed}"

    def measure(epoch: Epoch) -> dict[str, float]:
        stored = io.BytesIO()
        np.save(stored, epoch.margin, allow_pickle=False)
        atomic.write_bytes(_margins(store, name, epoch.number), stored.getvalue())
        return {
            "planted_margin": float(np.median(epoch.margin[wrong])),
            "other_margin": float(np.median(epoch.margin[other])),
            "planted_memorised": float((epoch.margin[wrong] > 0).mean()),
            "other_fitted": float((epoch.margin[other] > 0).mean()),
        }

    learned = trained(
        store, name, planted.dataset, recipe, Learned, seed=seed, accelerator=study.accelerator, measure=measure,
        track=track,
    )  # fmt: skip
    return _with_found(store, name, learned, planted, first_epoch)


def _with_found(
    store: Store, name: str, learned: list[Learned], planted: Planted, first_epoch: int
) -> list[PlantedEpoch]:
    """The epochs' rows with what AUM up to each would find: a scan stopped there has the very same margins."""
    is_planted = planted.planted[planted.judged]
    total = np.zeros(len(is_planted))
    rows = []
    for number, row in enumerate(learned):
        margin = np.load(_margins(store, name, number), allow_pickle=False)[planted.judged]
        total = margin.astype(np.float64) if number <= first_epoch else total + margin
        suspects = total.argsort(kind="stable")[: is_planted.sum()]
        found, auroc = float(is_planted[suspects].mean()), float(roc_auc_score(is_planted, -total))
        known = row.model_dump(include={*Learned.__annotations__, "epoch", "seconds"})
        rows.append(PlantedEpoch(found=found, auroc=auroc, **known))
    return rows


def _margins(store: Store, name: str, epoch: int) -> Any:
    return store.training(f"{name}.margins{epoch:04d}").with_suffix(".npy")


def _report(
    options: Options,
    study: Study,
    recipe: Recipe,
    plan: Plan,
    share: float,
    first_epoch: int,
    per_draw: list[list[PlantedEpoch]],
) -> Report:
    horizons = [crossing([row.planted_margin for row in rows]) for rows in per_draw]
    mean, low, high = interval(horizons)
    epochs = over_seeds(per_draw, ["epoch"])
    best = max(epochs, key=lambda row: row.found)
    draws = [_drawn(number, *found) for number, found in enumerate(zip(per_draw, horizons, strict=True))]

    def lines(*columns: str) -> list[Line]:
        names = ("AUROC" if column == "auroc" else column.partition("_")[0] for column in columns)
        return [Line.over_seeds(name, per_draw, column) for name, column in zip(names, columns, strict=True)]

    figure = Figure(
        "horizon",
        "When planted labels are memorised, and what a scan stopped there would find",
        "Median margin of planted and of other samples in each epoch, the share of planted ones that are learned, and "
        "the share found among the lowest AUM when averaging stops after that epoch.",
        [
            Panel("median margin", "epochs", "margin", lines("planted_margin", "other_margin"), None, level=0.0),
            Panel("learned in training", "epochs", "share", lines("planted_memorised", "other_fitted"), level=0.5),
            Panel("found by AUM up to here", "epochs", "share of planted, AUROC", lines("found", "auroc")),
        ],
    )
    return Report(
        title=f"Memorisation horizon of {recipe.arch} on {study.name}",
        lead=(
            f"The scan's training on {len(study.train):,} images, {share:.0%} of the labels made wrong, over "
            f"{recipe.epochs} epochs."
        ),
        said=_said(options, study, recipe, horizons, (mean, low, high), epochs, best, plan),
        tables=[
            Table("horizon", "By draw of planted labels", draws),
            Table("epochs", "By epoch", epochs),
        ],
        figures=[figure],
        settings={**study.about(), "planted share": share, "seeds": list(options.seeds), "first epoch": first_epoch,
                  **asdict(recipe)},
        facts={
            "horizon": mean, "low": low, "high": high, "per_draw": horizons, "epochs": recipe.epochs,
            "later_than": _later_than(horizons, recipe.epochs),
            "images": len(study.train), "best_epoch": best.epoch, "recipe": asdict(recipe),
        },
    )  # fmt: skip


def interval(horizons: Sequence[float | None]) -> tuple[float | None, float | None, float | None]:
    """Mean over draws and its 95% interval (Student's t); None where a draw did not reach it, or there is one draw."""
    reached = [value for value in horizons if value is not None]
    if len(reached) < len(horizons):
        return None, None, None
    mean = float(np.mean(reached))
    if len(reached) == 1:
        return mean, None, None
    half = float(scipy.stats.t.ppf(0.975, len(reached) - 1) * np.std(reached, ddof=1) / np.sqrt(len(reached)))
    return mean, max(0.0, mean - half), mean + half


def longest_scan(recipe: Recipe, horizon: float) -> int:
    """Epochs of the longest scan that has at most so many, but at least one, before its closing ones."""
    return replace(recipe, epochs=MOST_EPOCHS).closed_after(max(1, int(horizon))).epochs


def _later_than(horizons: Sequence[float | None], epochs: int) -> float:
    """Epochs up to which no draw had memorised half of its planted labels."""
    return min(epochs if value is None else value for value in horizons)


def _drawn(number: int, rows: list[PlantedEpoch], horizon: float | None) -> PlantedDraw:
    """What AUM finds when averaging stops at the horizon, at its best, and at the end."""
    return PlantedDraw(
        draw=number,
        horizon=horizon,
        reached=horizon is not None,
        found_at_horizon=None if horizon is None else rows[max(0, int(horizon) - 1)].found,
        found_at_best=max(row.found for row in rows),
        found_at_end=rows[-1].found,
        memorised_at_end=rows[-1].planted_memorised,
    )


def _said(
    options: Options,
    study: Study,
    recipe: Recipe,
    horizons: Sequence[float | None],
    found: tuple[float | None, float | None, float | None],
    epochs: list[PlantedEpoch],
    best: PlantedEpoch,
    plan: Plan,
) -> list[str]:
    mean, low, high = found
    last = epochs[-1]
    if mean is None:
        early = _later_than(horizons, recipe.epochs)
        said = [
            f"The horizon is later than {recipe.epochs} epochs in {sum(value is None for value in horizons)} of "
            f"{len(horizons)} draws: by then {last.planted_memorised:.0%} of the planted labels were learned. A "
            f"scan that reads its margins over at most {early:.3g} epochs is in time."
        ]
    else:
        between = "" if low is None else f", 95% interval {low:.1f} to {high:.1f} over {len(horizons)} draws"
        said = [f"Half of the planted wrong labels are memorised after {mean:.1f} epochs{between}."]
        most = longest_scan(plan.recipe, mean if low is None else low)
        said.append(f"A scan of up to {most} epochs reads its margins before that.")
        if not options.epochs:
            of_scan = plan.recipe.epochs - plan.recipe.closing_epochs
            verdict = "before" if of_scan <= mean else "past"
            said.append(f"With its own number it reads them over {of_scan} epochs: {verdict} the horizon.")
    said.append(
        f"Averaged up to epoch {best.epoch}, AUM finds most of the planted labels: {best.found:.1%}; up to the "
        f"last one, {last.epoch}, {last.found:.1%} (AUROC {best.auroc:.4f} and {last.auroc:.4f})."
    )
    if options.preset == "quick":
        said.append(
            f"Planted in {len(study.train):,} images. With more, a network has more to learn before it memorises, and "
            "the horizon moves: measure it on as many as will be scanned, with --limit."
        )
    return said
