"""The page for people: one HTML file that needs no network, no server and, for reading, no script.

Names come from strangers: the template escapes every one, and a content security policy lets nothing run or load but
the page's own script and style, known by their hashes.
"""

from dataclasses import asdict

from aumclean.reports.html import charts, page, words
from aumclean.reports.html.safety import command_line, rendered
from aumclean.run.record import ScanRecord
from aumclean.run.tables import read_unreadable
from aumclean.verdict.judge import Verdict

TOP = 1000


def render(verdict: Verdict, *, top: int = TOP) -> str:
    """The page.

    Args:
        verdict: what to show; its run is read for the pictures and the margin curves.
        top: how many suspects to show, the most suspect first.
    """
    record, summary = verdict.run.read(), verdict.summary
    rows = page.flagged(verdict).slice(0, top)
    groups, groups_left_out = page.conflicts(verdict)
    pairs, first = page.pairs(verdict), [group.members[0]["sample_id"] for group in groups]
    wanted = [*rows["sample_id"].to_pylist(), *first, *(sample for pair in pairs for sample in pair.sample_ids)]
    pictures = page.thumbnails(verdict, wanted)
    suspects = page.suspects(verdict, pictures, top)
    unreadable = read_unreadable(verdict.run)
    class_names = record.data.class_names
    class_index = {name: index for index, name in enumerate(class_names)}
    present = {state for suspect in suspects for state in suspect.states}
    return rendered(
        __name__,
        scripted=True,
        record=record,
        recipe=asdict(record.recipe) if isinstance(record, ScanRecord) else {},
        command=command_line(record.argv),
        summary=summary,
        trust=words.trust(verdict),
        histograms=[
            charts.histogram(counted, about.threshold or 0.0)
            for counted, about in zip(summary.histograms, summary.thresholds, strict=True)
        ],
        heat_map=page.heat_map(verdict),
        sentence=words.sentence(verdict),
        review=command_line(["aumclean", "review", str(verdict.run.path)]),
        pairs=pairs,
        pictures=pictures,
        repeated=words.repeated(verdict),
        suspects=suspects,
        worst=suspects[: page.WORST],
        class_index=class_index,
        index=page.index(suspects, class_names),
        states={state: text for state, text in page.STATES.items() if state in present},
        groups=groups,
        groups_left_out=groups_left_out,
        unreadable=unreadable[: page.MOST_FILES],
        unreadable_left_out=max(0, len(unreadable) - page.MOST_FILES),
    )
