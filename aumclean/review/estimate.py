"""How many errors are left, and how good the flags are: said with intervals, from decisions already made."""

from collections.abc import Sequence
from typing import Any

from aumclean.verdict.noise import wilson

AHEAD = 50
ENOUGH = 10

WRONG = frozenset({"relabel", "remove"})
RIGHT = frozenset({"keep"})


def expected_errors(outcomes: Sequence[str | None], position: int) -> dict[str, Any]:
    """How many errors the next 50 undecided samples are expected to hold.

    The share of errors among the (up to) 50 decided samples nearest to them in the queue, with its Wilson interval,
    times their number. Suspicion falls down the queue, so the truth is rather lower than higher. With fewer than ten
    decisions there is no estimate.

    Args:
        outcomes: the decision at every position of the queue, None where there is none yet.
        position: where the reviewer stands.

    Returns:
        `ahead` (how many samples), `rests_on` (how many decisions), and `expected`, `low`, `high`, or None for these.
    """
    ahead = [at for at in range(position, len(outcomes)) if outcomes[at] is None][:AHEAD]
    centre = (ahead[0] + ahead[-1]) / 2 if ahead else position
    known = [at for at, outcome in enumerate(outcomes) if outcome in WRONG | RIGHT]
    nearest = sorted(known, key=lambda at: abs(at - centre))[:AHEAD]
    about: dict[str, Any] = {"ahead": len(ahead), "rests_on": len(nearest), "expected": None, "low": None, "high": None}
    if not ahead or len(nearest) < ENOUGH:
        return about
    wrong = sum(outcomes[at] in WRONG for at in nearest)
    low, high = map(float, wilson(wrong, len(nearest)))
    share = wrong / len(nearest)
    return {**about, **{name: round(p * len(ahead)) for name, p in (("expected", share), ("low", low), ("high", high))}}


def spot_check_result(
    outcomes: Sequence[str | None], flagged: Sequence[bool], all_flagged: int, all_unflagged: int
) -> dict[str, Any]:
    """Precision of the flags and the share of errors among what is not flagged, with 95 % Wilson intervals.

    Valid because both parts were drawn at random and decided without knowing which is which; `unsure` counts in
    neither, and is listed.

    Args:
        outcomes: the decision on every sample of the spot check, None where there is none yet.
        flagged: which of these samples are flagged.
        all_flagged, all_unflagged: how many samples of the run are.

    Returns:
        `precision` and `missed`, each with `wrong`, `decided`, `share`, `low`, `high`, `unsure`, `open` and `of` (how
        many samples of the run it speaks for); `share` is None when nothing was decided.
    """

    def part(which: bool, of: int) -> dict[str, Any]:
        said = [outcome for outcome, is_flagged in zip(outcomes, flagged, strict=True) if is_flagged == which]
        wrong = sum(outcome in WRONG for outcome in said)
        decided = wrong + sum(outcome in RIGHT for outcome in said)
        low, high = map(float, wilson(wrong, decided))
        return {
            "wrong": wrong,
            "decided": decided,
            "share": wrong / decided if decided else None,
            "low": low,
            "high": high,
            "unsure": said.count("unsure"),
            "open": said.count(None),
            "of": of,
        }

    return {"precision": part(True, all_flagged), "missed": part(False, all_unflagged)}
