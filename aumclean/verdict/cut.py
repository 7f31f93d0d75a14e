"""Flags from final margins: where to cut, and how good the flags can be expected to be."""

from collections.abc import Sequence

import numpy as np

from aumclean.verdict.combine import Combined, repeat_deviation
from aumclean.verdict.held_out import HeldOut
from aumclean.verdict.noise import Estimate, below, resampled_means

CUTS = 300  # candidates of each kind


def combine_final(
    final: np.ndarray, is_indicator: np.ndarray, judged: np.ndarray, held: Sequence[HeldOut], rate: float
) -> Combined:
    """Rank by final margins, and flag as many samples as labels are estimated to be wrong, or more where more are low.

    A sample's margins under the draws' networks are averaged in units of the deviation of each draw's. That includes
    the draw in which it is an indicator sample: its network was not taught the label, and judges it all the same.

    Two cuts are known, and the higher one is taken, since both tend to be low. The number of wrong labels is known up
    to the chance of which samples are indicator samples. The held-out margin with the best F1 does not depend on it
    where right and wrong labels lie apart, but labels that were taught lie higher than held-out ones.

    Args:
        final: float32 [draws, n], see `aumclean.margins.final`.
        is_indicator: bool [draws, n]; these do not count towards mean and deviation.
        judged: bool [n]; the others are never flagged.
        held: held-out margins of every draw.
        rate: share of the labels that is wrong, 0..1.
    """
    taught = [margin[~indicator].astype(np.float64) for margin, indicator in zip(final, is_indicator, strict=True)]
    mean, scale = np.array([(margin.mean(), margin.std() or 1.0) for margin in taught]).T[..., None]
    distances = (final - mean) / scale
    score = distances.mean(0)
    by_margin = np.array([[best_f1_cut(draw, rate)] for draw in held])
    cut = max(_cut_of_count(score[judged], rate), float(((by_margin - mean) / scale).mean()))
    everywhere = np.ones_like(is_indicator)
    return Combined((score <= cut) & judged, score - cut, repeat_deviation(distances, everywhere))


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

    Below the held-out margin that cuts off that share of given labels lie so many of the wrong ones: the recall. The
    precision follows from it and the noise rate. A network is surer of labels it was taught, and two know more than
    one, so both are estimates of what a single draw would do on labels it has not seen.

    Args:
        held: held-out margins of every draw.
        flagged: share of the labels that is flagged, above 0.
        rate: share of the labels that is wrong, see `noise_rate`; the interval of the precision holds its doubt too.
        rng: of the bootstrap.

    Returns:
        `recall` and `precision`.
    """
    shares = [resampled_means(below(np.quantile(draw.given, [flagged]), draw.wrong), rng)[:, 0] for draw in held]
    recall = Estimate.of(np.mean(shares, axis=0))
    precision = (min(1.0, share * found / flagged) for share, found in zip(rate, recall, strict=True))
    return {"recall": recall, "precision": Estimate(*precision)}
