"""The whole way: samples in, a run directory with margins, verdict and reports out."""

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
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from aumclean import __version__
from aumclean.config.reading import PATH_KEYS
from aumclean.config.recipe import LINEAR
from aumclean.config.scan import ScanConfig
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.images import state_of
from aumclean.dataset.indicators import draw_indicators
from aumclean.dataset.open import Opened, open_configured, read_scanned
from aumclean.dataset.samples import Samples
from aumclean.decisions import ledger
from aumclean.decisions.recorded import require_none
from aumclean.errors import DataError, RunError, TrainingError
from aumclean.features.own import anywhere
from aumclean.features.pixels import needs_backbone
from aumclean.files import atomic
from aumclean.files.location import absolute, location
from aumclean.progress import Track, untracked
from aumclean.reports.write import write_reports
from aumclean.run.directory import Run, new_run, require_room
from aumclean.run.record import Data, Options, ScanRecord
from aumclean.scanning.features import Looked, look, write_evidence
from aumclean.scanning.indicator_draws import train_draws
from aumclean.scanning.plan import Plan, of_heads, settle
from aumclean.training.backbone import require_known
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
    if plan.features is not None and needs_backbone(plan.features):
        require_known(plan.features)
    if config.ledger is not None and not len(ledger.read(config.ledger)):
        logger.warning("%s: holds no confirmed labels yet; aumclean clean RUN --ledger adds them", config.ledger)
    if config.only_draw is None and plan.accelerator.is_main_process:
        require_room(config.out, overwrite=config.overwrite)
    with _noticing_lost_processes(plan.accelerator):
        ground = _prepare(samples, config, plan, track)
        if config.only_draw is not None and config.out is not None:
            return _scan_only_draw(config.only_draw, config.out, ground, config, plan, track)
        run = _new_shared_run(samples.name, config, plan.accelerator)
        logger.info("writing to %s", run.path)
        with _writing(run, plan.accelerator):
            if plan.accelerator.is_main_process:
                run.write(_record(ground.opened, config, plan))
            return _train_and_judge(run, ground, plan, track)


def resume(run: Run, *, track: Track = untracked) -> Scan:
    """Go on with a scan that was stopped, however it was; the result equals that of an uninterrupted one.

    Raises:
        RunError: when the run is in use, or its data have changed since.
        AumcleanError: as `scan` does.
    """
    record = run.read_scan()
    if extra := record.config.model_extra:
        raise RunError(f"{run.run_json}: holds options this version does not know ({', '.join(extra)})")
    config = record.config.model_copy(update={"features": record.features or "none"})  # defaults may be others now
    accelerator = make_accelerator(config.device)
    with _noticing_lost_processes(accelerator), _writing(run, accelerator):
        if accelerator.is_main_process:
            atomic.remove_leftovers(run.path)
        samples = read_scanned(run)
        plan = settle(samples, config)
        begun = run if run.features.is_file() else None
        ground = _prepare(samples, config, plan, track, begun)
        _require_same(run, record, ground.opened, plan)
        if record.state == "interrupted" and accelerator.is_main_process:
            run.note_state("running")
        return _train_and_judge(run, ground, plan, track)


def _require_same(run: Run, record: ScanRecord, opened: Opened, plan: Plan) -> None:
    """Refuse to go on in a run with what it was not begun with.

    Raises:
        RunError: when data or recipe are others.
    """
    opened.require_unchanged(run)
    if plan.recipe != record.recipe or plan.image_size != record.image_size:
        raise RunError(f"{run.path}: was begun with another recipe or on another kind of device; scan again")
    heads = run.heads.read_scan().recipe if run.heads.run_json.is_file() else None
    if plan.heads is not None and heads not in (None, plan.heads.recipe):
        raise RunError(f"{run.heads.path}: were begun with another recipe; scan again")
    if plan.features != record.features:
        raise RunError(
            f"{run.path}: was begun with --features {record.features or 'none'}, which would now be "
            f"{plan.features or 'none'}; give the same options, install what they need, or scan again"
        )


