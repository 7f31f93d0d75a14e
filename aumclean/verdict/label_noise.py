"""Which labels can be right, by what was not taught them: one likelihood of the given labels, and its posterior.

What a witness says of a held-out sample is turned into how likely each class is the true one,

    q(k | x) = softmax_k(sum_w a_w L_w(k) + b_k),

from its log-probabilities L_w; the given label is drawn from row k of N = (1 - e_k) I + e_k R_k: right but with
probability e_k, else another class by R_k. So l is wrong with probability 1 - q(l) N[l, l] / sum_k q(k) N[k, l].

a, b, e and R are those that make the given labels likeliest, and, by the same q, what *peers* take the samples for:
networks that were trained alike, on other indicator samples, or discriminants that were taught other samples. Without
peers a doubt that all images of a class share could be the witness's as well as the labels': a network that was taught
that every fifth truck is a car says so, and is right of the labels. That two networks agree on trucks tells one from
the other (Jiang et al. 2022 measure error by disagreement).

*Anchors* are the images that a witness is surest of: there q is known, and their labels tell N (Patrini et al. 2017).
They keep the witness's doubt from passing for that of the labels, and labels with a direction from passing for doubt.

The errors of a class fall on the others as is expected, or most of them on one (a truck is called a car): for each
class that belief is held under which the errors found so far are likelier.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

STARTS = (0.8, 4.0)  # of the scale: there may be an optimum with sharp classes and noise, and one with neither
ROUNDS = 250  # of the EM algorithm at most; it ends when a round adds less than a millionth per sample
RATE = 0.05  # where e begins
CLASSES_ALIKE = 2.0  # samples' worth of belief that classes have the same rate
BELIEVED = 60.0  # samples' worth of belief, per class, in which others its errors fall on
ONE_WAY = 0.8  # share of a class's errors that fall on a single other one, where they have a direction
CLEARLY = 3.0  # log of how much likelier the errors found must be with a direction: twenty times
SHARP, SHARPNESS = np.log(4), 2.0  # mean and precision of the prior of log a: true classes are sharper than labels
SHIFT = 4.0  # precision of the prior of b around 0
MOST_FITTED = 5000  # samples that the likelihood is fitted on; the posterior is of all
TINY = 1e-30


@dataclass(frozen=True)
class Peers:
    """What others of a witness's kind take the m samples for that it speaks of.

    Attributes:
        taken: int [m] each, classes.
        weight: what the word of all of them counts beside that of the label.
    """

    taken: Sequence[np.ndarray] = ()
    weight: float = 1.0


NO_PEERS = Peers()


@dataclass(frozen=True)
class Anchors:
    """How the images are labeled whose class one can be surest of.

    Attributes:
        count: float64 [classes, classes], how many of a class (row) have each label.
        one_way: bool [classes, classes], on which single label most errors of a class may fall.
    """

    count: np.ndarray
    one_way: np.ndarray


@dataclass(frozen=True)
class LabelNoise:
    """The fitted likelihood.

    Attributes:
        scale: float64 [witnesses], a.
        shift: float64 [classes], b.
        transition: float64 [classes, classes], N: of each true class (row) how likely it is to get each label.
        gain: by how much the labels are likelier than by the frequencies of the classes alone, natural logarithm.
        samples: number of samples that it was fitted on.
    """

    scale: np.ndarray
    shift: np.ndarray
    transition: np.ndarray
    gain: float
    samples: int

    def log_odds(self, log_probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """That each label is wrong rather than right: float64 [n].

        Args:
            log_probs: float [witnesses, n, classes].
            labels: int [n].
        """
        joint = self.classes(log_probs) * self.transition[:, labels].T
        row = np.arange(len(labels))
        right = joint[row, labels]
        joint[row, labels] = 0
        return np.asarray(np.log(joint.sum(1) + TINY) - np.log(right + TINY))

    def information(self, log_probs: np.ndarray, labels: np.ndarray) -> float:
        """How much of what knowing the wrong ones would tell of the rate the labels tell: 0..1; arguments as above."""
        q = self.classes(log_probs)
        of_label, right = (q * self.transition[:, labels].T).sum(1), q[np.arange(len(labels)), labels]
        rate = float((1 - np.diag(self.transition)) @ q.mean(0))
        wrong = (of_label - (1 - rate) * right) / rate  # likelihood of the label if it is wrong
        slope = (wrong - right) / (of_label + TINY)
        return float(min(1.0, (slope**2).mean() * rate * (1 - rate)))

    def knowledge(self, log_probs: np.ndarray) -> float:
        """What the witness counts for beside others; log_probs as above, of any samples.

        What it foretells of a label, times the cube of what it tells of the true class, both beyond the frequencies of
        the classes. Labels may be foretold well by what has learned with which errors classes are labeled; classes may
        be told by a witness that no label confirms.
        """
        q = self.classes(log_probs)
        of_class = float((q * np.log((q + TINY) / (q.mean(0) + TINY))).sum(1).mean())
        return max(0.0, self.gain / self.samples) * of_class**3

    def suggested(self, log_probs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The likeliest class other than the label, int [n], and how likely it is, float64 [n]; arguments as above."""
        joint = self.classes(log_probs) * self.transition[:, labels].T
        joint /= joint.sum(1, keepdims=True)
        joint[np.arange(len(labels)), labels] = -1
        return joint.argmax(1), joint.max(1)

    def classes(self, log_probs: np.ndarray) -> np.ndarray:
        """How likely each class is the true one, float64 [n, classes]; log_probs as above."""
        return softmax(np.tensordot(self.scale, log_probs.astype(np.float64), 1) + self.shift)


