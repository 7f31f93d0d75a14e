"""A finished run, and the scores of new images, as Python has them."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args, overload

from aumclean.decisions.clean import Policy
from aumclean.errors import ConfigError, DataError, RunError, counted, did_you_mean
from aumclean.files.location import expanded
from aumclean.reports import FOLDERS, Format
from aumclean.run.directory import Run as RunDirectory

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from aumclean.verdict.judge import Verdict
    from aumclean.verdict.summary import ScoreSummary, Summary


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
            summary = self.summary
        except RunError as error:
            return f"<aumclean.Run {error}>"
        rate, count = summary.noise_rate.estimate, len(summary.warnings)
        estimated = "unknown" if rate is None else f"about {rate:.1%}"
        noted = f"; {counted(count, 'warning')} in summary" if count else ""
        return (
            f"<aumclean.Run {str(self.path)!r}: {summary.samples:,} images in {summary.classes} classes, "
            f"{summary.flagged:,} flagged, noise rate {estimated}{noted}>"
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


def _frame(report: "pa.Table") -> "pd.DataFrame":
    frame: pd.DataFrame = report.to_pandas()
    return frame


def _flagged(report: "pd.DataFrame") -> "pd.DataFrame":
    """The rows that are flagged; what is not judged has no flag."""
    return report[report["flagged"].eq(True)].reset_index(drop=True)
