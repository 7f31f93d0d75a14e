"""The public door: what `import aumclean` gives, composed from the rooms; nothing is printed here."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from aumclean.config.reading import checked, load
from aumclean.config.scan import Reading, ScanConfig
from aumclean.door.data import known_options, samples_of
from aumclean.door.run import Run, Scores
from aumclean.errors import ConfigError, DataError
from aumclean.files.location import expanded
from aumclean.progress import progress_bar
from aumclean.run.directory import Run as RunDirectory
from aumclean.verdict.threshold import indicator_threshold

if TYPE_CHECKING:
    from aumclean.dataset.samples import Samples
    from aumclean.judging.judge import Sources


def scan(data: Any, **options: Any) -> Run:
    """Find the mislabeled images of a data set.

    Args:
        data: what to scan: a path to anything that `aumclean scan` takes; a `torch.utils.data.Dataset` (also
            torchvision's) of (image, label); a Hugging Face `Dataset` with an image column; or a tuple
            (images, labels). Images are Pillow images, arrays or tensors ([h, w], [h, w, 3] or [3, h, w]; 0..255, or
            fractions 0..1); labels are texts or whole numbers, which `data.classes` or a `ClassLabel` names.
            Give a data set without random augmentation: every image is taken once, and stored in the run directory.
        options: those of `aumclean scan`, with underscores: `out`, `preset`, `epochs`, `seed`, `limit` and so on.
            What is not given comes from the environment and the nearest pyproject.toml, as on the command line.

    Returns:
        The finished run.

    Raises:
        AumcleanError: `ConfigError` for an option, `DataError` for the data, `RunError` for the run directory and
            `TrainingError` for a training that cannot go on; the message says what to do.

    Example:
        ```python
        run = aumclean.scan((images, labels), out="runs/photos", epochs=15)
        ```
    """
    settled = load(known_options("scan", options, ScanConfig.model_fields))
    if settled.only_draw is not None and not isinstance(data, str | os.PathLike):
        raise ConfigError("only_draw: several machines cannot share an object in memory; store it and pass its path")
    with _without_chatter():
        from aumclean.scanning import scan as scanning  # torch, which a wrong option need not wait for

    reading, out = settled.reading(), settled.out
    with progress_bar() as track, samples_of(data, reading, out, settled.overwrite, track) as (samples, made):
        if made is not None:
            settled = settled.model_copy(update={"out": made, "overwrite": False})
        finished = scanning.scan(samples, settled, track=track)
    return Run(finished.run.path, finished.verdict)


def score(
    run: Run | str | os.PathLike[str],
    data: Any,
    *,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    **reading: Any,
) -> Scores:
    """Judge images that came after a scan with the networks that it keeps: seconds instead of a training.

    Args:
        run: a finished run, or the path of one.
        data: where new images are, as in `scan`; those that the run knows already are passed over.
        out: the directory to make, by default `runs/<name>-scores-<n>`.
        overwrite: whether to replace what an earlier call left there.
        device: where to compute.
        reading: how data are read, as in `scan`: `path_column`, `label_column`, `root`, `split`, `class_folder`,
            `limit`.

    Returns:
        The new images, judged.

    Raises:
        AumcleanError: as `scan` does.
    """
    reading = known_options("score", reading, Reading.model_fields)
    if device not in {"auto", "cpu", "cuda", "mps"}:
        raise ConfigError(f"device: '{device}' is none of auto, cpu, cuda, mps")
    target = None if out is None else expanded(out)
    scanned = RunDirectory(run.path if isinstance(run, Run) else expanded(run))
    scanned.require_finished()
    with _without_chatter():
        from aumclean.scanning import score as scoring

    with progress_bar() as track, samples_of(data, reading, target, overwrite, track, scores=True) as (samples, made):
        if made is not None:
            target, overwrite = made, False
        scores = scoring.score(scanned, samples, out=target, overwrite=overwrite, device=device)
    return Scores(scores.run.path, scores.report, scores.summary)


def judge(
    labels: Any,
    *,
    pred_probs: Any = None,
    logits: Any = None,
    features: Any = None,
    margins: str | os.PathLike[str] | None = None,
    aum: str | os.PathLike[str] | None = None,
    class_names: Sequence[str] | None = None,
    paths: Sequence[str] | None = None,
    root: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    **judging: Any,
) -> Run:
    """Judge labels, of images or not, by what networks of your own say: predictions, features, or margins.

    Args:
        labels: texts or whole numbers, [n]: a list, an array or a tensor; or the path of what `aumclean judge` takes.
        pred_probs: probabilities of all classes, [n, classes], out of sample: an array, a tensor, a table with a column
            per class, or the path of a file; or a list of these, of several networks or folds.
        logits: the same before the softmax, instead or besides.
        features: of a backbone of yours, [n, width], in any of these forms: judged as by `scan`, preset `frozen`.
        margins: a folder with a margin log, such as that of another run.
        aum: a file that the package `aum` wrote: `full_aum_records.csv` or `aum_values.csv`.
        class_names: the class of each column. By default the numbers 0, 1, ... where the labels are whole numbers, else
            the labels that occur, sorted as texts.
        paths: of the images, or names of the samples, [n]; row numbers by default.
        root: the folder that paths are relative to.
        out: the run directory to make, by default `runs/<name>-<n>`.
        overwrite: whether to replace what an earlier call left there.
        judging: `threshold`, `target_precision`, `target_recall` and so on, as of `aumclean judge`.

    Returns:
        The run, judged.

    Raises:
        AumcleanError: `DataError` for labels and evidence, `ConfigError` for options, `RunError` for the directory.

    Example:
        ```python
        run = aumclean.judge(labels, pred_probs=probabilities, class_names=["cat", "dog"])
        ```
    """
    from aumclean.judging.judge import Asked, judge_labels

    asked = checked(Asked, **known_options("judge", judging, Asked.model_fields))
    sources = _sources(pred_probs, logits, features, margins, aum)
    samples, stored = _labeled(labels, paths, None if root is None else expanded(root))
    where: dict[str, Any] = {"out": None if out is None else expanded(out), "overwrite": overwrite}
    with progress_bar() as track:
        run, verdict = judge_labels(
            samples, sources, stored=stored, classes=class_names, asked=asked, track=track, **where
        )
    return Run(run.path, verdict)


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open the run directory of a finished scan, whoever made it.

    Args:
        path: the directory.

    Raises:
        RunError: when it is no run, or not finished.
    """
    directory = RunDirectory(expanded(path))
    directory.require_finished()
    return Run(directory.path)


def aum(margins: Any) -> np.ndarray:
    """The area under the margin: the mean margin over the epochs (Pleiss et al. 2020, equation 2).

    Args:
        margins: array or tensor [epochs, n], a row per recorded epoch as training makes them: the logit of the
            label minus the largest other logit, of each of n samples.

    Returns:
        float64 [n]; the smaller, the more suspect.

    Raises:
        DataError: when there is no epoch, or a margin is not finite.
    """
    values = np.asarray(margins, np.float64)
    if values.ndim != 2 or not len(values):
        raise DataError(f"margins: must have the shape [epochs, n] with at least one epoch, not {list(values.shape)}")
    if not np.isfinite(values).all():
        epoch = int((~np.isfinite(values)).any(1).argmax())
        raise DataError(f"margins: not all are finite, first in epoch {epoch} (from 0)")
    return np.asarray(values.mean(0))


def threshold(aum_of_indicators: Any, percentile: float = 99) -> float:
    """The threshold: at or below it a sample behaves as those that are mislabeled by construction.

    A percentile, with linear interpolation, of the areas under the margin of the indicator samples, which the paper
    calls threshold samples (Pleiss et al. 2020, section 3.2).

    Args:
        aum_of_indicators: array or tensor [m] of the AUMs of samples that were trained with the indicator class as
            their label, m at least 1.
        percentile: which one, above 0 and below 100.

    Raises:
        ConfigError: for a percentile outside of that.
        DataError: when there is no AUM, or one that is not finite.
    """
    values = np.asarray(aum_of_indicators, np.float64)
    if not 0 < percentile < 100:
        raise ConfigError(f"percentile: {percentile:g} is not between 0 and 100")
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise DataError("aum_of_indicators: must be finite numbers of the shape [m], at least one")
    return indicator_threshold(values, percentile)


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Load libraries without their advice to a notebook: a bar of theirs lacks widgets that ours does without."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")
        yield


