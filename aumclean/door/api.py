"""The public door: what `import aumclean` gives, composed from the rooms; nothing is printed here."""

import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

import numpy as np

from aumclean.config.reading import PATH_KEYS, load
from aumclean.config.scan import Reading, ScanConfig
from aumclean.decisions.clean import Policy
from aumclean.door.data import samples_of
from aumclean.errors import ConfigError, DataError, RunError, did_you_mean
from aumclean.files.location import expanded
from aumclean.progress import progress_bar
from aumclean.reports import FOLDERS, Format
from aumclean.run.directory import Run as RunDirectory
from aumclean.verdict.threshold import indicator_threshold

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from aumclean.dataset.samples import Samples
    from aumclean.judging.judge import Sources
    from aumclean.verdict.judge import Verdict
    from aumclean.verdict.summary import ScoreSummary, Summary

logging.getLogger("aumclean").addHandler(logging.NullHandler())  # a library prints nothing unless logging is set up
logger = logging.getLogger(__name__)


def scan(data: Any, **options: Any) -> "Run":
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
    settled = load(_known("scan", options, ScanConfig.model_fields))
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
    run: "Run | str | os.PathLike[str]",
    data: Any,
    *,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    **reading: Any,
) -> "Scores":
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
    reading = _known("score", reading, Reading.model_fields)
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
) -> "Run":
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

    asked = Asked(**_known("judge", judging, Asked.__dataclass_fields__))
    sources = _sources(pred_probs, logits, features, margins, aum)
    samples, stored = _labeled(labels, paths, None if root is None else expanded(root))
    where: dict[str, Any] = {"out": None if out is None else expanded(out), "overwrite": overwrite}
    with progress_bar() as track:
        run, verdict = judge_labels(
            samples, sources, stored=stored, classes=class_names, asked=asked, track=track, **where
        )
    return Run(run.path, verdict)


def open_run(path: str | os.PathLike[str]) -> "Run":
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


