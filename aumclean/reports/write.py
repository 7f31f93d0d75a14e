"""Put a verdict into its run directory: report, summary, cleaned manifest, list of what was removed."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aumclean import atomic
from aumclean.reports import csv, html, manifest, parquet
from aumclean.run import Run
from aumclean.verdict.judge import Verdict


def write_reports(run: Run, verdict: Verdict) -> None:
    """Write every file of the run that follows from the verdict, each whole or not at all.

    Raises:
        DataError: when the data are a Parquet file with the images in it, and that file is gone.
    """
    _write_cleaned(run, manifest.kept(verdict))  # first: it alone may need a source that has changed
    atomic.write_bytes(run.report("parquet"), parquet.render(verdict))
    atomic.write_text(run.report("csv"), csv.render(verdict))
    atomic.write_text(run.removed, csv.to_csv(csv.guarded(manifest.removed(verdict))))
    atomic.write_json(run.summary, verdict.summary)
    atomic.write_text(run.html, html.render(verdict))
    run.write({**run.read(), "judge": asdict(verdict.settings)})


def _write_cleaned(run: Run, keep: np.ndarray) -> None:
    data = run.read()["data"]
    if data["image_column"] is not None:
        rows = pq.read_table(run.samples, columns=["row"])["row"].to_numpy()
        source = manifest.EmbeddedSource(Path(data["source"]), rows, data["source_bytes"], data["source_changed_ns"])
        schema, batches = source.filtered(keep)
        with atomic.replacing(run.cleaned("parquet")) as temporary, pq.ParquetWriter(temporary, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        return
    table = pq.read_table(run.manifest if run.manifest.is_file() else run.samples)
    if not run.manifest.is_file():
        table = table.select(["path", "label"])
    cleaned = table.take(pa.array(keep))
    atomic.write_text(run.cleaned("csv"), csv.to_csv(cleaned))
    atomic.write_bytes(run.cleaned("parquet"), parquet.to_parquet(cleaned))
