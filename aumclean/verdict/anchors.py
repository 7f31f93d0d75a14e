"""What the labels tell of images that a witness is surest of: how classes are labeled, and which errors are the rule.

There the true class is known, so that how those images are labeled is how labels go wrong (Patrini et al. 2017, who
take one image of each class). Errors with a direction are learned by whoever is taught the labels: half of what is
called a car being trucks, a truck is a car to it as well. Such labels can be corrected before it is taught them again,
as Lawrence and Schölkopf 2001 do for the class means of a discriminant.
"""

import numpy as np
import scipy.special

from aumclean.verdict.label_noise import NO_PEERS, TINY, Anchors, LabelNoise, Peers, alike, fit
from aumclean.verdict.transitions import Transitions, main_directions, surest

BY_DOUBT = 0.1  # how probable labels of the surest images may be by the witness's doubt (docs/lab/verdict.md)


def by_surest(
    alone: LabelNoise, voices: np.ndarray, labels: np.ndarray, peers: Peers = NO_PEERS
) -> tuple[Anchors, Transitions]:
    """Anchors by a witness, and which errors have a direction.

    How often the witness errs on its surest images cannot be told class by class, for it takes errors with a direction
    for its own; the typical class tells it. A direction that this alone explains is none: of a few images, a witness
    that takes trucks for cars finds trucks that are labeled as cars.

    Args:
        alone: the likelihood of the labels by the witness, without peers and anchors.
        voices: float [voices, m, classes], of images whose labels it was not taught.
        labels: int [m], given.
        peers: as of `label_noise.fit`.
    """
    likely = alone.classes(voices)
    n_classes, taken, surely = likely.shape[1], likely.argmax(1), likely.max(1)
    sure = surest(taken, surely)
    taken, surely = taken[sure], surely[sure]
    count = np.bincount(taken * n_classes + labels[sure], minlength=n_classes**2).reshape(n_classes, n_classes)
    size = count.sum(1)
    own = np.bincount(taken, surely, n_classes)[size > 0] / size[size > 0]
    doubt = 1 - float(np.median(own))
    by_doubt = scipy.special.bdtrc(count - 1, size[:, None], doubt)  # that as many have that label, or more
    anchors = Anchors(beyond(doubt, count), by_doubt < BY_DOUBT)
    return anchors, main_directions(fit(voices, labels, peers, anchors=anchors).transition, anchors.one_way)


def corrected(voices: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The labels, int [n], but for errors with a direction: the true class, where it is likelier than not.

    Args:
        voices: float [voices, n, classes], by a witness that was not taught the label of the image it speaks of.
        labels: int [n], given.
    """
    anchors, directed = by_surest(fit(voices, labels), voices, labels)
    if not len(directed.pair):
        return labels
    noise = fit(voices, labels, expected=expected_errors(directed, voices.shape[2]), anchors=anchors)
    other, likely = noise.suggested(voices, labels)
    return np.where((likely > 0.5) & (directed.of(other, labels) > 0), other, labels)


def expected_errors(directed: Transitions, n_classes: int) -> np.ndarray:
    """Which other class an error is expected to fall on: float64 [classes, classes], rows sum to 1."""
    errors = alike(n_classes)
    true, label = np.divmod(directed.pair, n_classes)
    errors[true, label] *= np.exp(directed.log_ratio)
    return np.asarray(errors / errors.sum(1, keepdims=True))


def beyond(doubt: float, count: np.ndarray) -> np.ndarray:
    """Anchors of a witness that is not always right of the images that it is surest of: float64 [classes, classes].

    With probability `doubt` a label contradicts it because it errs. What is contradicted more often than that is wrong,
    and as many anchors are left as tell as much of that rate, were none in doubt (Fisher's information).

    Args:
        doubt: 0..1, below 1.
        count: [classes, classes], how many images have each label, by the class they are taken for (row).
    """
    size, off = count.sum(1), count * (1 - np.eye(len(count)))
    contradicted = off.sum(1) / np.maximum(size, 1)
    rate = ((contradicted - doubt) / (1 - doubt)).clip(0)
    worth = size * rate * (1 - rate) * (1 - doubt) ** 2 / np.maximum(contradicted * (1 - contradicted), TINY)
    wrong = off * (worth * rate / np.maximum(off.sum(1), TINY))[:, None]
    return np.asarray(wrong + np.diag(worth * (1 - rate)))
