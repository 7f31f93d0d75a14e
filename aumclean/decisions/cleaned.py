"""The cleaned data of a run: a manifest in CSV or Parquet, or a folder of images."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aumclean.dataset.decode import format_of
from aumclean.dataset.images import Embedded, state_of
from aumclean.dataset.pictures import Pictures, pictures_of
from aumclean.decisions.boxes import write_boxes
from aumclean.decisions.clean import Cleaning, Policy, clean, cleaned_table
from aumclean.errors import ConfigError, DataError, RunError
from aumclean.files import atomic, csv, parquet
from aumclean.run.directory import Run
from aumclean.run.record import Data, Place
from aumclean.run.tables import SAMPLES, read_samples

STREAMED_ROWS = 1024  # of images, that are in memory at a time


@dataclass(frozen=True)
class Cleaned:
    """What was written: the cleaned manifest (in each of its forms), the list of changes, copies of images."""

    cleaning: Cleaning
    manifests: tuple[Path, ...]
    changes: Path
    copied: int


def clean_run(
    run: Run, report: pa.Table, decided: pa.Table, policy: Policy, out: Path | None, copy_to: Path | None
) -> Cleaned:
    """Clean the data of a run, and write the manifest and every change with its reason.

    Args:
        run: whose data.
        report: one row per sample.
        decided: one row per decided sample.
        policy: what becomes of flagged samples that nobody decided.
        out: manifest to write; those of the run directory by default.
        copy_to: a new folder for copies of the images that stay, one folder per class.

    Raises:
        ConfigError: for a manifest that is neither .csv nor .parquet, or a file of the data.
        DataError: when the data have changed since, or the copies cannot be made.
    """
    if out is not None and out.suffix.lower() not in {".csv", ".parquet"}:
        raise ConfigError(f"--out: {out} must end in .csv or .parquet")
    if out is not None and out.exists() and _is_data(out.resolve(), run.place()):
        raise ConfigError(f"--out: {out} is of the data that were scanned, and would be lost; name a new file")
    cleaning = clean(report, decided, policy, run.path.resolve().name)
    manifests = default_targets(run) if out is None else (out,)
    changes = run.changes if out is None else out.with_name(f"{out.stem}.changes.csv")
    with run.lock(), nullcontext(0) if copy_to is None else copies(run, cleaning, copy_to) as copied:
        write_cleaned(run, cleaning, manifests, changes)  # first: where the copies are, all is done
    return Cleaned(cleaning, manifests, changes, copied)


def _is_data(file: Path, data: Place) -> bool:
    source = Path(data.source).resolve()
    return file == source or (data.image_column is not None and source in file.parents)


def default_targets(run: Run) -> tuple[Path, ...]:
    """Where a run's own cleaned manifest is: CSV and Parquet, or Parquet alone when the images are in it."""
    embedded = run.read().data.image_column is not None
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
    data = run.read().data
    if data.image_column is not None:
        for target in targets:
            if target.suffix.lower() != ".parquet":
                raise DataError(f"{target}: the images are in {data.source}, so the cleaned data must be .parquet")
    parts: list[pa.Table] = []
    blocks = _cleaned_blocks(run, cleaning, data, parts)
    first = next(blocks)
    with ExitStack() as stack:
        writers = [stack.enter_context(_writer(target, first.schema)) for target in targets]
        for block in itertools.chain([first], blocks):
            for write in writers:
                write(block)
        if data.boxes is not None:
            paths = parquet.read(run.samples, ["path"])["path"].to_pylist()
            place = run.place()
            write_boxes(Path(place.source), Path(place.root), data.boxes, paths, cleaning, targets[0])
        csv.save(changes, pa.concat_tables(parts))  # before the manifests, which appear when all else is there


