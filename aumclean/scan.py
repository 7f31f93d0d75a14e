"""The whole way: samples in, a run directory with margins, verdict and reports out."""

import hashlib
import importlib.metadata
import logging
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from pydantic import ValidationError

from aumclean import __version__, atomic
from aumclean.config import PATH_KEYS, ScanConfig
from aumclean.dataset.cache import Decoded, decoded
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.indicators import draw_indicators, with_indicators
from aumclean.dataset.read import read_samples
from aumclean.dataset.samples import Embedded, Samples
from aumclean.errors import DataError, RunError
from aumclean.margins.log import EpochMargins, remove_other_parts, write_epoch
from aumclean.networks import keep_network
from aumclean.plan import Plan, settle
from aumclean.reports import csv, decisions, ledger
from aumclean.reports.write import write_reports
from aumclean.run import Run, new_run
from aumclean.training.device import describe, make_accelerator
from aumclean.training.loop import load_checkpoint, train
from aumclean.verdict.horizon import read_horizon, recorded_warnings
from aumclean.verdict.judge import Settings, Verdict, judge
from aumclean.verdict.warnings import label_warnings

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=Sized)
Track = Callable[[Iterable[T], str, int, int], Iterator[T]]
"""Wraps a stream of batches of samples for a progress display: (stream, description, done before, total)."""


def untracked(stream: Iterable[T], description: str, done: int, total: int) -> Iterator[T]:
    """No progress display."""
    return iter(stream)


@dataclass(frozen=True)
class Scan:
    """A finished scan."""

    run: Run
    verdict: Verdict


def scan(samples: Samples, config: ScanConfig, *, track: Track[Any] = untracked) -> Scan:
    """Scan a data set into a new run directory.

    Args:
        samples: what to scan, from `read_samples`.
        config: how.
        track: wraps streams of samples for a progress display.

    Raises:
        AumcleanError: when anything stands in the way; nothing is written before the data have been read.
    """
    plan = settle(samples, config)
    horizon = None if config.horizon is None else asdict(read_horizon(config.horizon))
    if config.ledger is not None and not len(ledger.read(config.ledger)):
        logger.warning("%s: holds no confirmed labels yet; aumclean clean RUN --ledger adds them", config.ledger)
    readable, images = _decode(samples, config, plan, track)
    indicators = _indicators(readable, config, plan.settings)
    run = _new_shared_run(readable, config, plan.accelerator)
    logger.info("writing to %s", run.path)
    with _writing(run, plan.accelerator):
        if plan.accelerator.is_main_process:
            run.write({**_record(readable, images, config, plan), "horizon": horizon})
        return _train_and_judge(run, readable, images, indicators, plan, track)


def resume(run: Run, *, track: Track[Any] = untracked) -> Scan:
    """Go on with a scan that was stopped, however it was; the result equals that of an uninterrupted one.

    Raises:
        RunError: when the run is in use, or its data have changed since.
        AumcleanError: as `scan` does.
    """
    record = run.read()
    try:
        config = ScanConfig(**record["config"])
    except ValidationError as error:
        unknown = error.errors()[0]["loc"]
        raise RunError(f"{run.run_json}: holds options this version does not know ({unknown})") from None
    accelerator = make_accelerator(config.device)
    with _writing(run, accelerator):
        if accelerator.is_main_process:
            atomic.remove_leftovers(run.path)
        samples = read_samples(Path(record["data"]["source"]), **config.reading())
        plan = settle(samples, config)
        readable, images = _decode(samples, config, plan, track)
        if _fingerprint(readable, images) != record["data"]["fingerprint"]:
            raise RunError(f"{run.path}: the data in {record['data']['source']} have changed since; scan them anew")
        if asdict(plan.recipe) != record["recipe"] or plan.image_size != record["image_size"]:
            raise RunError(f"{run.path}: was begun with another recipe or on another kind of device; scan anew")
        indicators = _indicators(readable, config, plan.settings)
        return _train_and_judge(run, readable, images, indicators, plan, track)


def _new_shared_run(samples: Samples, config: ScanConfig, accelerator: Accelerator) -> Run:
    """A new run directory, made by the main process and known to all."""
    if config.overwrite and config.out is not None and accelerator.is_main_process:
        decisions.require_none(Run(config.out))
    made = [new_run(config.out, samples.name, overwrite=config.overwrite).path if accelerator.is_main_process else None]
    (path,) = broadcast_object_list(made)
    return Run(path)


@contextmanager
def _writing(run: Run, accelerator: Accelerator) -> Iterator[None]:
    """Hold the run for all processes of this scan."""
    with run.lock() if accelerator.is_main_process else nullcontext():
        yield


def _decode(samples: Samples, config: ScanConfig, plan: Plan, track: Track[Any]) -> tuple[Samples, Decoded]:
    """The samples that can be read, and their images."""
    images = decoded(
        samples,
        plan.image_size,
        workers=plan.workers,
        cache_dir=plan.cache_dir,
        limit_gib=config.cache_limit,
        track=lambda chunks: track(chunks, "decoding", 0, len(samples)),
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


def _record(samples: Samples, images: Decoded, config: ScanConfig, plan: Plan) -> dict[str, Any]:
    """What `run.json` says at the start."""
    source = samples.source.absolute()
    return {
        "aumclean": __version__,
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("torch", "accelerate", "pillow")},
        },
        "argv": sys.argv,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "state": "running",
        "config": _with_absolute_paths(config).model_dump(mode="json"),
        "data": {
            "source": str(source),
            "source_bytes": source.stat().st_size,
            "source_changed_ns": source.stat().st_mtime_ns,
            "root": str(samples.root.absolute()),
            "name": samples.name,
            "label_column": samples.label_column,
            "image_column": samples.images.column if isinstance(samples.images, Embedded) else None,
            "samples": len(samples),
            "unreadable": len(images.files) - len(samples),
            "class_names": list(samples.class_names),
            "fingerprint": _fingerprint(samples, images),
        },
        "device": describe(plan.accelerator.device),
        "image_size": plan.image_size,
        "recipe": asdict(plan.recipe),
        "judge": asdict(plan.settings),
        "draws": config.draws,
        "epochs_done": [0] * config.draws,
        "training_seconds": [0.0] * config.draws,
    }


