"""Trained on one band, tested on whole images and on the same band."""

from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
import torch

from aumclean.config.recipe import Recipe
from aumclean.dataset.dataset import Dataset
from aumclean.diagnostics.figures import Figure, Line, Panel
from aumclean.diagnostics.frequency.bands import Disc, Edge, Scaling, with_band
from aumclean.diagnostics.frequency.presets import RADII_AT_32, SETTINGS, discs_for, limits
from aumclean.diagnostics.frequency.record import Transferred
from aumclean.diagnostics.report import Report, Table
from aumclean.diagnostics.rows import EpochRow, over_seeds
from aumclean.diagnostics.store import Store
from aumclean.diagnostics.study import Options, Study, asking, open_study
from aumclean.diagnostics.trainings import trained
from aumclean.diagnostics.write import write
from aumclean.files.records import Share
from aumclean.progress import Track, by_default
from aumclean.training.loop import Epoch, input_scale
from aumclean.training.predict import predict

BANDS: tuple[Literal["low", "high"], ...] = ("low", "high")
SCALINGS: tuple[Scaling, ...] = ("image-max", "none")


class _Tested(EpochRow):
    """Besides, the accuracy on test images as they are, and on the band that is trained on."""

    test_original: Share
    test_same: Share


@dataclass(frozen=True)
class _Case:
    """One training."""

    band: Literal["low", "high"]
    disc: Disc
    scaling: Scaling
    batch_norm: bool

    def row(self, last: _Tested) -> Transferred:
        """After its last epoch."""
        return Transferred(
            trained_on=self.band,
            radius=self.disc.at,
            scaling=self.scaling,
            batch_norm=self.batch_norm,
            train=last.accuracy,
            test_original=last.test_original,
            test_same=last.test_same,
        )

    def name(self, seed: int) -> str:
        network = "bn" if self.batch_norm else "plain"
        return f"{self.band}-{self.disc.radius:g}-{self.scaling}-{network}-seed={seed}"


def transfer(
    options: Options,
    *,
    radii: tuple[float, ...] | None = None,
    edge: Edge = "inside",
    scalings: tuple[Scaling, ...] = SCALINGS,
    batch_norm: bool = True,
    track: Track = by_default,
) -> tuple[Report, Store]:
    """Train on low-pass or on high-pass images alone, and test on the original and on the same band.

    Wang et al. 2020, Table 1 and Figure 6. `image-max` is the paper's scaling: every training image divided by its own
    greatest value, test images as they are. `none` leaves filtered images in the unit of the originals.

    Args:
        options: what to train on and how.
        radii: in bins; by default the paper's in proportion to the images' size, of which the quick preset takes two.
        edge: whether frequencies at exactly the radius are in the low band.
        scalings: of the training images.
        batch_norm: also train on the low band with batch normalisation (Figure 6).
        track: for a progress display.

    Raises:
        AumcleanError: when the data, an option or the machine do not allow it.
    """
    setting = SETTINGS[options.preset]["transfer"]
    study = open_study(options, limit=setting.limit, test_limit=setting.test_limit, track=track)
    discs = discs_for(radii, edge, study.train.images.shape[1])
    if radii is None and options.preset == "quick":
        discs = discs[::2]
    recipe = options.recipe(setting.recipe, study.accelerator)
    cases = [
        _Case(band, disc, scaling, normalised)
        for normalised in ((False, True) if batch_norm else (False,))
        for band in (BANDS[:1] if normalised else BANDS)
        for scaling in (scalings[:1] if normalised else scalings)
        for disc in discs
    ]
    with asking(
        "frequency transfer", options, study, radii=[disc.radius for disc in discs], edge=edge, scalings=scalings,
        batch_norm=batch_norm, recipe=asdict(recipe),
    ) as store:  # fmt: skip
        runs = {case: [_train(store, case, study, recipe, seed, track) for seed in options.seeds] for case in cases}
        report = _report(options, study, runs)
        report.settings.update({**study.about(), **asdict(recipe)})
        return write(store, report)


