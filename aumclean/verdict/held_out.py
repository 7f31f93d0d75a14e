"""Held-out margins: how the network of a draw judges labels that it was not taught.

A network never saw the labels of its own indicator samples: it was taught the indicator class instead. Among the real
classes it therefore judges them as it judges new images.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aumclean import atomic
from aumclean.errors import RunError
from aumclean.margins import margins

WRONG_LABELS = 20  # per indicator sample at most
MOST_HELD_OUT = 20_000  # indicator samples per draw; more tell nothing new


@dataclass(frozen=True)
class HeldOut:
    """Margins of the indicator samples of one draw among the real classes.

    Attributes:
        given: float32 [m], for the label each sample has.
        wrong: float32 [m, k], for k other labels.
        predicted: int32 [m], the class each sample is taken for.
        lead: float32 [m], margin of that class, never negative.
    """

    given: np.ndarray
    wrong: np.ndarray
    predicted: np.ndarray
    lead: np.ndarray


def held_out(logits: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> HeldOut:
    """Margins for the given and for wrong labels.

    Args:
        logits: float32 [m, classes], of the real classes only.
        labels: int64 [m].
        rng: chooses the wrong labels where there are more than 20 others.
    """
    m, n_classes = logits.shape
    given, _ = margins(logits, labels)
    count = min(n_classes - 1, WRONG_LABELS)
    steps = rng.permuted(np.tile(np.arange(1, n_classes), (m, 1)), axis=1)[:, :count]
    wrong = [margins(logits, (labels + steps[:, k]) % n_classes)[0] for k in range(count)]
    predicted = logits.argmax(1).astype(np.int32)
    lead, _ = margins(logits, predicted)
    return HeldOut(given.astype(np.float32), np.stack(wrong, axis=1).astype(np.float32), predicted, lead)


def rank_among_predicted(predicted: np.ndarray, sureness: np.ndarray) -> np.ndarray:
    """Where each sample stands among those taken for the same class, the surest first: float64 [n], within 0..1."""
    order = np.lexsort((-sureness, predicted))
    of_class = np.bincount(predicted)
    first = np.repeat(of_class.cumsum() - of_class, of_class)
    rank = np.empty(len(predicted))
    rank[order] = (np.arange(len(predicted)) - first + 0.5) / of_class[predicted[order]]
    return rank


def write_held_out(file: Path, sample_ids: np.ndarray, held: HeldOut) -> None:
    """Write the held-out margins of a draw; `sample_ids` (int [m]) says of which indicator samples they are."""
    wrong = pa.FixedSizeListArray.from_arrays(pa.array(held.wrong.ravel()), held.wrong.shape[1])
    columns = {name: pa.array(getattr(held, name)) for name in ("given", "predicted", "lead")}
    table = pa.table({"sample_id": pa.array(sample_ids, pa.int32()), **columns, "wrong": wrong})
    with atomic.replacing(file) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_held_out(file: Path) -> HeldOut:
    """What `write_held_out` wrote.

    Raises:
        RunError: when it cannot be read.
    """
    try:
        table = pq.read_table(file).combine_chunks()
        wrong = table["wrong"].combine_chunks().flatten().to_numpy()
        given, predicted, lead = (table[name].to_numpy() for name in ("given", "predicted", "lead"))
        return HeldOut(given, wrong.reshape(len(table), -1), predicted, lead)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise RunError(f"{file}: cannot be read ({' '.join(str(error).split())}); scan again") from None
