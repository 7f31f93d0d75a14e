"""The whole way: samples in, a run directory with margins, verdict and reports out."""

import hashlib
import importlib.metadata
import logging
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from aumclean import __version__, atomic, csv
from aumclean.config import PATH_KEYS, ScanConfig
from aumclean.dataset.cache import Decoded, decoded
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.indicators import draw_indicators
from aumclean.dataset.read import read_samples
from aumclean.dataset.samples import Embedded, Samples
from aumclean.decisions import ledger
from aumclean.decisions.recorded import require_none
from aumclean.errors import DataError, RunError, TrainingError
from aumclean.progress import Track, untracked
from aumclean.reports.write import write_reports
from aumclean.run import Run, new_run
from aumclean.run_record import Data, Options, RunRecord
from aumclean.scanning.indicator_draws import train_draws
from aumclean.scanning.plan import Plan, settle
from aumclean.training.device import describe, make_accelerator
from aumclean.verdict.horizon import read_horizon, recorded_warnings
from aumclean.verdict.judge import Verdict, judge
from aumclean.verdict.warnings import label_warnings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scan:
    """What came of a scan; the verdict is None in the processes that do not judge, and before all draws are done."""

    run: Run
    verdict: Verdict | None


def scan(samples: Samples, config: ScanConfig, *, track: Track = untracked) -> Scan:
    """Scan a data set into a new run directory.

    Args:
        samples: what to scan, from `read_samples`.
        config: how.
        track: shows the progress.

    Raises:
        AumcleanError: when anything stands in the way; nothing is written before the data have been read.
    """
    plan = settle(samples, config)
    if config.horizon is not None:
        read_horizon(config.horizon)  # so that a wrong one fails before anything is decoded
    if config.ledger is not None and not len(ledger.read(config.ledger)):
        logger.warning("%s: holds no confirmed labels yet; aumclean clean RUN --ledger adds them", config.ledger)
    with _noticing_lost_processes(plan.accelerator):
        readable, images = _decode(samples, config, plan, track)
        indicators = _indicators(readable, config.seed, plan)
        if config.only_draw is not None:
            return _scan_only_draw(config.only_draw, readable, images, indicators, config, plan, track)
        run = _new_shared_run(readable, config, plan.accelerator)
        logger.info("writing to %s", run.path)
        with _writing(run, plan.accelerator):
            if plan.accelerator.is_main_process:
                run.write(_record(readable, images, config, plan))
            return _train_and_judge(run, readable, images, indicators, plan, track)


def resume(run: Run, *, track: Track = untracked) -> Scan:
    """Go on with a scan that was stopped, however it was; the result equals that of an uninterrupted one.

    Raises:
        RunError: when the run is in use, or its data have changed since.
        AumcleanError: as `scan` does.
    """
    record = run.read()
    config = record.config
    if config.model_extra:
        raise RunError(f"{run.run_json}: holds options this version does not know ({', '.join(config.model_extra)})")
    accelerator = make_accelerator(config.device)
    with _noticing_lost_processes(accelerator), _writing(run, accelerator):
        if accelerator.is_main_process:
            atomic.remove_leftovers(run.path)
        samples = read_samples(Path(record.data.source), **config.reading())
        plan = settle(samples, config)
        readable, images = _decode(samples, config, plan, track)
        _require_same(run, record, readable, images, plan)
        indicators = _indicators(readable, config.seed, plan)
        return _train_and_judge(run, readable, images, indicators, plan, track)


def _require_same(run: Run, record: RunRecord, samples: Samples, images: Decoded, plan: Plan) -> None:
    """Refuse to go on in a run with what it was not begun with.

    Raises:
        RunError: when data or recipe are others.
    """
    if _fingerprint(samples, images) != record.data.fingerprint:
        raise RunError(f"{run.path}: the data in {record.data.source} have changed since; scan them anew")
    if plan.recipe != record.recipe or plan.image_size != record.image_size:
        raise RunError(f"{run.path}: was begun with another recipe or on another kind of device; scan anew")