@contextmanager
def _writer(target: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """What writes a table, some rows at a time, into a file that is there when the block ends well."""
    with atomic.replacing(target) as temporary:
        if target.suffix.lower() == ".parquet":
            with pq.ParquetWriter(temporary, schema, **parquet.CHECKED) as writer:
                yield writer.write_table
        else:
            with temporary.open("wb") as file:
                file.writelines(csv.pieces(schema.empty_table()))
                yield lambda block: file.writelines(csv.pieces(block, header=False))


def _cleaned_blocks(run: Run, cleaning: Cleaning, data: Data, changes: list[pa.Table]) -> Iterator[pa.Table]:
    """The cleaned rows of the input some at a time; what was changed of them goes to the end of `changes`."""
    embedded = data.image_column is not None
    first = 0
    for block in embedded_blocks(run, data) if embedded else input_blocks(run):
        here = cleaning.at(first, first + len(block))
        cleaned, changed = cleaned_table(block, here, data.label_column, noting_rows=not embedded)
        ids = changed["sample_id"].to_numpy() + np.int32(first)
        changes.append(changed.set_column(0, changed.schema.field(0), pa.array(ids)))
        first += len(block)
        yield cleaned


def input_blocks(run: Run) -> Iterator[pa.Table]:
    """The input's own columns, row i is sample i, some rows at a time; for an image folder path and label."""
    listed = run.manifest.is_file()
    file = run.manifest if listed else run.samples
    schema = parquet.schema_of(file) if listed else pa.schema([SAMPLES.field(name) for name in ("path", "label")])
    n = 0
    for batch in parquet.read_blocks(file, schema):
        n += len(batch)
        yield pa.Table.from_batches([batch])
    if n != run.read().data.samples:
        raise RunError(f"{file}: is not of the samples of this run; scan again")


def embedded_blocks(run: Run, data: Data) -> Iterator[pa.Table]:
    """The same of Parquet files with the images in a column: so few at a time that the images fit into memory.

    Raises:
        DataError: when the files are gone or have changed, so that rows can no longer be told by their number.
    """
    images, rows = pictures_of(run).images, read_samples(run, "row")["row"].to_numpy()
    assert isinstance(images, Embedded)
    source = images.files[0]
    try:
        same = state_of(images, source) == (data.source_bytes, data.source_changed_ns)
    except OSError:
        same = False
    if not same:
        raise DataError(f"{source}: is gone or has changed since the scan; no cleaned manifest can be made from it")
    first = 0
    for batch in images.batches(STREAMED_ROWS):
        low, high = np.searchsorted(rows, (first, first + len(batch)))
        yield batch.take(pa.array(rows[low:high] - first))
        first += len(batch)


@contextmanager
def copies(run: Run, cleaning: Cleaning, folder: Path) -> Iterator[int]:
    """Make a clean image folder of copies, one folder per class; it is there when the block ends well.

    Copies, not links: whoever edits an image of the clean folder must not change the original by it.

    Args:
        run: the run whose data are cleaned.
        cleaning: what becomes of each sample.
        folder: must be empty or not there, and not in a folder that is scanned.

    Yields:
        How many images it has.

    Raises:
        DataError: when a class cannot be a folder, or an image is gone or has changed; nothing is left then.
        OutputError: when the folder is not empty, or a copy cannot be written; nothing is left then.
    """
    if not run.read().data.pictures:
        raise DataError(f"--copy-to: the samples of {run.path} are no images")
    source = Path(run.place().source).resolve()
    if source.is_dir() and source in folder.resolve().parents:
        raise DataError(f"{folder}: is inside the data, so the next scan would read it; choose another --copy-to")
    with atomic.new_folder(folder) as building:
        _fill(run, cleaning, building)
        yield len(cleaning.kept)


def _fill(run: Run, cleaning: Cleaning, folder: Path) -> None:
    pictures, new_labels, kept = pictures_of(run), cleaning.new_labels, cleaning.kept
    samples = read_samples(run, "path", "label")
    paths, labels = samples["path"].to_pylist(), samples["label"].to_pylist()
    for sample, (file, encoded) in zip(kept.tolist(), _scanned(pictures, kept), strict=True):
        label = new_labels.get(sample, labels[sample])
        if "/" in label or os.sep in label or "\0" in label or label.startswith("."):
            raise DataError(f"--copy-to: the class '{label}' cannot be the name of a folder")
        name = Path(paths[sample])
        suffix = name.suffix if file is not None else f".{format_of(encoded).lower()}"
        (folder / label).mkdir(parents=True, exist_ok=True)
        _copy(encoded, folder / label, name.stem, suffix, sample)


def _scanned(pictures: Pictures, samples: np.ndarray) -> Iterator[tuple[Path | None, bytes]]:
    """Files and bytes of samples, as they were scanned.

    Raises:
        DataError: when one is gone or has changed.
    """
    try:
        yield from pictures.each(samples)
    except OSError as error:
        raise DataError(f"--copy-to: {error}; name where the data are now with --data") from None


def _copy(encoded: bytes, folder: Path, stem: str, suffix: str, sample: int) -> None:
    """Write an image under its own name; where that is taken (after relabeling, from a folder below) with its number.

    Opening a file for exclusive creation is what finds a name free: nothing that exists is ever written to.
    """
    numbered = (f"{stem}-{sample}" + f"-{again}" * bool(again) for again in itertools.count())
    for name in itertools.chain([stem], numbered):
        with suppress(FileExistsError), (folder / f"{name}{suffix}").open("xb") as file:
            file.write(encoded)
            return