def softmax(scores: np.ndarray, axis: int = -1) -> np.ndarray:
    """Over one axis, by default the last."""
    raised = np.exp(scores - scores.max(axis, keepdims=True))
    return np.asarray(raised / raised.sum(axis, keepdims=True))


def alike(n_classes: int) -> np.ndarray:
    """Errors that fall on any other class alike, float64 [classes, classes]; rows sum to 1."""
    errors = np.full((n_classes, n_classes), 1 / (n_classes - 1))
    np.fill_diagonal(errors, 0)
    return errors


def fit(
    log_probs: np.ndarray,
    labels: np.ndarray,
    peers: Peers = NO_PEERS,
    expected: np.ndarray | None = None,
    anchors: Anchors | None = None,
    *,
    starts: Sequence[float] = STARTS,
) -> LabelNoise:
    """The likeliest of several local optima.

    Args:
        log_probs: float [witnesses, m, classes], of held-out samples.
        labels: int [m], given.
        peers: of the witnesses.
        expected: float [classes, classes], R where nothing else is known; by default errors fall on any class alike.
        anchors: how images are labeled whose class is sure; without them every error may have a direction.
        starts: of a.
    """
    chosen = evenly(len(labels))
    log_probs = np.ascontiguousarray(log_probs[:, chosen].transpose(0, 2, 1), np.float64)
    labels, classes = labels[chosen], np.arange(log_probs.shape[1])[:, None]
    said = np.zeros(log_probs.shape[1:])
    for taken in peers.taken:
        said += peers.weight / len(peers.taken) * (taken[chosen] == classes)
    square = len(classes), len(classes)
    anchors = Anchors(np.zeros(square), np.ones(square, bool)) if anchors is None else anchors
    data = _Data(log_probs, labels, (labels == classes).astype(np.float64), said, anchors)
    expected = alike(len(classes)) if expected is None else expected
    return max((_climb(data, expected, start) for start in starts), key=lambda found: found[0])[1]


def evenly(n: int) -> np.ndarray:
    """As many of n samples as the likelihood is fitted on, evenly spaced: int64 [m], ascending."""
    return np.arange(n) if n <= MOST_FITTED else np.linspace(0, n - 1, MOST_FITTED).astype(np.int64)


@dataclass(frozen=True)
class _Data:
    """What is fitted; samples are the last axis, as NumPy sums over few classes slowly where these are."""

    log_probs: np.ndarray  # float64 [witnesses, classes, m]
    labels: np.ndarray  # int [m]
    is_label: np.ndarray  # float64 [classes, m]: 1 where the label is that class
    said: np.ndarray  # float64 [classes, m]: their weight times the share of peers that say so
    anchors: Anchors


@dataclass
class _Guess:
    """Parameters on their way up."""

    log_a: np.ndarray
    b: np.ndarray
    rates: np.ndarray  # e
    errors: np.ndarray  # R
    believed: np.ndarray  # R by belief alone
    overall: float  # the rate that classes are believed to share

    @property
    def transition(self) -> np.ndarray:
        made = np.asarray(self.errors * self.rates[:, None])
        np.fill_diagonal(made, 1 - self.rates)
        return made

    def classes(self, data: _Data) -> np.ndarray:
        return softmax(np.tensordot(np.exp(self.log_a), data.log_probs, 1) + self.b[:, None], axis=0)

    def prior(self) -> float:
        sharp = SHARPNESS * ((self.log_a + np.log(len(self.log_a)) - SHARP) ** 2).sum()
        likely = self.believed > 0
        log_ratio = np.log(self.errors[likely] / self.believed[likely] + TINY)
        errors = BELIEVED * (self.believed[likely] * log_ratio).sum()
        alike_rates = self.overall * np.log(self.rates / self.overall + TINY)
        alike_rates += (1 - self.overall) * np.log((1 - self.rates) / (1 - self.overall) + TINY)
        return float(errors + CLASSES_ALIKE * alike_rates.sum() - (sharp + SHIFT * (self.b**2).sum()) / 2)