def _scan_only_draw(
    draw: int,
    samples: Samples,
    images: Decoded,
    indicators: np.ndarray,
    config: ScanConfig,
    plan: Plan,
    track: Track,
) -> Scan:
    """Train one draw of a run that others, on other machines perhaps, train the other draws of; the last one judges.

    Raises:
        RunError: when the run is of other data or options, or somebody trains this draw already.
    """
    accelerator = plan.accelerator
    assert config.out is not None, "settled by the configuration"
    run, dataset = Run(config.out), _dataset(samples, images)
    if accelerator.is_main_process:
        config.out.mkdir(parents=True, exist_ok=True)
        with run.lock_briefly():
            _enter(run, samples, images, config, plan)
    accelerator.wait_for_everyone()
    logger.info("draw %d goes to %s", draw, run.path)
    train_draws(run, dataset, indicators, plan, track)
    if not accelerator.is_main_process:
        return Scan(run, None)
    with run.lock_briefly():
        if (missing := run.untrained()) or run.read().state == "done":
            logger.info("draws still to be trained: %s", ", ".join(map(str, missing)) or "none, the run is judged")
            return Scan(run, None)
        return Scan(run, _judge(run, dataset))


def _enter(run: Run, samples: Samples, images: Decoded, config: ScanConfig, plan: Plan) -> None:
    """Begin a shared run, or make sure that this scan is one of its draws."""
    if run.is_empty():
        run.write(_record(samples, images, config.model_copy(update={"only_draw": None}), plan))
    elif not run.run_json.is_file():
        raise RunError(f"{run.path}: exists and is not a run directory; choose another --out")
    record = run.read()
    _require_same(run, record, samples, images, plan)
    mine = _recorded(config)
    for name, given in {"draws": plan.draws, "judge": plan.settings}.items():
        if (begun := getattr(record, name)) != given:
            raise RunError(f"{run.path}: was begun with other options ({name}: {begun}); give the same ones")
    for name in ("seed", "ledger"):
        if (begun := getattr(record.config, name)) != getattr(mine, name):
            raise RunError(f"{run.path}: was begun with --{name} {begun}; give the same to every draw")
    _write_begin(run, samples, images)


def _new_shared_run(samples: Samples, config: ScanConfig, accelerator: Accelerator) -> Run:
    """A new run directory, made by the main process and known to all."""
    if config.overwrite and config.out is not None and accelerator.is_main_process:
        require_none(Run(config.out))
    made = [new_run(config.out, samples.name, overwrite=config.overwrite).path if accelerator.is_main_process else None]
    (path,) = broadcast_object_list(made)
    return Run(path)


@contextmanager
def _noticing_lost_processes(accelerator: Accelerator) -> Iterator[None]:
    """Say in words that another process of this scan is gone, which the library under it reports in its own."""
    try:
        yield
    except RuntimeError as error:
        if accelerator.num_processes == 1 or isinstance(error, torch.OutOfMemoryError):
            raise
        raise TrainingError(
            f"lost another process of this scan ({' '.join(str(error).split())[:200]}); see what it says, then go on "
            "with: aumclean scan --resume RUN"
        ) from error


@contextmanager
def _writing(run: Run, accelerator: Accelerator) -> Iterator[None]:
    """Hold the run for all processes of this scan."""
    with run.lock() if accelerator.is_main_process else nullcontext():
        yield


def _decode(samples: Samples, config: ScanConfig, plan: Plan, track: Track) -> tuple[Samples, Decoded]:
    """The samples that can be read, and their images."""
    images = decoded(
        samples,
        plan.image_size,
        workers=plan.workers,
        cache_dir=plan.cache_dir,
        limit_gib=config.cache_limit,
        track=track,
    )
    bad = len(samples) - len(images.readable)
    if bad:
        first = images.files["reason"].is_valid().index(True).as_py()
        example = f"{samples.paths[first]}: {images.files['reason'][first]}"
        if 100 * bad > config.max_unreadable * len(samples):
            raise DataError(
                f"{bad} of {len(samples)} images cannot be read ({100 * bad / len(samples):.1f} %), such as {example}; "
                f"mend them, or raise --max-unreadable (now {config.max_unreadable:g} %)"
            )
        logger.warning("%d of %d images cannot be read and are left out, such as %s", bad, len(samples), example)
    return samples.take(images.readable), images


def _record(samples: Samples, images: Decoded, config: ScanConfig, plan: Plan) -> RunRecord:
    """What `run.json` says at the start."""
    source = samples.source.absolute()
    return RunRecord(
        aumclean=__version__,
        versions={
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("torch", "accelerate", "pillow")},
        },
        argv=sys.argv,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        state="running",
        config=_recorded(config),
        data=Data(
            source=str(source),
            source_bytes=source.stat().st_size,
            source_changed_ns=source.stat().st_mtime_ns,
            root=str(samples.root.absolute()),
            name=samples.name,
            label_column=samples.label_column,
            image_column=samples.images.column if isinstance(samples.images, Embedded) else None,
            samples=len(samples),
            unreadable=len(images.files) - len(samples),
            class_names=list(samples.class_names),
            fingerprint=_fingerprint(samples, images),
        ),
        device=describe(plan.accelerator.device),
        image_size=plan.image_size,
        recipe=plan.recipe,
        judge=plan.settings,
        horizon=None if config.horizon is None else read_horizon(config.horizon),
        draws=plan.draws,
        epochs_done=[0] * plan.draws,
        training_seconds=[0.0] * plan.draws,
    )


