"""A scan's evidence without a scan: networks that know classes more or less, and noisy labels."""

from dataclasses import dataclass, replace

import numpy as np

from aumclean.verdict.label_noise import Peers, fit
from aumclean.verdict.posterior import Witness


@dataclass(frozen=True)
class Evidence:
    true: np.ndarray
    labels: np.ndarray
    wrong: np.ndarray
    witness: Witness
    margins: np.ndarray
    taught: np.ndarray


def uniform(rate):
    def noisy(true, n_classes, rng):
        other = (true + rng.integers(1, n_classes, len(true))) % n_classes
        return np.where(rng.random(len(true)) < rate, other, true)

    return noisy


def flipped(rate):
    return lambda true, n_classes, rng: np.where(rng.random(len(true)) < rate, (true + 1) % n_classes, true)


def evidence(noisy, *, n=3000, n_classes=5, skill=6.0, draws=2, seed=0) -> Evidence:
    """Images are doubtful alike for all networks, and a little to each; they know how often labels are wrong.

    What a network says is calibrated to the labels: it mixes what it thinks of the image with the noise. Where it was
    taught a label, that has a larger logit.
    """
    rng = np.random.default_rng(seed)
    true = rng.integers(0, n_classes, n)
    labels = noisy(true, n_classes, rng)
    noise = np.zeros((n_classes, n_classes))
    np.add.at(noise, (true, labels), 1)
    noise /= noise.sum(1, keepdims=True)
    image = rng.normal(size=(n, n_classes))
    image[np.arange(n), true] += skill * rng.random(n) ** 0.5
    share = n // (n_classes + 1)
    order = rng.permutation(n)
    taught = np.ones((draws, n), bool)
    logits = np.empty((draws, n, n_classes))
    for draw in range(draws):
        taught[draw, order[draw * share : (draw + 1) * share]] = False
        seen = image + rng.normal(size=image.shape) * 0.5
        classes = np.exp(seen - np.logaddexp.reduce(seen, axis=1, keepdims=True))
        logits[draw] = np.log(classes @ noise)
        logits[draw, taught[draw], labels[taught[draw]]] += 0.3
    fold, sample = np.nonzero(~taught)
    peers = [logits[(fold + other) % draws, sample].argmax(1) for other in range(1, draws)]
    margins = np.stack([_margins(logits, labels) * scale for scale in (1.0, 0.7, 0.4)])
    margins += rng.normal(size=margins.shape) * 0.3
    witness = Witness("network", sample, _log_softmax(logits[fold, sample]), Peers(peers))
    return Evidence(true, labels, labels != true, witness, margins, taught)


def compared(witness, labels):
    """The witness, with what it knows beside others."""
    noise = fit(witness.voices, labels[witness.sample])
    return replace(witness, knows=noise.knowledge(witness.voices))


def _margins(logits, labels):
    own = np.take_along_axis(logits, np.broadcast_to(labels[:, None], (*logits.shape[:2], 1)), 2)[..., 0]
    others = logits.copy()
    others[:, np.arange(len(labels)), labels] = -np.inf
    return own - others.max(2)


def _log_softmax(logits):
    return (logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)).astype(np.float32)