def _with_absolute_paths(config: ScanConfig) -> ScanConfig:
    """So that a run can be resumed from another folder."""
    paths = {name: getattr(config, name) for name in PATH_KEYS if name in ScanConfig.model_fields}
    return config.model_copy(
        update={name: path.expanduser().absolute() for name, path in paths.items() if path is not None}
    )


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


def _indicators(samples: Samples, config: ScanConfig, settings: Settings) -> np.ndarray:
    """Sample ids of the indicator samples, [draws, count]; what is too little to scan is refused here."""
    if len(samples.class_names) < 2:
        raise DataError(
            f"{samples.root}: all readable images have the label '{samples.class_names[0]}'; two are needed"
        )
    n, n_classes = len(samples), len(samples.class_names)
    try:
        return draw_indicators(n, n_classes, config.draws, seed=config.seed, rule=settings.rule)
    except ValueError:
        raise DataError(
            f"{samples.root}: {n} readable images in {n_classes} classes are too few for {config.draws} draws of "
            "indicator samples; add images"
        ) from None


def _train_and_judge(
    run: Run, samples: Samples, images: Decoded, indicators: np.ndarray, plan: Plan, track: Track[Any]
) -> Scan:
    if plan.accelerator.is_main_process:
        _write_samples(run, samples, images)
        if (confirmed := run.read()["config"].get("ledger")) is not None:
            ledger.write_silenced(run, Path(confirmed))
    plan.accelerator.wait_for_everyone()
    record = run.read()
    dataset = Dataset(images.images, samples.labels.astype(np.int64), samples.class_names)
    foreseen = [*label_warnings(dataset.labels, dataset.class_names), *recorded_warnings(record, len(dataset))]
    for warning in foreseen:
        logger.warning("%s", warning.message)
    for draw in range(record["draws"]):
        _train_draw(run, record, dataset, indicators[draw], draw, plan, track)
        plan.accelerator.wait_for_everyone()
    verdict = judge(run)
    if not plan.accelerator.is_main_process:
        return Scan(run, verdict)
    known = {warning.message for warning in foreseen}
    for message in (warning["message"] for warning in verdict.summary["warnings"]):
        if message not in known:
            logger.warning("%s", message)
    write_reports(run, verdict)
    run.write({**run.read(), "state": "done", "finished": datetime.now(UTC).isoformat(timespec="seconds")})
    return Scan(run, verdict)


def _train_draw(
    run: Run,
    record: dict[str, Any],
    dataset: Dataset,
    indicators: np.ndarray,
    draw: int,
    plan: Plan,
    track: Track[Any],
) -> None:
    """Train on one draw of indicator samples; its margins, state and weights are on disk when this returns."""
    checkpoint = run.checkpoint(draw)
    if run.model(draw).is_file():
        checkpoint.unlink(missing_ok=True)
        return
    recipe, draws, n, accelerator = plan.recipe, record["draws"], len(dataset), plan.accelerator
    is_indicator = np.zeros(n, bool)
    is_indicator[indicators] = True

    def tracked(batches: Iterable[torch.Tensor], epoch: int) -> Iterator[torch.Tensor]:
        description = f"draw {draw + 1}/{draws}, epoch {epoch + 1}/{recipe.epochs}"
        return track(batches, description, (draw * recipe.epochs + epoch) * n, draws * recipe.epochs * n)

    epochs = train(
        with_indicators(dataset, indicators),
        recipe,
        seed=int(np.random.SeedSequence([record["config"]["seed"], 1 + draw]).generate_state(1)[0]),
        accelerator=accelerator,
        checkpoint=checkpoint,
        track=tracked,
    )
    for epoch in epochs:
        schedule = {"draw": draw, "epoch": epoch.number, "rate_at_end": epoch.learning_rate, "recipe": asdict(recipe)}
        recorded = EpochMargins(
            epoch.sample.astype(np.int32), epoch.margin, epoch.runner_up, is_indicator[epoch.sample]
        )
        write_epoch(run.margins, draw, epoch.number, recorded, schedule, rank=accelerator.process_index)
        accelerator.wait_for_everyone()  # the epoch counts as done when every part of it is on disk
        if not accelerator.is_main_process:
            continue
        remove_other_parts(run.margins, draw, epoch.number, accelerator.num_processes)
        record["epochs_done"][draw] = epoch.number + 1
        record["training_seconds"][draw] += epoch.seconds
        run.write(record)
        logger.debug(
            "draw %d/%d, epoch %d/%d: loss %.3f, accuracy %.1f %%, %.0f images/s",
            draw + 1, draws, epoch.number + 1, recipe.epochs, epoch.loss, 100 * epoch.accuracy, n / epoch.seconds,
        )  # fmt: skip
    if not accelerator.is_main_process:
        return
    weights, seed = load_checkpoint(checkpoint, torch.device("cpu"))["average"], record["config"]["seed"]
    keep_network(run, draw, weights, dataset, indicators, recipe, seed=seed, device=accelerator.device)
    checkpoint.unlink()
