"""Why a sample is in the queue, each witness in a clause, as one sentence."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from aumclean.review.queue import LEAK, TWINS


def why(row: dict[str, Any], copies: int, nearest: Sequence[str] = ()) -> str:
    """The sentence.

    Args:
        row: the sample's row of the report; what a run does not know is not spoken of.
        copies: how many other samples have the same file with another label.
        nearest: the labels of the images most like it.
    """
    clauses = []
    like = row["suggested_label"]
    network, features = row.get("wrong_by_network"), row.get("wrong_by_features")
    if network is not None:
        clauses.append(f"the network, which was not taught this label, holds it for wrong at {_percent(network)}")
    if like is not None and row["suggested_confidence"] is not None:
        sure = row["suggested_confidence"]  # a share of epochs, or a probability where no network was trained
        how = "throughout" if sure == 1 else f"with a certainty of {_percent(sure)}"
        clauses.append(f"it looks like \u201c{like}\u201d {how}")
    if features is not None:
        clauses.append(f"the features hold the label for wrong at {_percent(features)}")
    if nearest:
        most, count = Counter(nearest).most_common(1)[0]
        clauses.append(f"{count} of the {len(nearest)} images most like it are labeled \u201c{most}\u201d")
    if copies:
        others = "another image is the same file" if copies == 1 else f"{copies} other images are the same file"
        clauses.append(f"{others} under another label")
    if row.get(LEAK) is not None:
        clauses.append(f"it is in another split too ({row[LEAK]})")
    if row.get(TWINS) is not None:
        clauses.append("it nearly repeats another image")
    if not clauses:
        return ""
    probability = row["wrong_probability"]
    whole = "" if probability is None else f"Wrong with probability {_percent(probability)}: "
    text = "; ".join(clauses) + "."
    return whole + text if whole else text[0].upper() + text[1:]


def _percent(share: float) -> str:
    """Never 100% of what is not certain."""
    if 0 < share < 0.01 or 0.99 < share < 1:
        return "under 1%" if share < 0.5 else "over 99%"
    return f"{100 * share:.0f}%"