@dataclass(frozen=True)
class _Ground:
    """What draws are trained on: the data as they were opened, and their features, if they have some."""

    opened: Opened
    looked: Looked | None
    indicators: np.ndarray  # int64 [draws, count], sample ids

    def dataset(self, plan: Plan) -> Dataset:
        """What training sees: images, or features where only heads are trained."""
        if plan.recipe.arch == LINEAR and self.looked is not None:
            return self.looked.dataset
        return self.opened.dataset()


def _prepare(samples: Samples, config: ScanConfig, plan: Plan, track: Track, run: Run | None = None) -> _Ground:
    opened = open_configured(samples, plan.image_size, config, max_unreadable=config.max_unreadable, track=track)
    looked = None if plan.features is None else look(opened, plan.features, config, plan.accelerator, track, run)
    return _Ground(opened, looked, indicators_of(opened, looked, config.seed, plan))


def _scan_only_draw(draw: int, out: Path, ground: _Ground, config: ScanConfig, plan: Plan, track: Track) -> Scan:
    """Train one draw of a run that others, on other machines perhaps, train the other draws of; the last one judges.

    Raises:
        RunError: when the run is of other data or options, or somebody trains this draw already.
        KeyboardInterrupt: with what goes on with it.
    """
    accelerator = plan.accelerator
    run, dataset = Run(out), ground.dataset(plan)
    if accelerator.is_main_process:
        out.mkdir(parents=True, exist_ok=True)
        with run.lock_briefly():
            _enter(run, ground, config, plan)
    accelerator.wait_for_everyone()
    logger.info("draw %d goes to %s", draw, run.path)
    try:
        _train_heads(run, ground, plan, track)
        train_draws(run, dataset, ground.indicators, plan, track)
        if not accelerator.is_main_process:
            return Scan(run, None)
        with run.lock_briefly(patience=-1):  # this draw is on disk, however long another one judges
            if (missing := run.untrained()) or run.read().state == "done":
                logger.info("draws still to be trained: %s", ", ".join(map(str, missing)) or "none, the run is judged")
                return Scan(run, None)
            return Scan(run, _judge(run, dataset))
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command once more") from None


def _enter(run: Run, ground: _Ground, config: ScanConfig, plan: Plan) -> None:
    """Begin a shared run, or make sure that this scan is one of its draws."""
    opened = ground.opened
    if run.is_empty():
        run.write(_record(opened, config.model_copy(update={"only_draw": None}), plan))
    elif not run.run_json.is_file():
        raise RunError(f"{run.path}: exists and is not a run directory; choose another --out")
    record = run.read_scan()
    _require_same(run, record, opened, plan)
    mine = _recorded(config)
    for name, given in {"draws": plan.draws, "judge": plan.settings}.items():
        if (begun := getattr(record, name)) != given:
            raise RunError(f"{run.path}: was begun with other options ({name}: {begun}); give the same ones")
    for name in ("seed", "ledger"):
        if (begun := getattr(record.config, name)) != getattr(mine, name):
            raise RunError(f"{run.path}: was begun with --{name} {begun}; give the same to every draw")
    _write_begin(run, ground, plan)


def _new_shared_run(name: str, config: ScanConfig, accelerator: Accelerator) -> Run:
    """A new run directory, made by the main process and known to all."""
    if config.overwrite and config.out is not None and accelerator.is_main_process:
        require_none(Run(config.out))
    made = [new_run(config.out, name, overwrite=config.overwrite).path if accelerator.is_main_process else None]
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
    """Hold the run for all processes of this scan; when it is interrupted, note that, and pass on what goes on with it.

    Raises:
        KeyboardInterrupt: with the command that goes on, if there is a run to go on with.
    """
    with run.lock() if accelerator.is_main_process else nullcontext():
        try:
            yield
        except KeyboardInterrupt:
            if not run.run_json.is_file():
                raise
            if accelerator.is_main_process:
                run.note_state("interrupted")
            raise KeyboardInterrupt(f"aumclean scan --resume {run.path}") from None


