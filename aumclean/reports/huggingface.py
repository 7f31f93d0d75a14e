"""Hugging Face: `metadata.csv` for an image folder, and Parquet with an image column and class labels."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aumclean.dataset.decode import CHUNK, read_encoded
from aumclean.dataset.images import Files, Item
from aumclean.dataset.pictures import Pictures, pictures_of
from aumclean.files.csv import to_csv
from aumclean.verdict.judge import Verdict

Streamed = tuple[pa.Schema, Iterator[pa.RecordBatch]]
KINDS = {
    "sample_id": pa.int32(),
    "suggested_confidence": pa.float64(),
    "flagged": pa.bool_(),
    "aum": pa.float64(),
    "label_score": pa.float64(),
    "content_hash": pa.string(),
}
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def render(verdict: Verdict) -> dict[str, str | Streamed]:
    """Every sample of the run in the order of the data: file names and contents.

    `data.parquet` refers to image files by their absolute path; images in a Parquet file are copied from it.
    `metadata.csv` belongs into the root folder of the images; without such a folder it is not written.
    """
    report = verdict.report.sort_by("sample_id")
    classes = sorted(row.label for row in verdict.summary.per_class)
    pictures = pictures_of(verdict.run)
    made: dict[str, str | Streamed] = {"data.parquet": (_schema(classes), _batches(report, classes, pictures))}
    if isinstance(pictures.images, Files):
        table = report.select(["path", "label", "suggested_label", *KINDS])
        made["metadata.csv"] = to_csv(table.rename_columns(["file_name", *table.column_names[1:]]))
    return made


def _schema(classes: list[str]) -> pa.Schema:
    class_label = {"names": classes, "_type": "ClassLabel"}
    features: dict[str, Any] = {"image": {"_type": "Image"}, "label": class_label, "suggested_label": class_label}
    dtypes = {pa.float64(): "float64", pa.int32(): "int32", pa.bool_(): "bool", pa.string(): "string"}
    features |= {name: {"dtype": dtypes[kind], "_type": "Value"} for name, kind in KINDS.items()}
    fields = [("image", IMAGE), ("label", pa.int64()), ("suggested_label", pa.int64()), *KINDS.items()]
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _batches(report: pa.Table, classes: list[str], pictures: Pictures) -> Iterator[pa.RecordBatch]:
    schema, names = _schema(classes), pa.array(classes, pa.string())
    labels = [
        pc.index_in(report[name], names).cast(pa.int64()).combine_chunks() for name in ("label", "suggested_label")
    ]
    whole = [*labels, *(report[name].cast(kind).combine_chunks() for name, kind in KINDS.items())]
    start = 0
    for chunk in pictures.images.chunks(pictures.rows[np.arange(len(report))], CHUNK):
        images = [_image(item) for item in chunk]
        columns = [column.slice(start, len(chunk)) for column in whole]
        yield pa.RecordBatch.from_arrays([pa.array(images, IMAGE), *columns], schema=schema)
        start += len(chunk)


def _image(item: Item) -> dict[str, bytes | str | None]:
    if isinstance(item, Path):
        return {"bytes": None, "path": str(item)}
    return {"bytes": None if item is None else read_encoded(item), "path": None}
