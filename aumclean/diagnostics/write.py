"""A report into its directory: CSV, JSON, SVG, PNG and one page, each file whole or not at all."""

from datetime import UTC, datetime

import pyarrow as pa

from aumclean.diagnostics import figures, page
from aumclean.diagnostics.report import Report
from aumclean.diagnostics.store import Store
from aumclean.diagnostics.tables import Tables
from aumclean.files import atomic, csv


def write(store: Store, report: Report) -> tuple[Report, Store]:
    """Write every file that follows from a report, the record last, with the state `done`; give both back."""
    files = []
    for table in report.tables:
        rows = pa.Table.from_pylist(table.values) if table.rows else pa.table({name: [] for name in table.columns})
        csv.save(store.table(table.name), rows)
        files.append(store.table(table.name))
    drawn: dict[str, list[bytes]] = {}
    for figure in report.figures:
        drawn[figure.name] = figures.draw_each(figure)
        if len(figure.panels) == 1:  # for wide screens
            drawn[figure.name].append(figures.draw(figure, "svg", wide=True))
        atomic.write_bytes(store.figure(figure.name, "svg"), figures.draw(figure, "svg"))
        atomic.write_bytes(store.figure(figure.name, "png"), figures.draw(figure, "png"))
        files += [store.figure(figure.name, suffix) for suffix in ("svg", "png")]
    for picture in report.pictures:
        drawn[picture.name] = [figures.to_png(picture.pixels)]
        atomic.write_bytes(store.figure(picture.name, "png"), *drawn[picture.name])
        files.append(store.figure(picture.name, "png"))
    record = store.read()
    atomic.write_text(store.page, page.render(report, drawn, record))
    answer = {
        "state": "done",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "kind": record.question["kind"],
        "said": list(report.said),
        "files": sorted({*record.files, *(file.name for file in (*files, store.page))}),
        "facts": report.facts,
        "tables": Tables.model_validate({table.name: table.rows for table in report.tables}),
    }
    store.write(record.model_copy(update=answer))
    return report, store
