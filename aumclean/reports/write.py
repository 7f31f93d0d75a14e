"""Put a verdict into its run directory: report, summary, cleaned manifest, lists of what was changed and removed."""

import itertools
import logging
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from aumclean import atomic
from aumclean.dataset.decode import format_of
from aumclean.dataset.pictures import pictures_of
from aumclean.errors import DataError
from aumclean.reports import csv, decisions, html, manifest, parquet
from aumclean.reports.clean import Cleaning, clean, cleaned_batches, cleaned_table
from aumclean.run import Run
from aumclean.verdict.judge import Verdict

logger = logging.getLogger(__name__)


def write_reports(run: Run, verdict: Verdict) -> None:
    """Write every file of the run that follows from the verdict and the decisions, each whole or not at all.

    A report.csv that somebody filled in is not written over, but kept beside.

    Raises:
        DataError: when the data are a Parquet file with the images in it, and that file is gone.
    """
    decided = decisions.of_run(run).decided
    cleaning = clean(verdict.report, decided, "drop", run.path.resolve().name)
    write_cleaned(run, cleaning, default_targets(run), run.changes)  # first: it may need a source that has changed
    _keep_filled_in(run)
    shown = decisions.with_decisions(verdict, run)
    with atomic.replacing(run.report("parquet")) as temporary:
        parquet.write(shown.report, temporary)
    atomic.write_pieces(run.report("csv"), csv.pieces(shown.report, guard=True))
    atomic.write_pieces(run.removed, csv.pieces(manifest.removed(verdict, cleaning.kept), guard=True))
    atomic.write_json(run.summary, verdict.summary)
    atomic.write_text(run.html, html.render(shown))
    run.finish(judge=asdict(verdict.settings))


def _keep_filled_in(run: Run) -> None:
    if not decisions.filled_by_hand(run):
        return
    file = run.report("csv")
    beside = (file.with_name(f"report-filled-in-{number}.csv") for number in itertools.count(1))
    kept = next(path for path in beside if _copied_to_new(file, path))
    logger.warning("%s was filled in by hand; kept as %s; aumclean review %s --import %s", file, kept, run.path, kept)


def _copied_to_new(file: Path, path: Path) -> bool:
    """Copy a file under a name that nothing has yet; False when it is taken."""
    try:
        with path.open("xb") as copy:
            copy.write(file.read_bytes())
    except FileExistsError:
        return False
    return True


def default_targets(run: Run) -> tuple[Path, ...]:
    """Where a run's own cleaned manifest lies: CSV and Parquet, or Parquet alone when the images lie in it."""
    embedded = run.read()["data"]["image_column"] is not None
    return tuple(run.cleaned(suffix) for suffix in (["parquet"] if embedded else ["csv", "parquet"]))


def write_cleaned(run: Run, cleaning: Cleaning, targets: Sequence[Path], changes: Path) -> None:
    """Write the cleaned manifest, and what was changed.

    Args:
        run: the run whose data are cleaned.
        cleaning: what becomes of each sample.
        targets: files to write, `.csv` or `.parquet`.
        changes: CSV file for the list of changes.

    Raises:
        DataError: when a target cannot hold the data, or the data are gone.
    """
    data = run.read()["data"]
    label_column = data.get("label_column", "label")
    if data["image_column"] is not None:
        for target in targets:
            if target.suffix.lower() != ".parquet":
                raise DataError(f"{target}: the images lie in {data['source']}, so the cleaned data must be .parquet")
        rows = pq.read_table(run.samples, columns=["row"])["row"].to_numpy()
        source = manifest.EmbeddedSource(Path(data["source"]), rows, data["source_bytes"], data["source_changed_ns"])
        schema, batches = cleaned_batches(*source.filtered(cleaning.kept), cleaning, label_column)
        for target in targets:
            with atomic.replacing(target) as temporary, pq.ParquetWriter(temporary, schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
        changed = cleaning.changes
    else:
        cleaned, changed = cleaned_table(input_table(run), cleaning, label_column)
        for target in targets:
            if target.suffix.lower() == ".parquet":
                with atomic.replacing(target) as temporary:
                    parquet.write(cleaned, temporary)
            else:
                atomic.write_pieces(target, csv.pieces(cleaned))
    atomic.write_pieces(changes, csv.pieces(changed, guard=True))


def input_table(run: Run) -> pa.Table:
    """The input's own columns, row i is sample i; for an image folder path and label."""
    if run.manifest.is_file():
        return pq.read_table(run.manifest)
    return pq.read_table(run.samples, columns=["path", "label"])


def copy_cleaned(run: Run, cleaning: Cleaning, folder: Path) -> int:
    """Make a clean image folder of copies, one folder per class.

    Copies, not links: whoever edits an image of the clean folder must not change the original by it.

    Args:
        run: the run whose data are cleaned.
        cleaning: what becomes of each sample.
        folder: must be empty or not there, and not in a folder that is scanned.

    Returns:
        How many images it has.

    Raises:
        DataError: when a class cannot be a folder, or an image has changed since the scan; nothing is left then.
    """
    source, target = Path(run.read()["data"]["source"]).resolve(), folder.resolve()
    if source.is_dir() and source in target.parents:
        raise DataError(f"{folder}: lies in the data, which the next scan would read; choose another --copy-to")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: exists and is not an empty folder; choose another --copy-to")
    building = target.with_name(f".{target.name}.{os.getpid()}{atomic.TEMPORARY_SUFFIX}")
    try:
        _fill(run, cleaning, building)
        if target.exists():
            target.rmdir()
        building.rename(target)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({atomic.reason(error)})") from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return len(cleaning.kept)


def _fill(run: Run, cleaning: Cleaning, folder: Path) -> None:
    pictures, new_labels, kept = pictures_of(run), cleaning.new_labels, cleaning.kept
    samples = pq.read_table(run.samples, columns=["path", "label"])
    paths, labels = samples["path"].to_pylist(), samples["label"].to_pylist()
    for sample, (file, encoded) in zip(kept.tolist(), pictures.each(kept), strict=True):
        label = new_labels.get(sample, labels[sample])
        if "/" in label or os.sep in label or "\0" in label or label.startswith("."):
            raise DataError(f"--copy-to: the class '{label}' cannot be the name of a folder")
        name = Path(paths[sample])
        suffix = name.suffix if file is not None else f".{format_of(encoded).lower()}"
        (folder / label).mkdir(parents=True, exist_ok=True)
        _copy(encoded, folder / label, name.stem, suffix, sample)


def _copy(encoded: bytes, folder: Path, stem: str, suffix: str, sample: int) -> None:
    """Write an image under its own name; where that is taken (after relabeling, from a folder below) with its number.

    Opening a file for exclusive creation is what finds a name free: nothing that exists is ever written to.
    """
    numbered = (f"{stem}-{sample}" + f"-{again}" * bool(again) for again in itertools.count())
    for name in itertools.chain([stem], numbered):
        with suppress(FileExistsError), (folder / f"{name}{suffix}").open("xb") as file:
            file.write(encoded)
            return
