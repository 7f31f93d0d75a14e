"""What a run holds of evidence about its labels: from its files to what `posterior` weighs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from aumclean.margins.final import read_final
from aumclean.margins.held_out import HeldOut, joined, log_softmax, read_held_out
from aumclean.run.directory import Run
from aumclean.verdict.aum import Areas, areas
from aumclean.verdict.label_noise import LabelNoise, alike, fit
from aumclean.verdict.posterior import Posterior, Witness, posterior
from aumclean.verdict.transitions import Transitions, find_transitions, read_corrected, read_predictions

NETWORK = "network"


@dataclass(frozen=True)
class Evidence:
    """What the networks of a run say: of labels they were not taught, and which errors have a direction."""

    files: list[Path]
    witness: Witness
    directed: Transitions


def read_evidence(run: Run, labels: np.ndarray, n_classes: int, draws: int) -> Evidence:
    """Read held-out probabilities, and what the other draws take the same samples for.

    Args:
        run: whose draws are done.
        labels: int [n].
        n_classes: number of classes.
        draws: number of draws.

    Raises:
        RunError: when a file is missing or damaged.
    """
    files = [run.final_margins(draw) for draw in range(draws)]
    predicted, sureness = read_predictions(files, labels)
    is_old = not run.held_out.is_dir()
    held = _of_old_run(run, files, labels, n_classes) if is_old else read_held_out(run.held_out, n_classes)
    peers = [predicted[(held.fold + other) % draws, held.sample] for other in range(1, draws)]
    directed = find_transitions(predicted, sureness, labels, n_classes)
    return Evidence(files, Witness(NETWORK, held.sample, held.log_probs, peers), directed)


def _of_old_run(run: Run, files: list[Path], labels: np.ndarray, n_classes: int) -> HeldOut:
    """What the networks of a run from before there was `held_out` said: all but the five likeliest classes alike."""
    parts = []
    for draw, file in enumerate(files):
        ids = pq.read_table(run.path / "models" / f"draw={draw}.held_out.parquet", columns=["sample_id"])
        ids = ids["sample_id"].to_numpy().astype(np.int64)
        blocks = [block for _, block in read_final(file, len(labels))]
        rivals, margins = (np.concatenate(values)[ids] for values in zip(*blocks, strict=True))
        logits = np.repeat(np.minimum(-margins[:, -1:], 0), n_classes, axis=1)
        np.put_along_axis(logits, rivals.astype(np.int64), -margins, 1)
        logits[np.arange(len(ids)), labels[ids]] = 0
        parts.append(HeldOut(ids, np.full(len(ids), draw, np.int32), log_softmax(logits)))
    return joined(parts)


def expected_errors(directed: Transitions, n_classes: int) -> np.ndarray:
    """Which other class an error is expected to fall on: float64 [classes, classes], rows sum to 1."""
    errors = alike(n_classes)
    true, label = np.divmod(directed.pair, n_classes)
    errors[true, label] *= np.exp(directed.log_ratio)
    return np.asarray(errors / errors.sum(1, keepdims=True))


def noise_of(evidence: Evidence, labels: np.ndarray, n_classes: int) -> LabelNoise:
    """How the networks' words about labels they were not taught are to be taken: also those of new images."""
    witness, expected = evidence.witness, expected_errors(evidence.directed, n_classes)
    return fit(witness.log_probs[None], labels[witness.sample], witness.peers, expected)


def weigh(
    evidence: Evidence, run: Run, labels: np.ndarray, n_classes: int, epochs: list[range], stops: list[int]
) -> tuple[Areas, Posterior]:
    """The areas under the margins, and the posterior by them and all else; epochs and stops as of `areas`."""
    area = areas(run.margins, labels, n_classes, epochs, stops, evidence.directed)
    final = read_corrected(evidence.files, labels, evidence.directed)
    margins = np.stack([final, area.closing, area.lowered])
    expected = expected_errors(evidence.directed, n_classes)
    return area, posterior(labels, n_classes, [evidence.witness], margins, ~area.is_indicator, expected)
