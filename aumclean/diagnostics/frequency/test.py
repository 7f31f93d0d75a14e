"""One network on original, low-pass and high-pass images: accuracy, and the samples that need the high band."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from accelerate import Accelerator
from scipy.special import softmax

from aumclean.dataset.dataset import Dataset
from aumclean.dataset.open import open_scanned
from aumclean.diagnostics.figures import Figure, Line, Panel, Picture, strips
from aumclean.diagnostics.frequency.accuracy import (
    ORIGINAL,
    BnEval,
    accuracies,
    band_logits,
    band_names,
    networks_of,
)
from aumclean.diagnostics.frequency.bands import Disc, Edge, batches, low_pass
from aumclean.diagnostics.frequency.presets import SETTINGS, discs_for, evenly, limits
from aumclean.diagnostics.frequency.record import BandAccuracy, NeedsHigh
from aumclean.diagnostics.frequency.split import Looks
from aumclean.diagnostics.report import Report, Table
from aumclean.diagnostics.rows import EpochRow
from aumclean.diagnostics.store import Store
from aumclean.diagnostics.study import Options, Study, asking, open_images, open_study
from aumclean.diagnostics.trainings import trained
from aumclean.diagnostics.write import write
from aumclean.errors import ConfigError
from aumclean.progress import Track, by_default, part_of
from aumclean.run.directory import Run
from aumclean.training.device import describe, make_accelerator, takes_bf16
from aumclean.training.models import batch_norms
from aumclean.training.network import Network, read_network

SHOWN = 12  # rows of the contact sheet


@dataclass(frozen=True)
class _Judge:
    """Networks that judge together, by the mean of their logits, and the images they judge."""

    networks: Sequence[Network]
    images: Dataset
    paths: pa.Array
    bf16: bool
    accelerator: Accelerator
    seen: bool  # whether the networks were trained on these very images
    what: str
    files: Sequence[Path] = ()  # of the networks, where they were there before

    def logits(self, discs: Sequence[Disc], bn_eval: BnEval, track: Track) -> dict[str, np.ndarray]:
        device, each, total = self.accelerator.device, len(self.images), len(self.networks) * len(self.images)
        parts = [
            band_logits(
                network.on(device), self.images.images, discs, network.about.mean, network.about.std,
                device=device, bn_eval=bn_eval, bf16=self.bf16,
                track=part_of(track, f"network {number + 1}, batch norm {bn_eval}", number * each, total),
            )
            for number, network in enumerate(self.networks)
        ]  # fmt: skip
        width = len(self.images.class_names)  # a scan's networks have the indicator class beside
        return {name: np.mean([part[name][:, :width] for part in parts], axis=0) for name in parts[0]}


def test(
    options: Options,
    *,
    radii: tuple[float, ...] | None = None,
    edge: Edge = "inside",
    batch_norm: bool = False,
    track: Track = by_default,
) -> tuple[Report, Store]:
    """Judge one model's predictions on the bands of images (Wang et al. 2020, Figure 2).

    Args:
        options: `data` is a run directory, a `trainings/*.safetensors` of a diagnostic, or data to train on; `test` the
            images to judge, which a run can do without: then they are its own.
        radii: in bins; by default the paper's in proportion to the images' size.
        edge: whether frequencies at exactly the radius are in the low band.
        batch_norm: whether a network that is trained here has batch normalisation.
        track: for a progress display.

    Raises:
        AumcleanError: when the data, an option or the machine do not allow it.
    """
    subject = options.data
    if Store(subject).record.is_file():
        raise ConfigError(f"{subject}: is a diagnostic; name one of its networks, trainings/*.safetensors")
    if (subject / "run.json").is_file():
        judge, digest = _of_run(options, track)
    elif subject.suffix == ".safetensors":
        judge, digest = _of_file(options, track)
    else:
        return _of_data(options, radii, edge, batch_norm, track)
    discs = discs_for(radii, edge, judge.images.images.shape[1])
    images, paths = judge.images, judge.paths
    study = Study(subject.stem, images, images, paths, paths, digest, judge.accelerator, images.size)
    with asking(
        "frequency test", options, study, radii=[disc.radius for disc in discs], edge=edge,
        networks=[hashlib.sha256(file.read_bytes()).hexdigest() for file in judge.files],
    ) as store:  # fmt: skip
        return write(store, _report(judge, discs, [], track))


def _of_run(options: Options, track: Track) -> tuple[_Judge, str]:
    run = Run(options.data)
    run.require_finished()
    networks = networks_of(run)
    accelerator, about = make_accelerator(options.device), networks[0].about
    if options.test is not None:
        images, paths, digest = open_images(
            options, options.test, about.class_names, about.image_size, limit=options.test_limit, track=track
        )
    else:
        scanned = open_scanned(run, track=track)
        images, paths, digest = scanned.dataset(), scanned.samples.paths, scanned.digest()
        if options.test_limit is not None:
            keep = evenly(options.test_limit, len(images))
            images, paths = images.take(keep), paths.take(pa.array(keep))
    what = f"the networks of {options.data}"
    bf16 = takes_bf16(options.precision, accelerator.device)
    files = [run.model(draw) for draw in range(len(networks))]
    return _Judge(networks, images, paths, bf16, accelerator, options.test is None, what, files), digest


def _of_file(options: Options, track: Track) -> tuple[_Judge, str]:
    network, accelerator = read_network(options.data), make_accelerator(options.device)
    if options.test is None:
        raise ConfigError(f"{options.data}: is a network; name the images to test it on with --test PATH")
    names, size = network.about.class_names, network.about.image_size
    images, paths, digest = open_images(options, options.test, names, size, limit=options.test_limit, track=track)
    bf16 = takes_bf16(options.precision, accelerator.device)
    what = f"the network in {options.data}"
    return _Judge([network], images, paths, bf16, accelerator, False, what, [options.data]), digest


def _of_data(
    options: Options, radii: tuple[float, ...] | None, edge: Edge, batch_norm: bool, track: Track
) -> tuple[Report, Store]:
    setting = SETTINGS[options.preset]["test"]
    study = open_study(options, limit=setting.limit, test_limit=setting.test_limit, track=track)
    discs = discs_for(radii, edge, study.train.images.shape[1])
    recipe = replace(options.recipe(setting.recipe, study.accelerator), batch_norm=batch_norm)
    with asking(
        "frequency test", options, study, radii=[disc.radius for disc in discs], edge=edge, recipe=asdict(recipe)
    ) as store:
        networks = []
        for seed in options.seeds:
            name = f"seed={seed}"
            trained(
                store, name, study.train, recipe, EpochRow, seed=seed, accelerator=study.accelerator, keep_weights=True,
                track=track,
            )  # fmt: skip
            networks.append(read_network(store.weights(name)))
        judge = _Judge(
            networks, study.test, study.test_paths, recipe.bf16, study.accelerator, False,
            f"{recipe.arch} trained on {len(study.train):,} images of {study.name}",
        )  # fmt: skip
        said = [] if len(networks) == 1 else [f"{len(networks)} networks judge together, by the mean of their logits."]
        said += limits(options, ["how a network trained to the end divides its test images"])
        return write(store, _report(judge, discs, said, track))


def _report(judge: _Judge, discs: Sequence[Disc], said: list[str], track: Track) -> Report:
    ways: list[BnEval] = ["running", "batch"] if batch_norms(judge.networks[0].model) else ["running"]
    labels = judge.images.labels
    by_way = {way: judge.logits(discs, way, track) for way in ways}
    rows = []
    for way, logits in by_way.items():
        right = accuracies(logits, labels)
        for disc in discs:
            original, low, high = (right[band] for band in band_names([disc.radius]))
            needs = _needs_high(logits, labels, disc)
            rows.append(
                BandAccuracy(
                    batch_norm=way if len(ways) > 1 else "none",
                    radius=disc.at,
                    original=original,
                    low=low,
                    high=high,
                    needs_high=int(needs.sum()),
                    needs_high_share=float(needs.mean()),
                )
            )
    listed, pictures = _listed(judge, discs, by_way["running"])
    sentences = [
        f"{rows[0].original:.1%} are right as they are. Chance would be {1 / len(judge.images.class_names):.1%}.",
        "\u201cneeds high\u201d counts the images that are right as they are and on the high-pass image but wrong on "
        "the low-pass image (Wang et al. 2020, Figure 2).",
        "A wrong answer on one band does not say that the band is empty: the network never saw such images, and a "
        "high-pass image also lacks its mean colour and most of its contrast.",
    ]
    if judge.seen:
        sentences.append(
            "These are the images that the networks were trained on: read the differences, not the heights."
        )
    if len(ways) > 1:
        sentences.append(
            "\u201crunning\u201d judges with the statistics of the training, \u201cbatch\u201d with those of "
            "100 images of the same band, as the published code does: what batch normalisation seems to do with high "
            "frequencies depends on it."
        )
    return Report(
        title="Right on which frequencies",
        lead=f"{len(labels):,} images, judged by {judge.what}.",
        said=[*sentences, *said],
        tables=[
            Table("accuracy", "Accuracy on each band", rows),
            *([Table("needs_high", "Right with the high band, wrong with the low", listed)] if listed else []),
        ],
        figures=[_figure(rows, 1 / len(judge.images.class_names))],
        pictures=pictures,
        settings={"images": len(labels), "device": describe(judge.accelerator.device), "edge": discs[0].edge},
        facts={"paths_listed": len(listed)},
    )


def _needs_high(logits: dict[str, np.ndarray], labels: np.ndarray, disc: Disc) -> np.ndarray:
    """bool [n]: right on the original and on the high-pass image, wrong on the low-pass image."""
    original, low, high = (logits[band].argmax(1) == labels for band in band_names([disc.radius]))
    return np.asarray(original & high & ~low)


def _listed(
    judge: _Judge, discs: Sequence[Disc], logits: dict[str, np.ndarray]
) -> tuple[list[NeedsHigh], list[Picture]]:
    names, labels = np.array(judge.images.class_names), judge.images.labels
    rows, shown = [], []
    for disc in discs:
        here = np.flatnonzero(_needs_high(logits, labels, disc))
        original, low, high = (softmax(logits[band], axis=1) for band in band_names([disc.radius]))
        order = here[np.argsort(-low[here].max(1), kind="stable")]
        for sample in order.tolist():
            rows.append(
                NeedsHigh(
                    radius=disc.at,
                    path=judge.paths[sample].as_py(),
                    label=str(names[labels[sample]]),
                    low_says=str(names[low[sample].argmax()]),
                    confidence_original=float(original[sample].max()),
                    confidence_low=float(low[sample].max()),
                    confidence_high=float(high[sample].max()),
                )
            )
        if len(order):
            shown.append(_picture(judge, disc, order[:SHOWN]))
    return rows, shown


def _picture(judge: _Judge, disc: Disc, chosen: np.ndarray) -> Picture:
    images = judge.images.images[np.sort(chosen)]
    mask = torch.from_numpy(disc.mask(*images.shape[1:3]))
    (pixels,) = batches(images, torch.device("cpu"), len(images))
    low = low_pass(pixels, mask)
    looks = Looks("offset")
    bands = zip(images, low.numpy(), (pixels - low).numpy(), strict=True)
    rows = [[original, *looks.bytes_of(lower, higher)] for original, lower, higher in bands]
    return Picture(
        f"needs_high-{disc.radius:g}",
        f"Radius {disc.radius:g}: right with the high band, wrong with the low",
        "Of these the images that the network, shown the low band alone, is surest to be another class; the high band "
        "is shown on grey.",
        strips(rows, ("original", "low-pass", "high-pass")),
    )


def _figure(rows: list[BandAccuracy], chance: float) -> Figure:
    panels = []
    for way in dict.fromkeys(row.batch_norm for row in rows):
        here = [row for row in rows if row.batch_norm == way]
        radii = [row.radius for row in here]
        lines = [Line(name, radii, [getattr(row, name) for row in here]) for name in (ORIGINAL, "low", "high")]
        title = "accuracy" if way == "none" else f"batch norm: {way} statistics"
        panels.append(Panel(title, "radius in bins", "accuracy", lines, level=chance))
    caption = "Accuracy on the original, the low-pass and the high-pass images against the radius; dotted: chance."
    return Figure("accuracy", "Accuracy against the radius", caption, panels)