def _record(opened: Opened, config: ScanConfig, plan: Plan) -> ScanRecord:
    """What `run.json` says at the start."""
    samples = opened.samples
    size, changed_ns = state_of(samples.images, samples.source)
    return ScanRecord(
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
            **opened.place().model_dump(),
            source_bytes=size,
            source_changed_ns=changed_ns,
            label_column=samples.label_column,
            samples=len(opened),
            unreadable=len(opened.unreadable),
            class_names=list(samples.class_names),
            fingerprint=opened.digest(),
        ),
        device=describe(plan.accelerator.device),
        image_size=plan.image_size,
        recipe=plan.recipe,
        features=plan.features,
        judge=plan.settings,
        horizon=None if config.horizon is None else read_horizon(config.horizon),
        draws=plan.draws,
        epochs_done=[0] * plan.draws,
        training_seconds=[0.0] * plan.draws,
    )


def _recorded(config: ScanConfig) -> Options:
    """The options with absolute paths, so that a run can be resumed from another folder."""
    paths = {name: getattr(config, name) for name in PATH_KEYS if name in ScanConfig.model_fields}
    settled = {name: absolute(location(path)) for name, path in paths.items() if path is not None}
    features = None if config.features is None else anywhere(config.features)
    return Options(**{**config.model_dump(), **settled, "features": features, "verify": False})


def indicators_of(opened: Opened, looked: Looked | None, seed: int, plan: Plan) -> np.ndarray:
    """Sample ids of the indicator samples, [draws, count]; what is too little to scan is refused here."""
    n, n_classes = len(opened), len(opened.samples.class_names)
    rule, least, group = plan.settings.rule, plan.least_held_out, None if looked is None else looked.near.group
    try:
        return draw_indicators(n, n_classes, plan.draws, seed=seed, rule=rule, least=least, group=group)
    except ValueError:
        raise DataError(
            f"{opened.samples.source}: {n} samples in {n_classes} classes are too few for {plan.draws} draws "
            "of indicator samples; add images"
        ) from None


def _write_begin(run: Run, ground: _Ground, plan: Plan) -> None:
    ground.opened.write(run)
    config = run.read_scan().config
    if config.ledger is not None:
        ledger.write_silenced(run, config.ledger)
    if ground.looked is not None:
        write_evidence(run, ground.looked)
    if plan.heads is not None and not run.heads.run_json.is_file():
        run.heads.path.mkdir(exist_ok=True)
        run.heads.write(_record(ground.opened, of_heads(config, plan.features), plan.heads))


def _train_and_judge(run: Run, ground: _Ground, plan: Plan, track: Track) -> Scan:
    if plan.accelerator.is_main_process:
        _write_begin(run, ground, plan)
    plan.accelerator.wait_for_everyone()
    dataset = ground.dataset(plan)
    for message in _foreseen(run, dataset):
        logger.warning("%s", message)
    _train_heads(run, ground, plan, track)
    if plan.heads is not None and plan.accelerator.is_main_process:
        _judge_first(run)
    train_draws(run, dataset, ground.indicators, plan, track)
    return Scan(run, _judge(run, dataset) if plan.accelerator.is_main_process else None)


def _train_heads(run: Run, ground: _Ground, plan: Plan, track: Track) -> None:
    """Train heads on the features, if there are any: what they were taught tells more than what they were not alone."""
    if plan.heads is not None and ground.looked is not None:
        train_draws(run.heads, ground.looked.dataset, ground.indicators, plan.heads, track)


def _judge_first(run: Run) -> None:
    """Write what the features alone say, so that a person can begin to look while the network is trained."""
    if run.awaits_network() and not run.summary.is_file():
        write_reports(run, judge(run), final=False)
        logger.info("the first verdict, by the features alone, is in %s; aumclean review %s", run.html, run.path)


def _foreseen(run: Run, dataset: Dataset) -> list[str]:
    """The warnings that need no verdict."""
    record = run.read_scan()
    published = record.judge.threshold == "indicator"
    found = [
        *label_warnings(dataset.labels, dataset.class_names, published=published),
        *recorded_warnings(record, len(dataset)),
    ]
    return [warning.message for warning in found]


def _judge(run: Run, dataset: Dataset) -> Verdict:
    if run.heads.run_json.is_file():
        run.heads.finish(run.heads.read().judge)
    verdict = judge(run)
    known = _foreseen(run, dataset)
    for message in (warning.message for warning in verdict.summary.warnings):
        if message not in known:
            logger.warning("%s", message)
    write_reports(run, verdict)
    return verdict
