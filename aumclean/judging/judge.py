"""A run of evidence that was made elsewhere: labels and what speaks of them in, an ordinary run directory out."""

import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from aumclean import __version__
from aumclean.dataset.open import Opened
from aumclean.dataset.samples import Samples
from aumclean.decisions.recorded import require_none
from aumclean.errors import ConfigError
from aumclean.judging.labels import opened, store_labels, with_classes
from aumclean.judging.predictions import Predictions, agreed_columns
from aumclean.margins.held_out import write_held_out
from aumclean.reports.write import write_reports
from aumclean.run.directory import Run, new_run
from aumclean.run.record import Data, Evidence, JudgedRecord, Settings
from aumclean.verdict.judge import Verdict, judge, require_targets, settings_of


@dataclass(frozen=True)
class Asked:
    """How the samples are to be judged: what was given of the settings of a verdict, None where nothing was."""

    threshold: str | None = None
    target_precision: float | None = None
    target_recall: float | None = None
    percentile: float | None = None
    combine: str | None = None
    first_epoch: int | None = None


def judge_predictions(
    samples: Samples,
    given: Sequence[Predictions],
    *,
    stored: bool = True,
    classes: Sequence[str] | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    asked: Asked = Asked(),
) -> tuple[Run, Verdict]:
    """Judge labels by predictions of networks that were not taught them.

    Args:
        samples: from `read_labels` or `in_rows`.
        given: at least one; files of which no sample is in two count as folds of one network, others as several.
        stored: whether the labels are in the file that they name as their source; else they go into the run.
        classes: the class of every column, see `with_classes`.
        out, overwrite: the run directory to make.
        asked: how to judge.

    Raises:
        AumcleanError: when anything does not fit; nothing is left of a run then.
    """
    width, columns = agreed_columns(given)
    samples = with_classes(samples, classes or columns, width)
    _require(asked)
    for _ in (block for one in given for block in one.held_out(samples.paths, 0)):
        pass  # so that a row that cannot serve replaces nothing
    with begun(samples, out, overwrite=overwrite, stored=stored) as (run, listed, pictures):
        evidence = store_predictions(run, listed, given)
        settings = Settings(percentile=99.0, combine="all", first_epoch=0, threshold="estimate")
        run.write(record_of(listed, pictures, evidence, settings, made_by="judge"))
        return run, finish(run, asked)


def _require(asked: Asked) -> None:
    """Refuse what only margins can be asked."""
    for name in ("percentile", "combine", "first_epoch"):
        if getattr(asked, name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')}: is for margins; predictions have none")
    if asked.threshold == "indicator":
        raise ConfigError("--threshold indicator: is for margins of indicator samples; predictions have none")
    require_targets("estimate", asked.target_precision, asked.target_recall)


@contextmanager
def begun(samples: Samples, out: Path | None, *, overwrite: bool, stored: bool) -> Iterator[tuple[Run, Opened, bool]]:
    """A new run directory that lists the samples; it goes again when the block fails.

    Yields:
        The run, held for writing; the samples as it lists them; whether they are images.
    """
    if overwrite and out is not None:
        require_none(Run(out))
    listed, pictures = opened(samples)
    run = new_run(out, samples.name, overwrite=overwrite)
    try:
        with run.lock():
            if not stored:
                listed = replace(listed, samples=store_labels(samples, run.data))
            listed.write(run)
            yield run, listed, pictures
    except BaseException:
        run.clear()
        run.data.unlink(missing_ok=True)
        with suppress(OSError):  # a file of somebody's may be there
            run.path.rmdir()
        raise


def store_predictions(run: Run, listed: Opened, given: Sequence[Predictions]) -> list[Evidence]:
    """Write predictions as held-out evidence, a fold for each file; what they are, for the record."""
    evidence, part, labels = [], 0, listed.samples.labels
    paths = listed.samples.paths
    for fold, one in enumerate(given):
        agreed = 0
        for held in one.held_out(paths, fold):
            write_held_out(run.held_out_part(part), held)
            agreed += int((held.log_probs.argmax(1) == labels[held.sample]).sum())
            part += 1
        count = len(one.values)
        evidence.append(
            Evidence(kind=one.kind, source=one.name, samples=count, agreement=agreed / count if count else None)
        )
    return evidence


def record_of(
    listed: Opened,
    pictures: bool,
    evidence: list[Evidence],
    settings: Settings,
    *,
    made_by: Literal["recorder", "judge"],
    seed: int = 0,
) -> JudgedRecord:
    """What `run.json` says of a run without draws, at its start."""
    samples = listed.samples
    source = samples.source.stat()
    return JudgedRecord(
        made_by=made_by,
        aumclean=__version__,
        versions={"python": platform.python_version(), "numpy": np.__version__, "pyarrow": pa.__version__},
        argv=sys.argv,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        state="running",
        data=Data(
            **listed.place().model_dump(),
            pictures=pictures,
            source_bytes=source.st_size,
            source_changed_ns=source.st_mtime_ns,
            label_column=samples.label_column,
            samples=len(samples),
            unreadable=0,
            class_names=list(samples.class_names),
            fingerprint=listed.digest(),
        ),
        seed=seed,
        judge=settings,
        draws=0,
        epochs_done=[],
        training_seconds=[],
        evidence=evidence,
    )


def finish(run: Run, asked: Asked) -> Verdict:
    """Judge a run whose evidence is complete, and write its reports."""
    verdict = judge(run, settings_of(run, **vars(asked)))
    write_reports(run, verdict)
    return verdict
