"""Put a verdict into its run directory: report, summary, cleaned manifest, lists of what was changed and removed."""

import itertools
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aumclean.decisions import recorded
from aumclean.decisions.clean import clean
from aumclean.decisions.cleaned import default_targets, write_cleaned
from aumclean.files import atomic, csv, parquet
from aumclean.reports import html
from aumclean.run.directory import Run
from aumclean.verdict.judge import Verdict

logger = logging.getLogger(__name__)


def write_reports(run: Run, verdict: Verdict, *, final: bool = True) -> None:
    """Write every file of the run that follows from the verdict and the decisions, each whole or not at all.

    A first verdict, while the network is still to be trained, is for looking: no data are cleaned by it. A report.csv
    that somebody filled in is not written over, but kept beside.

    Raises:
        DataError: when the data are a Parquet file with the images in it, and that file is gone.
    """
    decided = recorded.of_run(run).decided
    cleaning = clean(verdict.report, decided, "drop", run.path.resolve().name)
    if final:
        write_cleaned(run, cleaning, default_targets(run), run.changes)  # first: it may need a source that has changed
    _keep_filled_in(run)
    shown = recorded.with_decisions(verdict, run)
    parquet.save(run.report("parquet"), shown.report)
    csv.save(run.report("csv"), shown.report)
    atomic.write_json(run.summary, verdict.summary.model_dump(mode="json"))
    atomic.write_text(run.html, html.render(shown))
    if final:
        csv.save(run.removed, removed(verdict.report, cleaning.kept))
        run.finish(verdict.settings)


def removed(report: pa.Table, kept: np.ndarray) -> pa.Table:
    """The flagged samples that are not among `kept` (ids), most suspect first, each with the reason in words."""
    goes = np.ones(len(report), bool)
    goes[kept] = False
    shown = ["sample_id", "path", "label", "suggested_label", "label_score", "reason"]
    wanted = pc.and_(pc.fill_null(report["flagged"], False), pa.array(goes[report["sample_id"].to_numpy()]))
    return report.select(shown).filter(wanted)


def _keep_filled_in(run: Run) -> None:
    if not recorded.filled_by_hand(run):
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
