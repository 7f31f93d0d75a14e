"""How far two reviewers agree beyond chance: Cohen's kappa (1960), with an interval."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

from aumclean.decisions.answers import outcome_of
from aumclean.decisions.journal import Decision
from aumclean.verdict.noise import wilson


def agreements(voices: Iterable[Mapping[str, Decision]]) -> list[dict[str, Any]]:
    """Of every two reviewers who decided on the same samples, how far they agree.

    Args:
        voices: per sample, each reviewer's decision.

    Returns:
        Per pair `reviewers`, `both` (samples that both decided), `agreed`, and `kappa`, `low`, `high` (95%), which are
        None where chance alone would make them agree on everything.
    """
    answers: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for one in voices:
        for pair in combinations(sorted(one), 2):
            first, second = (outcome_of(one[name].decision, one[name].new_label) for name in pair)
            answers.setdefault(pair, []).append((first, second))
    return [{"reviewers": list(pair), **kappa(given)} for pair, given in sorted(answers.items())]


def kappa(answers: list[tuple[str, str]]) -> dict[str, Any]:
    """Agreement beyond chance on answers given in pairs.

    The interval is Wilson's of the share on which they agree, put through kappa with the chance that was observed: it
    stays an interval where few answers all agree.
    """
    both, agreed = len(answers), sum(first == second for first, second in answers)
    first, second = (Counter(pair[which] for pair in answers) for which in (0, 1))
    chance = sum(count * second[answer] for answer, count in first.items()) / max(both, 1) ** 2
    found: dict[str, Any] = {"both": both, "agreed": agreed, "kappa": None, "low": None, "high": None}
    if not both or chance == 1:
        return found
    low, high = map(float, wilson(agreed, both))
    beyond = {"kappa": agreed / both, "low": low, "high": high}
    return found | {name: max(-1.0, (share - chance) / (1 - chance)) for name, share in beyond.items()}
