"""The images and labels that a run was made of, read again and held against what the run recorded."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aumclean.dataset.cache import decoded, default_cache_dir
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.parallel import available_cpus
from aumclean.dataset.read import read_samples
from aumclean.errors import RunError
from aumclean.progress import Track, untracked
from aumclean.run import Run


def read_scanned(run: Run, *, track: Track = untracked) -> Dataset:
    """The data set of a finished run: row i is sample i, without indicator class.

    Raises:
        RunError: when the run is not finished, or its data have changed since.
        DataError: when its data are gone.
    """
    run.require_finished()
    record = run.read()
    config = record.config
    samples = read_samples(Path(record.data.source), **config.reading())
    images = decoded(
        samples,
        record.image_size,
        workers=config.workers or available_cpus(),
        cache_dir=config.cache_dir or default_cache_dir(),
        limit_gib=config.cache_limit,
        track=track,
    )
    readable = samples.take(images.readable)
    known = pq.read_table(run.samples, columns=["label", "content_hash"])
    hashes = images.files["content_hash"].combine_chunks().take(pa.array(images.readable))
    same = len(readable) == len(known) and all(
        pc.all(pc.equal(found, known[name].combine_chunks())).as_py()
        for name, found in (("content_hash", hashes), ("label", readable.label_names()))
    )
    if not same:
        raise RunError(f"{run.path}: the data in {record.data.source} have changed since; scan them anew")
    return Dataset(images.images, readable.labels.astype(np.int64), readable.class_names)
