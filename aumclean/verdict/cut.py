"""How many samples to flag, and how good the flags can be expected to be, from held-out margins."""

from collections.abc import Sequence

import numpy as np

from aumclean.verdict.combine import Combined, repeat_deviation
from aumclean.verdict.held_out import HeldOut
from aumclean.verdict.noise import Estimate, below, random_share, resampled_means
from aumclean.verdict.order import Order, mean_and_deviation

CUTS = 300  # candidates of each kind


def combine_final(
    order: Order,
    final: np.ndarray,
    is_indicator: np.ndarray,
    judged: np.ndarray,
    held: Sequence[HeldOut],
    rate: float,
) -> Combined:
    """Flag as many samples as labels are estimated to be wrong, or more, the most suspect first.

    Two numbers of suspects are known, and the greater one is taken, since both tend to be low. The number of wrong
    labels is known up to the chance of which samples are indicator samples. How many final margins lie below the
    held-out one with the best F1 does not depend on it where right and wrong labels lie apart, but labels that were
    taught lie higher than held-out ones.

    Args:
        order: who is most suspect.
        final: float32 [draws, n], see `aumclean.margins.final`, what held-out margins can be compared with.
        is_indicator: bool [draws, n]; these do not count towards mean and deviation.
        judged: bool [n]; the others are never flagged.
        held: held-out margins of every draw.
        rate: share of the labels that is wrong, 0..1.
    """
    judges = ~is_indicator
    mean, scale = mean_and_deviation(final, judges)
    by_margin = (np.array([[best_f1_cut(draw, rate)] for draw in held]) - mean) / scale
    below = ((final - mean) / scale).mean(0) <= by_margin.mean()
    share = max(rate, float(below[judged].mean())) if judged.any() else rate
    cut = _cut_of_count(order.distance[judged], share)
    flagged = (order.distance <= cut) & judged
    return Combined(flagged, order.distance - cut, repeat_deviation(order.draws, judges))


def _cut_of_count(score: np.ndarray, share: float) -> float:
    """The cut with that share of the scores below it, halfway to the next one."""
    ascending, count = np.sort(score), round(share * len(score))
    if count == 0:
        return float(np.nextafter(ascending.min(initial=0.0), -np.inf))
    return float(ascending[count - 1 : count + 1].mean())


def best_f1_cut(held: HeldOut, rate: float) -> float:
    """The held-out margin at which flagging what lies at or below it has the best expected F1; -inf when none does.

    Args:
        held: of one draw.
        rate: share of the given labels that is wrong, 0..1.
    """
    levels = np.linspace(0, 1, CUTS)
    cuts = np.unique(np.concatenate([np.quantile(held.given, levels), np.quantile(held.wrong, levels)]))
    given, wrong = (
        np.searchsorted(np.sort(margins, axis=None), cuts, "right") / margins.size
        for margins in (held.given, held.wrong)
    )
    f1 = 2 * rate * wrong / np.maximum(given + rate, 1e-12)
    return float(cuts[f1 == f1.max()].mean()) if rate else float("-inf")


def at_cut(held: Sequence[HeldOut], flagged: float, rate: Estimate, rng: np.random.Generator) -> dict[str, Estimate]:
    """Estimate how good the flags are when the given share of labels is flagged, most suspect first.

    Wrong labels drawn at random: below the held-out margin that cuts off that share of given labels lie so many of the
    wrong ones that were tried. Those that are easily taken for right, which `random_share` does not count, are found
    at least as often as by chance and at most as often as random ones; the estimate is the middle. The precision
    follows from the recall and the noise rate. A network is surer of labels it was taught, and two know more than one,
    so both are estimates of what a single draw would do on labels it has not seen.

    Args:
        held: held-out margins of every draw.
        flagged: share of the labels that is flagged, above 0.
        rate: share of the labels that is wrong, see `noise_rate`; the interval of the precision holds its doubt too.
        rng: of the bootstrap.

    Returns:
        `recall` and `precision`.
    """
    shares = [resampled_means(below(np.quantile(draw.given, [flagged]), draw.wrong), rng)[:, 0] for draw in held]
    found = Estimate.of(np.mean(shares, axis=0))
    random = min(1.0, random_share(held) / rate.estimate) if rate.estimate else 1.0
    at_least = min(flagged, found.low)
    middle = (flagged + found.estimate) / 2
    recall = Estimate(
        random * found.estimate + (1 - random) * middle, random * found.low + (1 - random) * at_least, found.high
    )
    precision = (min(1.0, share * part / flagged) for share, part in zip(rate, recall, strict=True))
    return {"recall": recall, "precision": Estimate(*precision)}