class Run:
    """A finished scan: its findings as tables, its reports, and the way to cleaned data.

    `open_run` and `scan` make it. It reads its directory, which the command line takes as well.

    Attributes:
        path: the run directory.
    """

    def __init__(self, path: Path, verdict: "Verdict | None" = None) -> None:
        self.path = Path(path)
        if verdict is not None:
            self._verdict = verdict

    @cached_property
    def _verdict(self) -> "Verdict":
        from aumclean.verdict.judge import judge

        directory = RunDirectory(self.path)
        directory.require_finished()
        return judge(directory)

    def _with_decisions(self) -> "Verdict":
        from aumclean.decisions.recorded import with_decisions

        return with_decisions(self._verdict, RunDirectory(self.path))

    @property
    def report(self) -> "pd.DataFrame":
        """One row per sample, the most suspect first, with the columns of report.csv.

        `sample_id` is the row of `samples.parquet`; decisions that reviewers made since are in it.
        """
        return _frame(self._with_decisions().report)

    @property
    def suspects(self) -> "pd.DataFrame":
        """The flagged samples, the most suspect first; columns as in `report`."""
        return _flagged(self.report)

    @property
    def summary(self) -> "Summary":
        """The content of summary.json as attributes: counts, thresholds, `noise_rate`, `per_class`, `warnings`."""
        return self._verdict.summary

    @overload
    def reports(self, format: Literal["parquet", "pred-probs"]) -> bytes: ...
    @overload
    def reports(
        self, format: Literal["cleanlab", "label-studio", "cvat", "fiftyone", "huggingface"]
    ) -> dict[str, str | bytes]: ...
    @overload
    def reports(self, format: Literal["csv", "json", "jsonl", "markdown", "html"]) -> str: ...

    def reports(self, format: Format) -> str | bytes | dict[str, str | bytes]:
        """The report in a format of `aumclean report`.

        Args:
            format: `csv`, `json`, `jsonl`, `markdown` or `html`: a text; `parquet` or `pred-probs`: bytes; or
                `cleanlab`, `label-studio`, `cvat`, `fiftyone` or `huggingface`: the contents of several files, by
                name, all of them in memory (`aumclean report -o FOLDER` writes them piece by piece).

        Raises:
            ConfigError: for another format.
            DataError: when the format cannot hold the data.
        """
        from aumclean.reports.render import render

        if format not in get_args(Format):
            raise ConfigError(f"format: '{format}' is not known{did_you_mean(format, get_args(Format))}")
        files: dict[str, str | bytes] = {}
        for name, pieces in render(self._with_decisions(), format).items():
            content = b"".join(pieces)
            is_text = not name.endswith((".parquet", ".npy", ".zip"))
            files[name] = content.decode(errors="surrogateescape") if is_text else content
        return files if format in FOLDERS else files.popitem()[1]

    def clean(
        self,
        out: str | os.PathLike[str] | None = None,
        policy: Policy = "drop",
        decisions: "str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None" = None,
        copy_to: str | os.PathLike[str] | None = None,
    ) -> Path:
        """Write the cleaned manifest, and every change with its reason beside it; the images are never touched.

        Reviewed samples follow the reviewer, the others the policy.

        Args:
            out: manifest to write, .csv or .parquet; those of the run directory by default.
            policy: what becomes of flagged samples that nobody decided: they go, get the suggested label, or weigh
                less (a column `weight`).
            decisions: files of decisions, in place of those made in review.
            copy_to: a new folder that gets copies of the images that stay, one folder per class.

        Returns:
            The manifest, which `scan` takes; with `root` where it lies elsewhere than the run and lists files.

        Raises:
            ConfigError: for a policy or a suffix that is not known.
            DataError: when decisions cannot be used, or the images have changed since.
            OutputError: when a file cannot be written.
        """
        from aumclean.decisions import recorded
        from aumclean.decisions.cleaned import clean_run

        directory = RunDirectory(self.path)
        if policy not in get_args(Policy):
            raise ConfigError(f"policy: '{policy}' is none of {', '.join(get_args(Policy))}")
        files = [decisions] if isinstance(decisions, str | os.PathLike) else decisions
        found = recorded.of_files(map(expanded, files), directory) if files else recorded.of_run(directory)
        if found.problems:
            raise DataError(
                f"{len(found.problems)} decisions cannot be used, so nothing was written; the first: "
                f"{found.problems[0]}"
            )
        target, folder = (None if path is None else expanded(path) for path in (out, copy_to))
        return clean_run(directory, self._verdict.report, found.decided, policy, target, folder).manifests[0]

    def __repr__(self) -> str:
        try:
            summary, rate = self.summary, self.summary.noise_rate.estimate
        except RunError as error:
            return f"<aumclean.Run {error}>"
        count = len(summary.warnings)
        noted = f"; {count} warning{'s' * (count > 1)} in summary" if count else ""
        return (
            f"<aumclean.Run {str(self.path)!r}: {summary.samples:,} images in {summary.classes} classes, "
            f"{summary.flagged:,} flagged, noise rate about {rate:.1%}{noted}>"
        )

    def _repr_html_(self) -> str | None:
        """What a notebook shows: counts, the noise rate, and the most suspect images."""
        from aumclean.reports import notebook

        try:
            return notebook.render(self._with_decisions())
        except RunError:  # of draws that others still train
            return None


class Scores:
    """New images, judged by the networks of a run.

    Attributes:
        path: the directory that was made; `aumclean gate` takes it.
        summary: the content of its summary.json, as attributes.
    """

    def __init__(self, path: Path, report: "pa.Table", summary: "ScoreSummary") -> None:
        self.path, self.summary = path, summary
        self._report = report

    @property
    def report(self) -> "pd.DataFrame":
        """One row per new image, the most suspect first, with the columns of its report.csv."""
        return _frame(self._report)

    @property
    def suspects(self) -> "pd.DataFrame":
        """The flagged images, the most suspect first."""
        return _flagged(self.report)

    def __repr__(self) -> str:
        new, flagged = self.summary.samples, self.summary.flagged
        return f"<aumclean.Scores {str(self.path)!r}: {new:,} new images, {flagged:,} flagged>"


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Load libraries without their advice to a notebook: a bar of theirs lacks widgets that ours does without."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")
        yield


def _frame(report: "pa.Table") -> "pd.DataFrame":
    frame: pd.DataFrame = report.to_pandas()
    return frame


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


def _flagged(report: "pd.DataFrame") -> "pd.DataFrame":
    """The rows that are flagged; what is not judged has no flag."""
    return report[report["flagged"].eq(True)].reset_index(drop=True)


def _known(function: str, options: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """The options, paths made of texts.

    Raises:
        ConfigError: for one that is not known.
    """
    for name in options:
        if name not in known:
            raise ConfigError(f"{function}() has no option '{name}'{did_you_mean(name, known)}")
    return {
        name: expanded(value) if name in PATH_KEYS and value is not None else value for name, value in options.items()
    }
