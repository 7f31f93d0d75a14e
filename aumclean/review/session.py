"""A review session without the web: what the page is told; decisions are on disk before they are confirmed."""

import shlex
import threading
from datetime import UTC, datetime
from typing import Any

import numpy as np

from aumclean import chance
from aumclean.dataset.pictures import pictures_of
from aumclean.decisions import recorded
from aumclean.decisions.answers import CONTRADICTORY, WORDS
from aumclean.decisions.journal import Decision, Journal, Undoing, decided
from aumclean.decisions.read import to_csv
from aumclean.errors import DataError
from aumclean.review.agreement import agreements
from aumclean.review.estimate import share_wrong, spot_check_result
from aumclean.review.pictures import QueuePictures
from aumclean.review.queue import Queue
from aumclean.review.voices import Voices, outcome
from aumclean.review.why import why
from aumclean.run.directory import Run

NOTE_LENGTH = 2000
ID_LENGTH = 64


class Refused(Exception):
    """What the page asked for cannot be done; the message says why."""


class ReviewSession:
    """One reviewer at one queue; safe to use from several threads."""

    def __init__(self, run: Run, queue: Queue, reviewer: str, *, overlap: float = 0) -> None:
        """Open the journal and find the images.

        Args:
            run: the run.
            queue: what to decide.
            reviewer: who decides.
            overlap: share of the images that is asked of this reviewer whatever others decided, and without showing it.

        Raises:
            DataError: when the journal is damaged.
        """
        self.run, self.queue, self.reviewer = run, queue, reviewer
        self.journal = Journal(run.decisions)
        record, pictures = run.read(), pictures_of(run)
        self.pictures = QueuePictures(pictures, queue)
        self.class_names: list[str] = record.data.class_names
        ids = [row["sample_id"] for row in queue.rows]
        self.position = {sample_id: at for at, sample_id in enumerate(ids)}
        self.voices = Voices(self.journal, self.position, [row["content_hash"] for row in queue.rows])
        drawn = chance.generator(record.seed, "second opinion").random(len(pictures.rows))  # for all the same
        self.asked_again = frozenset(np.flatnonzero(drawn[ids] < overlap).tolist())
        self._known_outcomes: list[str | None] = [None] * len(queue)
        self._known_until = 0
        self._lock = threading.RLock()

    # What the page is told

    def about(self) -> dict[str, Any]:
        """The whole queue, and what stays the same while the page is open."""
        return {
            "run": self.run.path.resolve().name,
            "reviewer": self.reviewer,
            "blind": self.queue.blind,
            "classes": self.class_names,
            "examples": self.queue.examples,
            "witnesses": self.queue.witnesses(),
            "report": self.run.html.is_file() and not self.queue.blind,
            "rows": self.queue.columns(self.class_names),
            "again": sorted(self.asked_again),
            **self.news(0),
        }

    def news(self, since: int) -> dict[str, Any]:
        """What anybody decided since the journal had so many entries: per position the outcome, and who said what."""
        with self._lock:
            outcomes, version = self._outcomes(), self._known_until
            changed = self.voices.changed_since(since)
            return {"version": version, "said": [[at, outcomes[at], self._said(at)] for at in changed]}

    def item(self, position: int) -> dict[str, Any]:
        """What is shown beside one large sample; nothing that gives anything away when blind.

        Raises:
            Refused: when there is no such position.
        """
        if not 0 <= position < len(self.queue):
            raise Refused(f"the queue has no position {position}")
        if self.queue.blind:
            return {"at": position}
        row = self.queue.rows[position]
        copies = [
            {"sample_id": sample_id, "label": label}
            for sample_id, label in self.queue.copies.get(row["content_hash"], [])
            if sample_id != row["sample_id"]
        ]
        nearest = self.queue.nearest[position] if self.queue.nearest else []
        return {
            "at": position,
            "why": why(row, sum(copy["label"] != row["label"] for copy in copies), [label for _, label in nearest]),
            "nearest": [{"sample_id": sample_id, "label": label} for sample_id, label in nearest],
            "rank": row["rank"],
            "curve": self.queue.curve(position),
            "copies": copies,
            "alike": self.pictures.alike(position),
        }

    def counts(self) -> dict[str, int]:
        """How often each word was decided, of those that were."""
        outcomes = self._outcomes()
        counted = {word: outcomes.count(word) for word in (*WORDS, CONTRADICTORY)}
        return {word: count for word, count in counted.items() if count}

    def end(self) -> dict[str, Any]:
        """What comes next, and what is known by now: of the flags, of what is unseen, of the reviewers."""
        outcomes, blind = self._outcomes(), self.queue.blind
        flagged = [said for row, said in zip(self.queue.rows, outcomes, strict=True) if row["flagged"]]
        voices = [self.voices.at(at) for at in range(len(self.queue))]
        return {
            "command": shlex.join(["aumclean", "clean", str(self.run.path)]),
            "counts": self.counts(),
            "open": outcomes.count(None),
            "spot_check": self.spot_check() if blind else None,
            "precision": None if blind else share_wrong(flagged),
            "unseen": self.queue.unseen,
            "agreement": [] if blind else agreements(voices),
        }

    def decisions_csv(self) -> str:
        """Every reviewer's last decisions, as decisions.csv."""
        return to_csv(recorded.recorded(self.run))

    def spot_check(self) -> dict[str, Any]:
        """What this reviewer's blind decisions say of the flags."""
        flagged = [row["flagged"] for row in self.queue.rows]
        return spot_check_result(self._outcomes(), flagged, self.queue.flagged, self.queue.unflagged)

    # What the page asks for

    def decide(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Write a step of decisions to disk, a line for each; asked twice with the same `id`, it is one step.

        Args:
            asked: `id`, `decisions` (each `sample_id`, `decision`, and if there is one `new_label` and `note`), and
                `since`, the version of the journal that the page knows.

        Raises:
            Refused: when any of it makes no sense; nothing is written.
        """
        identity, decisions = _identity(asked), asked.get("decisions")
        if not isinstance(decisions, list) or not decisions:
            raise Refused("there is nothing to decide")
        if isinstance(self.journal.find(f"{identity}x0"), Undoing):
            raise Refused("that id is of an undoing")
        time = _now()
        self.journal.append(
            [self._decision(one, f"{identity}x{number}", identity, time) for number, one in enumerate(decisions)]
        )
        return self.news(_since(asked))

    def _decision(self, asked: Any, identity: str, step: str, time: str) -> Decision:
        asked = asked if isinstance(asked, dict) else {}
        sample_id = asked.get("sample_id")
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
            return decided(
                id=identity,
                step=step,
                **{name: row[name] for name in ("sample_id", "content_hash", "path", "label")},
                decision=decision,
                new_label=new_label if decision == "relabel" else None,
                reviewer=self.reviewer,
                time=time,
                note=note,
                blind=self.queue.blind,
            )
        except DataError as error:
            raise Refused(str(error)) from None

    def undo(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Take back this reviewer's last step in this queue; earlier decisions on its samples count again.

        Asked twice with the same `id` it takes back one step, also when the first time ended halfway.

        Raises:
            Refused: when there is none.
        """
        identity = _identity(asked)
        self.voices.refresh()
        begun = self.journal.find(f"{identity}x0")
        if isinstance(begun, Decision):
            raise Refused("that id is of a decision")
        step = self.voices.step_of(begun.undoes) if begun else self.voices.last_step(self.reviewer)
        if not step:
            raise Refused("there is nothing to undo")
        time = _now()
        self.journal.append(
            [
                Undoing(id=f"{identity}x{number}", step=identity, undoes=entry.id, reviewer=self.reviewer, time=time)
                for number, entry in enumerate(step)
            ]
        )
        return {**self.news(_since(asked)), "undone": sorted({self.position[entry.sample_id] for entry in step})}

    # What follows from the journal

    def _outcomes(self) -> list[str | None]:
        """What is decided at each position, as far as this reviewer may know."""
        with self._lock:
            version = self.voices.refresh()
            for at in self.voices.changed_since(self._known_until):
                self._known_outcomes[at] = outcome(self._heard(at).values())
            self._known_until = version
            return self._known_outcomes

    def _heard(self, position: int) -> dict[str, Decision]:
        """Whose decisions count: when blind one's own; where a second opinion is asked, the others' after one's own."""
        voices = self.voices.at(position)
        mine = voices.get(self.reviewer)
        if self.queue.blind:
            return {self.reviewer: mine} if mine and mine.blind else {}
        return {} if position in self.asked_again and mine is None else voices

    def _said(self, position: int) -> list[dict[str, Any]]:
        """What is said of one sample, this reviewer's own word first."""
        heard = sorted(self._heard(position).items(), key=lambda voice: voice[0] != self.reviewer)
        return [entry.model_dump(include={"reviewer", "decision", "new_label", "note"}) for _, entry in heard]


def _identity(asked: dict[str, Any]) -> str:
    identity = asked.get("id")
    if not isinstance(identity, str) or not identity.isalnum() or not 8 <= len(identity) <= ID_LENGTH:
        raise Refused("every request needs an id of its own")
    return identity


def _since(asked: dict[str, Any]) -> int:
    since = asked.get("since")
    return since if type(since) is int else 0


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
