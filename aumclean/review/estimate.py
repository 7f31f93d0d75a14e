"""How good the flags are, and how many errors are left: said with intervals, from decisions already made."""

from collections.abc import Sequence
from typing import Any

from aumclean.verdict.noise import wilson

WRONG = frozenset({"relabel", "remove"})
RIGHT = frozenset({"keep"})


def share_wrong(outcomes: Sequence[str | None]) -> dict[str, Any]:
    """How many of some samples are wrong, of those that were decided, with the 95% Wilson interval of the share.

    Args:
        outcomes: the decision on each sample, None where there is none yet; `unsure` and contradictory ones count in
            neither.

    Returns:
        `wrong`, `decided`, `share`, `low`, `high`, `unsure` and `open`; `share` is None when nothing was decided.
    """
    wrong = sum(outcome in WRONG for outcome in outcomes)
    decided = wrong + sum(outcome in RIGHT for outcome in outcomes)
    low, high = map(float, wilson(wrong, decided))
    return {
        "wrong": wrong,
        "decided": decided,
        "share": wrong / decided if decided else None,
        "low": low,
        "high": high,
        "unsure": outcomes.count("unsure"),
        "open": outcomes.count(None),
    }


def spot_check_result(
    outcomes: Sequence[str | None], flagged: Sequence[bool], all_flagged: int, all_unflagged: int
) -> dict[str, Any]:
    """Precision of the flags and the share of errors among what is not flagged, with 95% Wilson intervals.

    Valid because both parts were drawn at random and decided without knowing which is which; `unsure` counts in
    neither, and is listed.

    Args:
        outcomes: the decision on every sample of the spot check, None where there is none yet.
        flagged: which of these samples are flagged.
        all_flagged, all_unflagged: how many samples of the run are.

    Returns:
        `precision` and `missed`, each as `share_wrong` and with `of` (how many samples of the run it speaks for).
    """

    def part(which: bool, of: int) -> dict[str, Any]:
        said = [outcome for outcome, is_flagged in zip(outcomes, flagged, strict=True) if is_flagged == which]
        return share_wrong(said) | {"of": of}

    return {"precision": part(True, all_flagged), "missed": part(False, all_unflagged)}
