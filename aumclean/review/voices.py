"""What every reviewer's last word is on each sample of a queue, kept up with the journal entry by entry."""

import threading
from collections.abc import Iterable, Mapping

from aumclean.decisions.answers import CONTRADICTORY, outcome_of
from aumclean.decisions.journal import Decision, Entry, Journal, Undoing


class Voices:
    """The last decisions at each position; safe to use from several threads.

    A step is what a reviewer decided at once, one sample or hundreds: it is taken back as one.
    """

    def __init__(self, journal: Journal, position: Mapping[int, int], content_hash: Iterable[str]) -> None:
        """Read the journal.

        Args:
            journal: the run's.
            position: where each sample id is in the queue.
            content_hash: of the sample at each position; a decision on another content is not about it.
        """
        self.journal, self.position = journal, position
        self._content_hash = list(content_hash)
        self._said: list[list[Decision]] = [[] for _ in self._content_hash]  # as in the journal, undone or not
        self._by_id: dict[str, Decision] = {}
        self._undone: set[str] = set()
        self._touched: list[int | None] = []  # per entry of the journal: the position it is about
        self._lock = threading.RLock()

    def refresh(self) -> int:
        """Read what is new in the journal; returns how many entries it has."""
        with self._lock:
            self.journal.refresh()
            for _, entry in self.journal.entries[len(self._touched) :]:
                self._touched.append(self._take(entry))
            return len(self._touched)

    def _take(self, entry: Entry) -> int | None:
        if isinstance(entry, Undoing):
            self._undone.add(entry.undoes)
            undone = self._by_id.get(entry.undoes)
            return None if undone is None else self.position[undone.sample_id]
        at = self.position.get(entry.sample_id)
        if at is None or self._content_hash[at] != entry.content_hash:
            return None
        self._by_id[entry.id] = entry
        self._said[at].append(entry)
        return at

    def at(self, position: int) -> dict[str, Decision]:
        """The last decision of each reviewer on one sample."""
        return {entry.reviewer: entry for entry in self._said[position] if entry.id not in self._undone}

    def changed_since(self, version: int) -> list[int]:
        """Positions that entries of the journal from `version` on are about."""
        return sorted({at for at in self._touched[max(0, version) :] if at is not None})

    def last_step(self, reviewer: str) -> list[Decision]:
        """What a reviewer decided last, of what is not undone: the whole step, undone parts of it included."""
        with self._lock:
            for entry in reversed(self._by_id.values()):
                if entry.reviewer == reviewer and entry.id not in self._undone:
                    return self.step_of(entry.id)
            return []

    def step_of(self, identity: str) -> list[Decision]:
        """All decisions of the step that a decision was made in."""
        with self._lock:
            one = self._by_id.get(identity)
            if one is None or one.step is None:
                return [one] if one else []
            return [entry for entry in self._by_id.values() if entry.step == one.step]


def outcome(entries: Iterable[Decision]) -> str | None:
    """What several reviewers together decided."""
    entries = list(entries)
    definite = [entry for entry in entries if entry.decision != "unsure"]
    if len({outcome_of(entry.decision, entry.new_label) for entry in definite}) > 1:
        return CONTRADICTORY
    return next((entry.decision for entry in [*definite, *entries]), None)