def _recorded(config: ScanConfig) -> Options:
    """The options with absolute paths, so that a run can be resumed from another folder."""
    paths = {name: getattr(config, name) for name in PATH_KEYS if name in ScanConfig.model_fields}
    absolute = {name: path.expanduser().absolute() for name, path in paths.items() if path is not None}
    return Options(**{**config.model_dump(), **absolute})


def _fingerprint(samples: Samples, images: Decoded) -> str:
    """What the data are, wherever they lie: a digest of every image's content and label, in order."""
    digest = hashlib.sha256()
    hashes = images.files["content_hash"].combine_chunks().take(pa.array(images.readable))
    for content, label in zip(hashes.to_pylist(), samples.label_names().to_pylist(), strict=True):
        digest.update(f"{content} {label}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _write_samples(run: Run, samples: Samples, images: Decoded) -> None:
    files = images.files.take(pa.array(images.readable))
    table = pa.table(
        {
            "sample_id": pa.array(np.arange(len(samples), dtype=np.int32)),
            "path": samples.paths,
            "label": samples.label_names(),
            "content_hash": files["content_hash"],
            "width": files["width"],
            "height": files["height"],
            "row": pa.array(samples.rows),
        }
    )
    with atomic.replacing(run.samples) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    if samples.manifest is not None and not isinstance(samples.images, Embedded):
        with atomic.replacing(run.manifest) as temporary:
            pq.write_table(samples.manifest.take(pa.array(samples.rows)), temporary, compression="zstd")
    unreadable = images.files.select(["path", "reason"]).filter(images.files["reason"].is_valid())
    atomic.write_text(run.unreadable, csv.to_csv(csv.guarded(unreadable)))


def _indicators(samples: Samples, seed: int, plan: Plan) -> np.ndarray:
    """Sample ids of the indicator samples, [draws, count]; what is too little to scan is refused here."""
    if len(samples.class_names) < 2:
        raise DataError(
            f"{samples.root}: all readable images have the label '{samples.class_names[0]}'; two are needed"
        )
    n, n_classes = len(samples), len(samples.class_names)
    try:
        return draw_indicators(n, n_classes, plan.draws, seed=seed, rule=plan.settings.rule)
    except ValueError:
        raise DataError(
            f"{samples.root}: {n} readable images in {n_classes} classes are too few for {plan.draws} draws of "
            "indicator samples; add images"
        ) from None


def _dataset(samples: Samples, images: Decoded) -> Dataset:
    return Dataset(images.images, samples.labels.astype(np.int64), samples.class_names)


def _write_begin(run: Run, samples: Samples, images: Decoded) -> None:
    _write_samples(run, samples, images)
    if (confirmed := run.read().config.ledger) is not None:
        ledger.write_silenced(run, confirmed)


def _train_and_judge(
    run: Run, samples: Samples, images: Decoded, indicators: np.ndarray, plan: Plan, track: Track
) -> Scan:
    if plan.accelerator.is_main_process:
        _write_begin(run, samples, images)
    plan.accelerator.wait_for_everyone()
    dataset = _dataset(samples, images)
    for message in _foreseen(run, dataset):
        logger.warning("%s", message)
    train_draws(run, dataset, indicators, plan, track)
    return Scan(run, _judge(run, dataset) if plan.accelerator.is_main_process else None)


def _foreseen(run: Run, dataset: Dataset) -> list[str]:
    """The warnings that need no verdict."""
    found = [*label_warnings(dataset.labels, dataset.class_names), *recorded_warnings(run.read(), len(dataset))]
    return [warning.message for warning in found]


def _judge(run: Run, dataset: Dataset) -> Verdict:
    verdict = judge(run)
    known = _foreseen(run, dataset)
    for message in (warning["message"] for warning in verdict.summary["warnings"]):
        if message not in known:
            logger.warning("%s", message)
    write_reports(run, verdict)
    return verdict
