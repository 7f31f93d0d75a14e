"""A review session without the web: what is shown with each sample; decisions are on disk before they are confirmed."""

import io
import threading
from datetime import UTC, datetime
from typing import Any

import numpy as np
from PIL import Image
from pydantic import ValidationError

from aumclean.dataset.decode import format_of, thumbnail
from aumclean.dataset.pictures import pictures_of
from aumclean.decisions import recorded
from aumclean.decisions.answers import CONTRADICTORY, WORDS
from aumclean.decisions.journal import Decision, Journal, Undoing
from aumclean.decisions.read import to_csv
from aumclean.files.records import problem
from aumclean.review.estimate import expected_errors, spot_check_result
from aumclean.review.queue import Queue, alike
from aumclean.run.directory import Run

WEB_FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp", "BMP": "image/bmp"}
LARGEST_SENT = 2_000_000  # bytes; what is larger, or of another format, goes as a JPEG of at most:
LARGEST_SIDE = 1600
THUMBNAIL_SIDE = 128
ALIKE = 6
ALIKE_SIDE = 12
ALIKE_FIRST = 5000
AHEAD = 4
NOTE_LENGTH = 2000
ID_LENGTH = 64


class Refused(Exception):
    """What the page asked for cannot be done; the message says why."""


class ReviewSession:
    """One reviewer at one queue; safe to use from several threads."""

    def __init__(self, run: Run, queue: Queue, reviewer: str) -> None:
        """Open the journal and find the images.

        Raises:
            DataError: when the journal is damaged.
        """
        self.run, self.queue, self.reviewer = run, queue, reviewer
        self.journal = Journal(run.decisions)
        self.pictures = pictures_of(run)
        self.class_names: list[str] = run.read().data.class_names
        self.position = {row["sample_id"]: at for at, row in enumerate(queue.rows)}
        self._voices: list[dict[str, Decision]] = []
        self._all_outcomes: list[str | None] = []
        self._counted = -1
        self._lock = threading.RLock()
        self._vectors: np.ndarray | None = None

    # What the page is told

    def about(self) -> dict[str, Any]:
        """What stays the same while the page is open, and where to begin."""
        return {
            "run": self.run.path.resolve().name,
            "reviewer": self.reviewer,
            "blind": self.queue.blind,
            "classes": self.class_names,
            "examples": self.queue.examples,
            "length": len(self.queue),
            "start": self._next_open(-1),
            "progress": self.progress(0),
        }

    def progress(self, position: int) -> dict[str, Any]:
        """How far the queue is decided, seen from a position."""
        outcomes = self._outcomes()
        said = [outcome for outcome in outcomes if outcome is not None]
        told = {
            "decided": len(said),
            "counts": {word: said.count(word) for word in WORDS},
            "contradictory": [at for at, outcome in enumerate(outcomes) if outcome == CONTRADICTORY],
        }
        if self.queue.blind:
            return told | {"result": self.spot_check() if len(said) == len(outcomes) else None, "contradictory": []}
        return told | {"estimate": expected_errors(outcomes, position)}

    def item(self, position: int) -> dict[str, Any]:
        """One sample of the queue; of a blind one only what gives nothing away.

        Raises:
            Refused: when there is no such position.
        """
        if not 0 <= position < len(self.queue):
            raise Refused(f"the queue has no position {position}")
        row, voices = self.queue.rows[position], self._by_position()[position]
        shown = {
            "at": position,
            "sample_id": row["sample_id"],
            "path": row["path"],
            "label": row["label"],
            "suggested": row["suggested_label"],
            "mine": _said(voices.get(self.reviewer)),
            "next": self._next_open(position),
            "ahead": self._ahead(position),
            "around": [self._small(at) for at in range(position - 3, position + 6) if 0 <= at < len(self.queue)],
        }
        if self.queue.blind:
            return shown
        return {
            **shown,
            "confidence": row["suggested_confidence"],
            "rank": row["rank"],
            "flagged": row["flagged"],
            "others": [_said(entry) for name, entry in voices.items() if name != self.reviewer],
            "curve": self.queue.curve(position),
            "copies": [
                {"sample_id": sample_id, "label": label}
                for sample_id, label in self.queue.copies.get(row["content_hash"], [])
                if sample_id != row["sample_id"]
            ],
            "alike": [self._small(at) for at in self._alike(position)],
        }

    def image(self, sample_id: int) -> tuple[bytes, str]:
        """An image for the large place, and its media type.

        Raises:
            OSError: when it is gone or has changed since the scan.
        """
        encoded = self.pictures.encoded(self._known(sample_id))
        media_type = WEB_FORMATS.get(format_of(encoded))
        if media_type is None or len(encoded) > LARGEST_SENT:
            return thumbnail(encoded, LARGEST_SIDE, quality=90), "image/jpeg"
        return encoded, media_type

    def small_image(self, sample_id: int) -> bytes:
        """An image for the margin, as JPEG; errors as those of `image`."""
        return thumbnail(self.pictures.encoded(self._known(sample_id)), THUMBNAIL_SIDE, quality=85)

    def decisions_csv(self) -> str:
        """Every reviewer's last decisions, as decisions.csv."""
        return to_csv(recorded.recorded(self.run))

    def spot_check(self) -> dict[str, Any]:
        """What this reviewer's blind decisions say of the flags."""
        flagged = [row["flagged"] for row in self.queue.rows]
        return spot_check_result(self._outcomes(), flagged, self.queue.flagged, self.queue.unflagged)

    # What the page asks for

    def decide(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Write one decision to disk; asked twice with the same `id`, as after a broken connection, it is one.

        Args:
            asked: `id`, `sample_id`, `decision`, and if there is one `new_label` and `note`.

        Raises:
            Refused: when it makes no sense; nothing is written.
        """
        identity, sample_id = _identity(asked), asked.get("sample_id")
        position = self.position.get(sample_id) if type(sample_id) is int else None
        decision, new_label, note = asked.get("decision"), asked.get("new_label"), asked.get("note") or None
        if position is None:
            raise Refused(f"sample {sample_id} is not in this queue")
        row = self.queue.rows[position]
        if decision not in WORDS:
            raise Refused(f"{decision!r} is no decision")
        if decision == "relabel" and (new_label not in self.class_names or new_label == row["label"]):
            raise Refused(f"{new_label!r} is no other class of this run")
        if note is not None and (not isinstance(note, str) or len(note) > NOTE_LENGTH):
            raise Refused(f"a note has at most {NOTE_LENGTH} characters")
        try:
            entry = Decision(
                id=identity,
                **{name: row[name] for name in ("sample_id", "content_hash", "path", "label")},
                decision=decision,
                new_label=new_label if decision == "relabel" else None,
                reviewer=self.reviewer,
                time=datetime.now(UTC).isoformat(timespec="milliseconds"),
                note=note,
                blind=self.queue.blind,
            )
        except ValidationError as error:  # what the journal could not read again
            raise Refused(problem(error)) from None
        self.journal.append([entry])
        return {"progress": self.progress(position), "next": self._next_open(position)}

    def undo(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Take back this reviewer's last decision in this queue; an earlier one on the same sample counts again.

        Raises:
            Refused: when there is none.
        """
        identity = _identity(asked)
        if not self.journal.knows(identity):
            mine = [
                entry
                for _, entry in self.journal.current()
                if entry.reviewer == self.reviewer and entry.sample_id in self.position
            ]
            if not mine:
                raise Refused("there is nothing to undo")
            time = datetime.now(UTC).isoformat(timespec="milliseconds")
            self.journal.append([Undoing(id=identity, undoes=mine[-1].id, reviewer=self.reviewer, time=time)])
        undoing = self.journal.find(identity)
        undone = self.journal.find(undoing.undoes) if isinstance(undoing, Undoing) else None
        if not isinstance(undone, Decision) or undone.sample_id not in self.position:
            raise Refused("that request undid nothing in this queue")
        position = self.position[undone.sample_id]
        return {"progress": self.progress(position), "at": position}

    def look_for_alike(self) -> None:
        """Find out which pictures of the queue look alike; takes seconds, so a thread of its own does it."""
        ids = np.array([row["sample_id"] for row in self.queue.rows[:ALIKE_FIRST]], np.int64)
        vectors = np.full((len(ids), ALIKE_SIDE * ALIKE_SIDE * 3), np.nan, np.float32)
        for at, sample_id in enumerate(ids.tolist()):
            try:
                small = thumbnail(self.pictures.encoded(sample_id), 4 * ALIKE_SIDE)
                with Image.open(io.BytesIO(small)) as image:
                    vectors[at] = np.asarray(image.resize((ALIKE_SIDE, ALIKE_SIDE)), np.float32).ravel()
            except Exception:  # gone, changed or broken: it is like no other
                continue
        self._vectors = vectors

    # What follows from the journal

    def _by_position(self) -> list[dict[str, Decision]]:
        """The last decision of each reviewer at each position."""
        with self._lock:
            self.journal.refresh()
            if len(self.journal.entries) != self._counted:
                voices: list[dict[str, Decision]] = [{} for _ in self.queue.rows]
                counted = len(self.journal.entries)
                for _, entry in self.journal.current():
                    at = self.position.get(entry.sample_id)
                    if at is not None and self.queue.rows[at]["content_hash"] == entry.content_hash:
                        voices[at][entry.reviewer] = entry
                self._voices, self._all_outcomes, self._counted = voices, self._combined(voices), counted
            return self._voices

    def _combined(self, voices: list[dict[str, Decision]]) -> list[str | None]:
        if self.queue.blind:
            mine = (one.get(self.reviewer) for one in voices)
            return [entry.decision if entry and entry.blind else None for entry in mine]
        return [_outcome(list(one.values())) for one in voices]

    def _outcomes(self) -> list[str | None]:
        """What is decided at each position; when blind, by this reviewer in a blind check."""
        self._by_position()
        return self._all_outcomes

    def _next_open(self, position: int) -> int | None:
        """The next position without a decision, from the start again after the end; None when all are decided."""
        outcomes = self._outcomes()
        around = [*range(position + 1, len(outcomes)), *range(min(position + 1, len(outcomes)))]
        return next((at for at in around if outcomes[at] is None), None)

    def _ahead(self, position: int) -> list[int]:
        outcomes = self._outcomes()
        later = (at for at in range(position + 1, len(outcomes)) if outcomes[at] is None)
        return [at for at, _ in zip(later, range(AHEAD), strict=False)]

    def _small(self, position: int) -> dict[str, Any]:
        row = self.queue.rows[position]
        return {
            "at": position,
            "sample_id": row["sample_id"],
            "label": row["label"],
            "decision": self._outcomes()[position],
        }

    def _alike(self, position: int) -> list[int]:
        if self._vectors is None or position >= len(self._vectors):
            return []
        return alike(self._vectors, position, ALIKE)

    def _known(self, sample_id: int) -> int:
        if not 0 <= sample_id < len(self.pictures.rows):
            raise FileNotFoundError(f"there is no sample {sample_id}")
        return sample_id


def _identity(asked: dict[str, Any]) -> str:
    identity = asked.get("id")
    if not isinstance(identity, str) or not identity.isalnum() or not 8 <= len(identity) <= ID_LENGTH:
        raise Refused("every request needs an id of its own")
    return identity


def _said(entry: Decision | None) -> dict[str, Any] | None:
    return None if entry is None else entry.model_dump(include={"reviewer", "decision", "new_label", "note", "time"})


def _outcome(entries: list[Decision]) -> str | None:
    """What several reviewers together decided."""
    definite = {(entry.decision, entry.new_label) for entry in entries if entry.decision != "unsure"}
    if len(definite) > 1:
        return CONTRADICTORY
    if definite:
        return str(next(iter(definite))[0])
    return "unsure" if entries else None
