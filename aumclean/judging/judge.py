"""A run of evidence that was made elsewhere: labels and what speaks of them in, an ordinary run directory out."""

import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from aumclean import __version__
from aumclean.config.presets import Combine, Threshold
from aumclean.dataset.images import state_of
from aumclean.dataset.open import Opened
from aumclean.dataset.rows import Rows
from aumclean.dataset.samples import Samples
from aumclean.decisions.recorded import require_none
from aumclean.errors import ConfigError, RunError
from aumclean.judging.labels import opened, store_labels, with_classes
from aumclean.judging.margins import Recorded, convert_aum, copy_log
from aumclean.judging.predictions import agreed_columns, held_out
from aumclean.margins.held_out import write_held_out
from aumclean.progress import Track, untracked
from aumclean.reports.write import write_reports
from aumclean.run.directory import Run, new_run
from aumclean.run.record import Data, Evidence, JudgedRecord, Settings
from aumclean.verdict.judge import Verdict, judge, require_targets, settings_of

if TYPE_CHECKING:
    from aumclean.scanning.own_features import OwnFeatures


class Asked(BaseModel):
    """How the samples are to be judged: what was given of the settings of a verdict, None where nothing was."""

    model_config = ConfigDict(frozen=True)

    threshold: Threshold | None = None
    target_precision: float | None = None
    target_recall: float | None = None
    percentile: float | None = None
    combine: Combine | None = None
    first_epoch: int | None = None


AS_USUAL = Asked()


@dataclass(frozen=True)
class Sources:
    """What speaks of labels: predictions; features; and margins, as a log or as `aum` wrote them."""

    predictions: Sequence[Rows] = ()
    features: Rows | None = None
    margins: Path | None = None
    aum: Path | None = None


def judge_labels(
    samples: Samples,
    given: Sources,
    *,
    stored: bool = True,
    classes: Sequence[str] | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    asked: Asked = AS_USUAL,
    track: Track = untracked,
) -> tuple[Run, Verdict]:
    """Judge labels by evidence that was made elsewhere.

    Args:
        samples: from `read_labels` or `in_rows`.
        given: at least one source. Files of predictions of which no sample is in two count as folds of one network,
            others as several.
        stored: whether the labels are in the file that they name as their source; else they go into the run.
        classes: the class of every column, see `with_classes`.
        out, overwrite: the run directory to make.
        asked: how to judge.
        track: shows the progress of heads on features.

    Raises:
        AumcleanError: when anything does not fit; nothing is left of a run then.
    """
    width, columns = agreed_columns(given.predictions)
    samples = with_classes(samples, columns if classes is None else classes, width)
    _require(given, asked)
    if given.margins is not None and out is not None and given.margins.resolve().is_relative_to(out.resolve()):
        raise ConfigError(f"--out: the margins are in {out}, which would be replaced; choose another folder")
    listed, pictures = opened(samples)
    features = None if given.features is None else _look(listed, given.features, track)
    if overwrite:  # so that evidence that cannot serve replaces nothing
        with TemporaryDirectory() as folder:
            _store_margins(Path(folder), samples, given)
        for _ in (block for one in given.predictions for block in held_out(one, samples.paths, 0)):
            pass
    with begun(listed, out, overwrite=overwrite, stored=stored) as (run, listed):
        evidence, recorded = _store_margins(run.margins, samples, given)
        if given.features is not None and features is not None:
            evidence.append(Evidence(kind="features", source=given.features.name, samples=len(samples)))
            recorded = Recorded([features.plan.recipe.epochs] * features.plan.draws, len(samples), indicators=True)
        evidence += store_predictions(run, listed, given.predictions)
        by_indicators = recorded.indicators and not given.predictions and features is None
        settings = Settings(
            percentile=99.0,
            combine="all",
            first_epoch=0 if given.aum is not None else min(1, min(recorded.epochs, default=1) - 1),
            threshold="indicator" if by_indicators else "estimate",
        )
        about = record_of(listed, pictures, evidence, settings, made_by="judge")
        done = recorded.epochs if features is None else [0] * features.plan.draws
        trained = {"draws": len(done), "epochs_done": done, "indicators": recorded.indicators}
        run.write(about.model_copy(update={**trained, "training_seconds": [0.0] * len(done)}))
        if features is not None:
            features.write_evidence(run, track)
        return run, finish(run, asked)


def _look(listed: Opened, given: Rows, track: Track) -> "OwnFeatures":
    """What features say, for which alone PyTorch is needed."""
    try:
        from aumclean.scanning.own_features import own_features
    except ImportError as error:
        raise ConfigError(f"--features: trains heads on them, for which PyTorch is needed ({error})") from None
    return own_features(listed, given, 0, track)


