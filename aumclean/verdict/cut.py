"""Flags from final margins: where to cut, and how good the flags can be expected to be."""

from collections.abc import Sequence

import numpy as np

from aumclean.verdict.combine import Combined, repeat_deviation
from aumclean.verdict.held_out import HeldOut
from aumclean.verdict.noise import Estimate, below, random_share, resampled_means

CUTS = 300  # candidates of each kind


def combine_final(
    final: np.ndarray,
    corrected: np.ndarray,
    closing: np.ndarray,
    is_indicator: np.ndarray,
    judged: np.ndarray,
    held: Sequence[HeldOut],
    rate: float,
) -> Combined:
    """Rank by final and closing margins, and flag as many samples as labels are estimated to be wrong, or more.

    A sample's margins are averaged in units of the deviation of each draw's. Its final margins include that of the draw
    in which it is an indicator sample: its network was not taught the label, and judges it all the same. The
    closing epochs saw each image in several versions and before all of it was memorised; the final network knows the
    classes best. Together they rank better than either (docs/benchmarks.md).

    Two numbers of suspects are known, and the greater one is taken, since both tend to be low. The number of wrong
    labels is known up to the chance of which samples are indicator samples. How many final margins lie below the
    held-out one with the best F1 does not depend on it where right and wrong labels lie apart, but labels that were
    taught lie higher than held-out ones.

    Args:
        final: float32 [draws, n], see `aumclean.margins.final`.
        corrected: float32 [draws, n], the same for errors that have a direction, see `aumclean.verdict.transitions`; it
            ranks, while `final` is what held-out margins can be compared with.
        closing: float32 [draws, n], mean margin over the closing epochs, see `aumclean.verdict.aum`.
        is_indicator: bool [draws, n]; these do not count towards mean and deviation, nor with their closing margins.
        judged: bool [n]; the others are never flagged.
        held: held-out margins of every draw.
        rate: share of the labels that is wrong, 0..1.
    """
    judges = ~is_indicator
    mean, scale = _mean_and_deviation(final, judges)
    by_margin = (np.array([[best_f1_cut(draw, rate)] for draw in held]) - mean) / scale
    below = ((final - mean) / scale).mean(0) <= by_margin.mean()
    share = max(rate, float(below[judged].mean())) if judged.any() else rate

    mean, scale = _mean_and_deviation(corrected, judges)
    final_distance = (corrected - mean) / scale
    mean, scale = _mean_and_deviation(closing, judges)
    closing_distance = (closing - mean) / scale
    by_draws = np.where(judges, closing_distance, 0).sum(0) / np.maximum(judges.sum(0), 1)
    score = (final_distance.mean(0) + by_draws) / 2
    cut = _cut_of_count(score[judged], share)
    spread = repeat_deviation((final_distance + closing_distance) / 2, judges)
    return Combined((score <= cut) & judged, score - cut, spread)


def _mean_and_deviation(margins: np.ndarray, judges: np.ndarray) -> np.ndarray:
    """Of each draw's margins of samples that it judges: float64 [2, draws, 1]."""
    taught = [draw[judge].astype(np.float64) for draw, judge in zip(margins, judges, strict=True)]
    return np.array([(margin.mean(), margin.std() or 1.0) for margin in taught]).T[..., None]


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