def _climb(data: _Data, expected: np.ndarray, scale: float) -> tuple[float, LabelNoise]:
    """Expectation maximisation from one start: the objective reached, and the parameters."""
    witnesses, c, m = data.log_probs.shape
    guess = _Guess(
        np.full(witnesses, np.log(scale / witnesses)), np.zeros(c), np.full(c, RATE), expected, expected, RATE
    )
    reached, last = -np.inf, -np.inf
    for _ in range(ROUNDS):
        q, transition = guess.classes(data), guess.transition
        joint = q * transition[:, data.labels]
        of_label = joint.sum(0) + TINY
        likelihood = float(np.log(of_label).sum())
        beside = (data.said * np.log(q + TINY)).sum() + (data.anchors.count * np.log(transition + TINY)).sum()
        reached = likelihood + float(beside) + guess.prior()
        if reached - last < 1e-6 * m:
            break
        last = reached
        true = joint / of_label
        _learn_noise(guess, true @ data.is_label.T + data.anchors.count, expected, data.anchors.one_way)
        _sharpen(guess, data, q, true)
    frequency = np.bincount(data.labels, minlength=c) / m
    gain = likelihood - float(np.log(frequency[data.labels]).sum())
    return reached, LabelNoise(np.exp(guess.log_a), guess.b, transition, gain, m)


def _learn_noise(guess: _Guess, count: np.ndarray, expected: np.ndarray, may: np.ndarray) -> None:
    """Rates and errors by the expected counts of true class (row) and label, and the prior."""
    of_class = count.sum(1)
    np.fill_diagonal(count, 0)
    wrong = count.sum(1)
    guess.overall = float((wrong.sum() + 0.5) / (of_class.sum() + 1))
    guess.rates = (wrong + CLASSES_ALIKE * guess.overall) / (of_class + CLASSES_ALIKE)
    guess.believed = _belief(count, expected, may)
    guess.errors = (count + BELIEVED * guess.believed) / (wrong + BELIEVED)[:, None]


def _belief(count: np.ndarray, expected: np.ndarray, may: np.ndarray) -> np.ndarray:
    """Of each true class, the likelier belief in its errors, by Dirichlet priors: float64 [classes, classes].

    Args:
        count: float64 [classes, classes], errors of each true class (row) with each label; none on the diagonal.
        expected: of the same shape, the one belief; the others are that most fall on one class, whichever it is.
        may: bool, of the same shape, which one that may be.
    """
    none_else = (1 - ONE_WAY) * expected
    shared, alone = _evidence(count, none_else), _evidence(count, none_else + ONE_WAY)
    one_way = shared.sum(1, keepdims=True) - shared + alone - np.log(max(1, len(count) - 1))
    one_way[~may] = -np.inf
    np.fill_diagonal(one_way, -np.inf)
    towards = one_way.argmax(1)
    directed = np.flatnonzero(one_way.max(1) > _evidence(count, expected).sum(1) + CLEARLY)
    believed = expected.copy()
    believed[directed] = none_else[directed]
    believed[directed, towards[directed]] += ONE_WAY
    return believed


def _evidence(count: np.ndarray, believed: np.ndarray) -> np.ndarray:
    """Log likelihood of counts by a Dirichlet prior, up to what all beliefs of as much weight share; of that shape."""
    weight = BELIEVED * np.maximum(believed, TINY)
    return np.asarray(gammaln(count + weight) - gammaln(weight))


def _sharpen(guess: _Guess, data: _Data, q: np.ndarray, true: np.ndarray) -> None:
    """A step of Newton's method, with the diagonal of the Hessian, for a and b; q and true are [classes, m]."""
    target = true + data.said
    weight = target.sum(0)
    missing = target - weight * q
    a = np.exp(guess.log_a)
    mean = (q * data.log_probs).sum(1, keepdims=True)
    variance = (weight * (q * (data.log_probs - mean) ** 2).sum(1)).sum(1)
    slope = a * (missing * data.log_probs).sum((1, 2)) - SHARPNESS * (guess.log_a + np.log(len(a)) - SHARP)
    guess.log_a = guess.log_a + (slope / (a**2 * variance + np.abs(slope) / 2 + SHARPNESS)).clip(-0.5, 0.5)
    slope = missing.sum(1) - SHIFT * guess.b
    guess.b = guess.b + (slope / ((weight * q * (1 - q)).sum(1) + SHIFT)).clip(-0.5, 0.5)
