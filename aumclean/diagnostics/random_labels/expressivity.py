"""The finite-sample theorem on the user's images: random labels fitted exactly, without training."""

from collections.abc import Sequence

from aumclean.diagnostics.random_labels.presets import without_test
from aumclean.diagnostics.random_labels.record import Constructed
from aumclean.diagnostics.random_labels.theorem import TOLERANCE, fit_exactly
from aumclean.diagnostics.report import Report, Table
from aumclean.diagnostics.store import Store
from aumclean.diagnostics.study import Options, asking, open_study
from aumclean.diagnostics.write import write
from aumclean.progress import Track, by_default

DEPTHS = (1, 2, 8)
QUICK_IMAGES = 20_000


def expressivity(
    options: Options, depths: Sequence[int] = DEPTHS, *, track: Track = by_default
) -> tuple[Report, Store]:
    """Construct networks that fit random labels of all images exactly; write and return how well they do.

    Args:
        options: of every diagnostic; no test part is needed, and nothing is trained.
        depths: hidden layers, one network each.
        track: for a progress display.

    Raises:
        AumcleanError: when the data, an option or the machine do not allow it.
    """
    quick = options.preset == "quick"
    most = QUICK_IMAGES if quick else None
    study = open_study(without_test(options), limit=most, test_limit=most, track=track)
    with asking("random-labels expressivity", options, study, depths=list(depths)) as store:
        rows = [fit for seed in options.seeds for fit in fit_exactly(study.train, depths=tuple(depths), seed=seed)]
        report = Report(
            title=f"Any labels of {study.name}, fitted exactly",
            lead=f"ReLU networks constructed to give {len(study.train):,} images random labels, without training.",
            said=[*map(_said, rows), _NOT],
            tables=[Table("expressivity", "Constructed networks", rows)],
            settings={**study.about(), "seeds": list(options.seeds)},
            facts={"tolerance": TOLERANCE},
        )
        return write(store, report)


_NOT = (
    "That such a network exists says nothing of what training finds, nor how it does on new images: on those the "
    "construction answers at random."
)


def _said(fit: Constructed) -> str:
    left_out = f" ({fit.duplicates:,} equal images left out)" if fit.duplicates else ""
    right = "every label is right" if fit.fitted == 1 else f"{fit.fitted:.2%} of the labels are right"
    return (
        f"{fit.samples:,} images{left_out} of {fit.inputs:,} numbers, {fit.depth} hidden layer{'s' * (fit.depth > 1)} "
        f"of at most {fit.width:,} units, {fit.weights:,} weights: "
        f"largest error {fit.largest_error:.1e}, {right}, in {max(fit.seconds, 0.1):.1f} s."
    )