def _train(store: Store, case: _Case, study: Study, recipe: Recipe, seed: int, track: Track) -> list[_Tested]:
    recipe, device = replace(recipe, batch_norm=case.batch_norm), study.accelerator.device
    train, same = (
        with_band(data, case.disc, case.band, scaling=case.scaling, device=device) for data in (study.train, study.test)
    )
    mean, std = input_scale(train, recipe)

    def right(model: torch.nn.Module, data: Dataset) -> float:
        logits = predict(model, data.images, mean, std, mirror=False, device=device, bf16=recipe.bf16)
        return float((logits.argmax(1) == data.labels).mean())

    def measure(epoch: Epoch) -> dict[str, float]:
        return {"test_original": right(epoch.model, study.test), "test_same": right(epoch.model, same)}

    return trained(
        store, case.name(seed), train, recipe, _Tested, seed=seed, accelerator=study.accelerator, measure=measure,
        track=track,
    )  # fmt: skip


def _report(options: Options, study: Study, runs: dict[_Case, list[list[_Tested]]]) -> Report:
    per_seed = [
        [case.row(history[-1]) for case, history in zip(runs, of_seed, strict=True)]
        for of_seed in zip(*runs.values(), strict=True)
    ]
    rows = over_seeds(per_seed, ["trained_on", "radius", "scaling", "batch_norm"])
    return Report(
        title=f"{study.name}: from one band to whole images",
        lead="Each network saw one band in training; it is judged on whole test images and on the same band of them.",
        said=_said(options, rows, study.chance),
        tables=[Table("transfer", "Accuracy after the last epoch", rows)],
        figures=[_against_radius(rows, study.chance), _over_epochs(runs, study.chance)],
    )


def _said(options: Options, rows: list[Transferred], chance: float) -> list[str]:
    def mean(band: str) -> float:
        plain = (row for row in rows if not row.batch_norm)
        return float(np.mean([row.test_original for row in plain if row.trained_on == band]))

    said = [
        f"Over all radii and scalings, training on the low band gives {mean('low'):.1%} on whole test "
        f"images, on the high band {mean('high'):.1%}; chance is {chance:.1%}.",
        "That high-pass training does not carry over to whole images is partly a matter of brightness and contrast, "
        "which a high-pass image lacks: \u201ctest same\u201d, on test images of the same band, says what can be "
        "learned of it.",
    ]
    fewer = len({row.radius for row in rows}) < len(RADII_AT_32)
    return said + limits(options, ["the heights of the paper's Table 1", *(["its four radii"] if fewer else [])])


def _against_radius(rows: list[Transferred], chance: float) -> Figure:
    panels = []
    for scaling in dict.fromkeys(row.scaling for row in rows):
        lines = []
        for colour, (band, normalised) in enumerate((("low", False), ("high", False), ("low", True))):
            here = [r for r in rows if (r.trained_on, r.batch_norm, r.scaling) == (band, normalised, scaling)]
            label = f"{band}{', batch norm' if normalised else ''}"
            for test in ("original", "same") if here else ():
                values = [getattr(row, f"test_{test}") for row in here]
                radii = [row.radius for row in here]
                lines.append(Line(f"{label}, on {test}", radii, values, dashed=test == "same", colour=colour))
        panels.append(Panel(f"scaling {scaling}", "radius in bins", "test accuracy", lines, level=chance))
    caption = "Test accuracy after the last epoch against the radius; solid: on whole images, dashed: on the same band."
    return Figure("radius", "Accuracy against the radius", caption, panels)


def _over_epochs(runs: dict[_Case, list[list[_Tested]]], chance: float) -> Figure:
    panels = []
    titles = {case: f"{case.band}, {case.scaling}{', batch norm' if case.batch_norm else ''}" for case in runs}
    for title in dict.fromkeys(titles.values()):
        own = [case for case in runs if titles[case] == title]
        lines = [
            Line.over_seeds(
                f"radius {case.disc.radius:g}, {test}", runs[case], f"test_{test}", dashed=test == "same", colour=number
            )
            for number, case in enumerate(own)
            for test in ("original", "same")
        ]
        panels.append(Panel(title, "epoch", "test accuracy", lines, level=chance))
    caption = (
        "Test accuracy over the epochs by radius; solid: on whole images, dashed: on the band that was trained on."
    )
    return Figure("epochs", "Accuracy per epoch", caption, panels)