def _store_margins(folder: Path, samples: Samples, given: Sources) -> tuple[list[Evidence], Recorded]:
    """Put margins into a log; what they are, for the record."""
    if given.margins is not None and given.aum is not None:
        raise ConfigError("--aum: margins come from one source; leave out --margins, or this")
    if given.margins is not None:
        recorded = copy_log(given.margins, samples, folder)
        return [Evidence(kind="margins", source=str(given.margins.absolute()), samples=recorded.samples)], recorded
    if given.aum is not None:
        recorded = convert_aum(given.aum, samples, folder)
        return [Evidence(kind="aum", source=str(given.aum.absolute()), samples=recorded.samples)], recorded
    return [], Recorded([], 0, indicators=False)


def _require(given: Sources, asked: Asked) -> None:
    """Refuse targets that contradict each other, and where there are no margins what only they can be asked."""
    require_targets(asked.threshold or "estimate", asked.target_precision, asked.target_recall)
    margins = given.margins is not None or given.aum is not None
    if margins and given.features is not None:
        raise ConfigError("--features: heads on them have margins of their own; leave out --margins and --aum, or this")
    if margins or given.features is not None:
        return
    for name in ("percentile", "combine", "first_epoch"):
        if getattr(asked, name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')}: is for margins; predictions have none")
    if asked.threshold == "indicator":
        raise ConfigError("--threshold indicator: is for margins of indicator samples; predictions have none")


@contextmanager
def begun(listed: Opened, out: Path | None, *, overwrite: bool, stored: bool) -> Iterator[tuple[Run, Opened]]:
    """A new run directory that lists the samples; it goes again when the block fails.

    Yields:
        The run, held for writing; the samples as it lists them.
    """
    if overwrite and out is not None:
        require_none(Run(out))
    run = new_run(out, listed.samples.name, overwrite=overwrite)
    with run.lock():  # who does not get it clears nothing: the run is somebody else's
        try:
            if not stored:
                listed = replace(listed, samples=store_labels(listed.samples, run.data))
            listed.write(run)
            yield run, listed
        except BaseException:
            run.clear()
            for file in (run.data, run.path / ".lock"):
                file.unlink(missing_ok=True)
            with suppress(OSError):  # a file of somebody's may be there
                run.path.rmdir()
            raise


def run_of_training(
    samples: Samples, out: Path | None, *, overwrite: bool, seed: int, draws: int, indicators: bool
) -> Run:
    """The run directory of a training of one's own: a new one, or that of a training that was stopped.

    Raises:
        RunError: when another run stands there.
    """
    listed, pictures = opened(samples)
    if out is not None and not overwrite and Run(out).run_json.is_file():
        run, record = Run(out), Run(out).read()
        if not isinstance(record, JudgedRecord) or record.made_by != "recorder" or record.state == "done":
            raise RunError(f"{out}: holds a run already; choose another out, or overwrite=True")
        begun_with = record.data.fingerprint, record.seed, record.draws, record.indicators
        if begun_with != (listed.digest(), seed, draws, indicators):
            raise RunError(f"{out}: was begun with other labels, draws or seed; choose another out, or overwrite=True")
        return run
    settings = Settings(percentile=99.0, combine="all", first_epoch=0, threshold="estimate")
    with begun(listed, out, overwrite=overwrite, stored=False) as (run, listed):
        about = record_of(listed, pictures, [], settings, made_by="recorder", seed=seed)
        trained = {"draws": draws, "epochs_done": [0] * draws, "training_seconds": [0.0] * draws}
        run.write(about.model_copy(update={**trained, "indicators": indicators}))
        return run


def store_predictions(run: Run, listed: Opened, given: Sequence[Rows]) -> list[Evidence]:
    """Write predictions as held-out evidence, a fold for each file; what they are, for the record."""
    evidence, part, labels = [], 0, listed.samples.labels
    paths = listed.samples.paths
    for fold, one in enumerate(given):
        agreed = 0
        for held in held_out(one, paths, fold):
            write_held_out(run.held_out_part(part), held)
            agreed += int((held.log_probs.argmax(1) == labels[held.sample]).sum())
            part += 1
        count = len(one.values)
        share = agreed / count if count else None
        evidence.append(Evidence(kind=one.kind, source=one.name, samples=count, agreement=share))
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
    size, changed_ns = state_of(samples.images, samples.source)
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
            source_bytes=size,
            source_changed_ns=changed_ns,
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
