"""When each band is picked up, with the labels as they are and with shuffled ones."""

from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa

from aumclean.dataset.dataset import Dataset
from aumclean.diagnostics.figures import Figure, Line, Panel
from aumclean.diagnostics.frequency.accuracy import ORIGINAL, band_names, measuring
from aumclean.diagnostics.frequency.bands import Edge
from aumclean.diagnostics.frequency.presets import SETTINGS, discs_for, evenly, limits
from aumclean.diagnostics.frequency.record import BandCurve
from aumclean.diagnostics.report import Report, Table
from aumclean.diagnostics.rows import EpochRow, over_seeds
from aumclean.diagnostics.store import Store
from aumclean.diagnostics.study import Options, Study, asking, open_study
from aumclean.diagnostics.trainings import trained
from aumclean.diagnostics.write import write
from aumclean.files import csv
from aumclean.progress import Track, by_default

FITTED = 0.95  # of shuffled labels: so many that the network has them by heart
SHUFFLED_EPOCHS = 3  # times as many: the paper trains 300 epochs in place of 100


def shuffled(dataset: Dataset, seed: int) -> Dataset:
    """The same images with the labels permuted, so that every class keeps its number of samples."""
    return dataset.with_labels(np.random.default_rng([seed, 3]).permutation(dataset.labels))


def picked_up(accuracy: list[float], chance: float) -> int | None:
    """The first epoch, from 1, that gets a quarter of the way from chance to 1; None when none does."""
    above = np.array(accuracy) >= chance + (1 - chance) / 4
    return int(above.argmax()) + 1 if above.any() else None


def curves(
    options: Options, *, radii: tuple[float, ...] | None = None, edge: Edge = "inside", track: Track = by_default
) -> tuple[Report, Store]:
    """Train on natural and on shuffled labels, and judge training images in each band after every epoch.

    Wang et al. 2020, Figure 3. The labels are permuted once per seed and stored.

    Args:
        options: what to train on and how.
        radii: in bins; by default the paper's in proportion to the images' size.
        edge: whether frequencies at exactly the radius are in the low band.
        track: for a progress display.

    Raises:
        AumcleanError: when the data, an option or the machine do not allow it.
    """
    setting = SETTINGS[options.preset]["curves"]
    study = open_study(options, limit=setting.limit, test_limit=setting.test_limit, track=track)
    discs = discs_for(radii, edge, study.train.images.shape[1])
    natural = options.recipe(setting.recipe, study.accelerator)
    recipes = {"natural": natural, "shuffled": replace(natural, epochs=SHUFFLED_EPOCHS * natural.epochs)}
    asked = asking(
        "frequency curves", options, study, radii=[disc.radius for disc in discs], edge=edge, recipe=asdict(natural)
    )
    watched = evenly(setting.watched, len(study.train))
    runs: dict[str, list[list[EpochRow]]] = {kind: [] for kind in recipes}
    with asked as store:
        for seed in options.seeds:
            for kind, recipe in recipes.items():
                data = study.train if kind == "natural" else shuffled(study.train, seed)
                if kind == "shuffled":
                    _store_labels(store, data, study.train_paths, seed)
                measure = measuring(data, recipe, data.take(watched), discs, study.accelerator.device)
                rows = trained(
                    store, f"{kind}-seed={seed}", data, recipe, EpochRow, seed=seed, accelerator=study.accelerator,
                    measure=measure, track=track,
                )  # fmt: skip
                runs[kind].append(rows)
        report = _report(options, study, runs, [disc.radius for disc in discs])
        report.settings.update({**study.about(), "watched": len(watched), **asdict(natural)})
        return write(store, report)


def _store_labels(store: Store, data: Dataset, paths: pa.Array, seed: int) -> None:
    names = pa.array(data.class_names).take(pa.array(data.labels))
    file = store.table(f"shuffled-labels-seed={seed}")
    store.announce(file)
    csv.save(file, pa.table({"path": paths, "label": names}))


def _row(kind: str, band: str, history: list[EpochRow], chance: float) -> BandCurve:
    accuracy = [getattr(row, band) for row in history]
    return BandCurve(
        labels=kind,
        band=band,
        first_epoch=accuracy[0],
        picked_up_at_epoch=picked_up(accuracy, chance),
        highest=max(accuracy),
        last_epoch=accuracy[-1],
    )


def _report(options: Options, study: Study, runs: dict[str, list[list[EpochRow]]], radii: list[float]) -> Report:
    bands, chance = band_names(radii), study.chance
    rows: list[BandCurve] = []
    panels = []
    for kind, seeds in runs.items():
        per_seed = [[_row(kind, band, history, chance) for band in bands] for history in seeds]
        rows += over_seeds(per_seed, ["labels", "band"])
        for part in ("low", "high"):
            lines = [
                Line.over_seeds(band.replace("-", " "), seeds, band)
                for band in (ORIGINAL, *(f"{part}-{radius:g}" for radius in reversed(radii)))
            ]
            panels.append(
                Panel(f"{kind} labels, {part}-pass", "epoch", "accuracy on training images", lines, level=chance)
            )
    at = {(row.labels, row.band): row for row in rows}
    low = f"low-{radii[0]:g}"
    said = [
        f"With natural labels {low} gives {at['natural', low].first_epoch:.1%} after one epoch and "
        f"{at['natural', low].highest:.1%} at its best; with shuffled labels "
        f"{at['shuffled', low].first_epoch:.1%} and {at['shuffled', low].highest:.1%}. Chance is {chance:.1%}.",
        f"The network fits {at['natural', ORIGINAL].last_epoch:.1%} of the natural and "
        f"{at['shuffled', ORIGINAL].last_epoch:.1%} of the shuffled labels in the end.",
        "A band counts as picked up in the first epoch that gets a quarter of the way from chance to 1.",
        "These are statements about all labels together: no single image is judged.",
    ]
    unseen = [] if at["shuffled", ORIGINAL].last_epoch >= FITTED else ["shuffled labels fitted to the end"]
    said += limits(options, unseen)
    caption = "Accuracy on training images after every epoch: as they are, low-pass, high-pass; dotted: chance."
    return Report(
        title=f"{study.name}: when each band is picked up",
        lead="One network trained on natural labels, one on the same labels shuffled, judged on bands of its images.",
        said=said,
        tables=[Table("bands", "Bands over the training", rows)],
        figures=[Figure("curves", "Accuracy per epoch", caption, panels)],
    )
