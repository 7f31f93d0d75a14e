"""The tables of all diagnostics, as `diagnostic.json` has them."""

from pydantic import Field

from aumclean.diagnostics.frequency import record as frequency
from aumclean.diagnostics.random_labels import record as random_labels
from aumclean.files.records import Record


class Tables(Record):
    """The tables of a diagnostic, by the names of their CSV files; it has some of them."""

    energy: list[frequency.Energy] = Field(default=[], description="Of frequency split, a row per radius.")
    unreadable: list[frequency.Unreadable] = Field(default=[], description="Of frequency split, a row per image.")
    accuracy: list[frequency.BandAccuracy] = Field(
        default=[], description="Of frequency test, a row per radius, and per way to take batch norm's statistics."
    )
    needs_high: list[frequency.NeedsHigh] = Field(
        default=[],
        description="Of frequency test, the images that need the high band, by radius, the surest wrong answers on the "
        "low-pass image first.",
    )
    bands: list[frequency.BandCurve] = Field(default=[], description="Of frequency curves, a row per band.")
    transfer: list[frequency.Transferred] = Field(default=[], description="Of frequency transfer, a row per training.")
    heuristics: list[frequency.Heuristic] = Field(default=[], description="Of frequency heuristics, a row per variant.")
    robustness: list[frequency.Robustness] = Field(
        default=[], description="Of frequency robustness, a row per network and smoothing."
    )
    classes: list[frequency.ClassBands] = Field(default=[], description="Of frequency join, a row per class.")
    high_only: list[frequency.HighOnly] = Field(
        default=[], description="Of frequency join, the most contradicted samples first."
    )
    fit: list[random_labels.Fit] = Field(default=[], description="Of random-labels fit, a row per corruption.")
    sweep: list[random_labels.Sweep] = Field(
        default=[], description="Of random-labels sweep, a row per network and probability."
    )
    regularize: list[random_labels.Regularized] = Field(
        default=[], description="Of random-labels regularize, a row per regulariser and kind of labels."
    )
    runs: list[random_labels.Fit | random_labels.Sweep | random_labels.Regularized] = Field(
        default=[], description="Of these three with several seeds, the same with the seed of each training."
    )
    epochs: list[random_labels.FittedEpoch | random_labels.PlantedEpoch] = Field(
        default=[], description="Of these three and of horizon, a row per epoch of each training."
    )
    expressivity: list[random_labels.Constructed] = Field(
        default=[], description="Of random-labels expressivity, a row per network."
    )
    kernel: list[random_labels.KernelFit] = Field(
        default=[], description="Of random-labels kernel, a row per solution."
    )
    rademacher: list[random_labels.Complexity] = Field(
        default=[], description="Of random-labels rademacher, a row per network and number of images."
    )
    horizon: list[random_labels.PlantedDraw] = Field(
        default=[], description="Of random-labels horizon, a row per draw."
    )