def _labeled(labels: Any, paths: Sequence[str] | None, root: Path | None) -> "tuple[Samples, bool]":
    """Labels as samples, and whether they are in a file that a run can name."""
    from aumclean.judging.labels import in_rows, read_labels

    if isinstance(labels, str | os.PathLike):
        return read_labels(Path(labels), root=root), True
    return in_rows(labels, name="labels", source=Path("labels"), paths=paths, root=root), False


def _sources(pred_probs: Any, logits: Any, features: Any, margins: Any, aum: Any) -> "Sources":
    """What speaks of labels; predictions once or several times, a list of numbers being one array.

    Raises:
        ConfigError: when nothing does.
    """
    from aumclean.dataset.rows import Kind, rows
    from aumclean.judging.judge import Sources

    found = []
    kinds: dict[Kind, Any] = {"pred-probs": pred_probs, "logits": logits}
    for kind, given in kinds.items():
        is_list = isinstance(given, list | tuple) and len(given) > 0
        several = given if is_list and (isinstance(given[0], str | Path) or np.ndim(given[0]) == 2) else [given]
        found += [rows(one, kind) for one in several if one is not None]
    log, table = (None if path is None else expanded(path) for path in (margins, aum))
    looked_at = None if features is None else rows(features, "features")
    if not found and looked_at is None and log is None and table is None:
        raise ConfigError("judge(): needs pred_probs, logits, features, margins or aum")
    return Sources(found, looked_at, log, table)
