"""The worst images that a gate names, as one picture for people."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from aumclean.files import parquet
from aumclean.gate.outcome import Finding, Outcome
from aumclean.run.directory import Run

MOST = 24


def worst(outcome: Outcome) -> list[Finding]:
    """What a person should look at first: not what the baseline accepts, and what has a picture."""
    return [finding for finding in outcome.open if finding.content_hash is not None][:MOST]


def render(outcome: Outcome, data: Path | None = None) -> bytes:
    """A contact sheet as PNG, at most 1 MB; a file that is gone or has changed has no picture.

    Args:
        outcome: of the gate.
        data: where DATA is now, when that is not where it was.
    """
    from aumclean.reports.contact_sheet import contact_sheet  # loads an imaging library, which no other format needs

    read = _reader(Run(outcome.subject), data)
    shown = []
    for finding in worst(outcome):
        content = read(finding.path)
        if content is not None and hashlib.sha256(content).hexdigest() != finding.content_hash:
            content = None
        words = f"{finding.label} -> {finding.suggested_label or '?'}"
        if finding.rule == "conflicting-duplicate":
            words = f"{finding.label}, and another label"
        shown.append((content, words, finding.path))
    return contact_sheet(shown)


def _reader(run: Run, data: Path | None) -> Callable[[str], bytes | None]:
    """What gives the bytes of an image by its path in the report, None where there are none."""
    if run.scores_json.is_file():
        place = run.read_scores().data
        root = Path(place.root) if data is None else data
        from aumclean.dataset.decode import read_encoded  # which reads no device, no pipe and no giant

        return lambda path: _bytes_or_none(lambda: read_encoded(root / path))

    from aumclean.dataset.pictures import pictures_of

    pictures = pictures_of(Run(run.path, data))
    paths = parquet.read(run.samples, ["path"])["path"].to_pylist()
    ids = {path: sample_id for sample_id, path in enumerate(paths)}
    return lambda path: _bytes_or_none(lambda: pictures.encoded(ids[path]))


def _bytes_or_none(read: Callable[[], bytes]) -> bytes | None:
    try:
        return read()
    except Exception:  # gone, changed, or nothing that a picture is read from
        return None
