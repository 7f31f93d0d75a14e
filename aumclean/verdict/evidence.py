"""What a run holds of evidence about its labels: from its files to what `posterior` weighs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aumclean.config.recipe import LINEAR
from aumclean.errors import RunError
from aumclean.files import parquet
from aumclean.margins.final import read_final
from aumclean.margins.held_out import HeldOut, joined, log_softmax, read_held_out, read_part
from aumclean.run.directory import Run
from aumclean.run.record import RunRecord, ScanRecord
from aumclean.verdict.anchors import by_surest, expected_errors
from aumclean.verdict.aum import Areas, areas, no_areas
from aumclean.verdict.label_noise import Anchors, LabelNoise, Peers, evenly, fit
from aumclean.verdict.neighbours import read_near, vote
from aumclean.verdict.posterior import Posterior, Witness, nothing_known, posterior, shares, together
from aumclean.verdict.transitions import (
    NO_DIRECTION,
    Transitions,
    labels_of_surest,
    last_predictions,
    read_corrected,
    read_predictions,
    transitions,
)

NETWORK, FEATURES = "network", "features"
SAME_EYES = 0.1  # what peers count that look at the same features: much of it is an echo (docs/lab/features.md)


@dataclass(frozen=True)
class Evidence:
    """What the witnesses of a run say.

    Attributes:
        files: the final margins of every draw; none where the margin log is all there is.
        witnesses: what says something of labels that it was not taught; perhaps none.
        directed: which errors have a direction.
    """

    files: list[Path]
    witnesses: list[Witness]
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
    scanned = isinstance(record := run.read(), ScanRecord)
    kept = scanned or run.features.is_file()  # networks, or heads on features
    files = [run.final_margins(draw) for draw in range(draws)] if kept else []
    if kept:
        predicted, sureness = read_predictions(files, labels)
    else:
        predicted, sureness = last_predictions(run.margins, labels, n_classes, record.epochs_done)
    sure = labels_of_surest(predicted, sureness, labels, n_classes) if len(predicted) else None
    witnesses = []
    if any(run.held_out.glob("part-*.parquet")):
        witnesses = _witnesses(_of_this_run(run, read_held_out(run.held_out, n_classes), len(labels)), predicted)
    elif scanned and not run.held_out.is_dir():
        witnesses = _witnesses(_of_old_run(run, files, labels, n_classes), predicted)
    if run.held_out_features.is_file():
        held = _of_this_run(run, read_part(run.held_out_features, n_classes), len(labels))
        voted = vote(read_near(run.neighbours, len(labels)), labels, n_classes)
        peers = Peers(held.peers, SAME_EYES)
        witnesses.append(Witness(FEATURES, held.sample, np.stack([held.log_probs, voted]), peers))
    noises = [fit(one.voices, labels[one.sample]) for one in witnesses]  # without peers, so that they can be compared
    witnesses = [
        replace(one, knows=noise.knowledge(one.voices[:, evenly(len(one.sample))]))
        for one, noise in zip(witnesses, noises, strict=True)
    ]
    anchors, directed = _noise_of_surest(witnesses, noises, sure, labels, n_classes)
    return Evidence(files, [replace(one, anchors=anchors) for one in witnesses], directed)


def _noise_of_surest(
    witnesses: Sequence[Witness],
    noises: Sequence[LabelNoise],
    sure: tuple[np.ndarray, np.ndarray] | None,
    labels: np.ndarray,
    n_classes: int,
) -> tuple[Anchors | None, Transitions]:
    """How the images are labeled that one can be surest of, see `Witness`, and which errors have a direction.

    Both by the witness that knows most, if it speaks of every sample. Where it speaks of a few, as a network does, what
    all draws are surest of (see `labels_of_surest`) is more.
    """
    if witnesses:
        most = max(range(len(witnesses)), key=lambda at: witnesses[at].knows)
        one, own = witnesses[most], labels[witnesses[most].sample]
        if sure is None or len(own) == len(labels):
            return by_surest(noises[most], one.voices, own, one.peers)
    if sure is None:
        return None, NO_DIRECTION
    table = np.zeros((n_classes, n_classes))
    table.flat[sure[0]] = sure[1]
    return Anchors(table, np.ones_like(table, bool)), transitions(*sure, n_classes)


def _of_this_run(run: Run, held: HeldOut, n: int) -> HeldOut:
    """The same, once it is known to be of the n samples of the run.

    Raises:
        RunError: when it is not.
    """
    if len(held.sample) and (held.sample.min() < 0 or held.sample.max() >= n):
        raise RunError(f"{run.held_out}: is not of the samples of this run; scan again")
    return held


def is_frozen(record: RunRecord) -> bool:
    """Whether heads on features were trained in place of a network: they are no witness beside these."""
    return isinstance(record, ScanRecord) and record.recipe.arch == LINEAR


def _witnesses(held: HeldOut, predicted: np.ndarray) -> list[Witness]:
    """What is held out by fold: folds that share no sample are one witness, others are witnesses of their own.

    Args:
        held: of all folds; those of draws have the draw's number.
        predicted: int [draws, n], what each draw takes each sample for: the peers of whatever is not that draw itself.
    """
    held = _each_once(held)
    together: list[list[int]] = []
    samples = {int(fold): held.sample[held.fold == fold] for fold in np.unique(held.fold)}
    for fold, own in samples.items():
        for others in together:
            if not any(np.isin(own, samples[other], assume_unique=True).any() for other in others):
                others.append(fold)
                break
        else:
            together.append([fold])
    rows = [np.flatnonzero(np.isin(held.fold, folds)) for folds in together]
    takes = held.log_probs.argmax(1)
    witnesses = []
    for number, own_rows in enumerate(rows):
        sample, draws = held.sample[own_rows], len(predicted)
        peers = [predicted[(held.fold[own_rows] + other) % draws, sample] for other in range(1, draws)]
        for other_rows in rows[:number] + rows[number + 1 :]:
            said = np.full(int(held.sample.max()) + 1, -1)
            said[held.sample[other_rows]] = takes[other_rows]
            peers.append(said[sample])
        name = NETWORK if number == 0 else f"{NETWORK} {number + 1}"
        witnesses.append(Witness(name, sample, held.log_probs[own_rows], Peers(peers)))
    return witnesses


def _each_once(held: HeldOut) -> HeldOut:
    """What was said last where a fold speaks of a sample twice, as when processes share padded samples."""
    again = np.append((np.diff(held.sample) == 0) & (np.diff(held.fold) == 0), False)
    return HeldOut(held.sample[~again], held.fold[~again], held.log_probs[~again]) if again.any() else held


def _of_old_run(run: Run, files: list[Path], labels: np.ndarray, n_classes: int) -> HeldOut:
    """What the networks of a run from before there was `held_out` said: all but the five likeliest classes alike."""
    parts = []
    for draw, file in enumerate(files):
        held = parquet.read(run.path / "models" / f"draw={draw}.held_out.parquet", ["sample_id"])
        ids = held["sample_id"].to_numpy().astype(np.int64)
        blocks = [block for _, block in read_final(file, len(labels))]
        rivals, margins = (np.concatenate(values)[ids] for values in zip(*blocks, strict=True))
        logits = np.repeat(np.minimum(-margins[:, -1:], 0), n_classes, axis=1)
        np.put_along_axis(logits, rivals.astype(np.int64), -margins, 1)
        logits[np.arange(len(ids)), labels[ids]] = 0
        parts.append(HeldOut(ids, np.full(len(ids), draw, np.int32), log_softmax(logits)))
    return joined(parts)


@dataclass(frozen=True)
class Ensemble:
    """How the words of several witnesses about labels they were not taught are to be taken: also those of new images.

    Attributes:
        noises: of each witness the likelihood.
        counts: float64 [witnesses], what each counts, together 1.
    """

    noises: list[LabelNoise]
    counts: np.ndarray

    def log_odds(self, log_probs: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
        """That each label is wrong rather than right: float64 [n].

        Args:
            log_probs: float [n, classes], by each witness.
            labels: int [n].
        """
        told = [noise.log_odds(said[None], labels) for noise, said in zip(self.noises, log_probs, strict=True)]
        return np.asarray(self.counts @ told)

    def suggested(self, log_probs: Sequence[np.ndarray], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The likeliest other class, by the witness that counts most, and how likely it is; arguments as above."""
        most = int(self.counts.argmax())
        return self.noises[most].suggested(log_probs[most][None], labels)


def ensemble_of(evidence: Evidence, labels: np.ndarray, n_classes: int) -> Ensemble:
    """Of each kind of witness the first one and its first voice: new images have no neighbours yet."""
    expected = expected_errors(evidence.directed, n_classes)
    firsts = [witnesses[0] for witnesses in _kinds(evidence.witnesses)]
    noises = [fit(one.voices[:1], labels[one.sample], one.peers, expected, one.anchors) for one in firsts]
    return Ensemble(noises, shares([one.knows for one in firsts]))


def _kinds(witnesses: Sequence[Witness]) -> list[list[Witness]]:
    """Networks, and features; those that are there."""
    of_features = [one for one in witnesses if one.name == FEATURES]
    networks = [one for one in witnesses if one.name != FEATURES]
    return [kind for kind in (networks, of_features) if kind]


class _Taught(NamedTuple):
    """What networks that were taught the labels, or heads on features, say of them: arguments of `posterior`.

    Attributes:
        margins: float32 [draws, n] each, final, closing and mean margins, lowered where errors have a direction.
        judges: bool [draws, n], which draw was taught which label.
    """

    margins: Sequence[np.ndarray] | None = None
    judges: np.ndarray | None = None


def weigh(
    evidence: Evidence, run: Run, labels: np.ndarray, n_classes: int, epochs: list[range], stops: list[int]
) -> tuple[Areas, Posterior]:
    """The areas under the margins, and the posterior by them and all else; epochs and stops as of `areas`."""
    record, witnesses, expected = run.read(), evidence.witnesses, expected_errors(evidence.directed, n_classes)
    area, own = no_areas(len(labels)), _Taught()
    if epochs:
        area, own = _read_taught(run, evidence, labels, n_classes, epochs, stops, isinstance(record, ScanRecord))
    if not witnesses:
        return area, nothing_known(len(labels))
    kinds = _kinds(witnesses)
    taught = [_Taught()] * len(kinds)
    taught[0 if isinstance(record, ScanRecord) and not is_frozen(record) else -1] = own
    if run.has_heads():
        taught[-1] = _of_heads(run.heads, evidence, labels, n_classes)
    found = together(
        [posterior(labels, n_classes, kind, *told, expected) for kind, told in zip(kinds, taught, strict=True)]
    )
    if epochs:
        knows_most = max(witnesses, key=lambda one: one.knows)
        of_network = record.made_by != "judge" and knows_most.name != FEATURES  # it names the runner-up of its margins
        witnesses = [] if of_network else [knows_most]
    return _suggesting(area, witnesses, found, labels), found


def _read_taught(
    run: Run,
    evidence: Evidence,
    labels: np.ndarray,
    n_classes: int,
    epochs: list[range],
    stops: list[int],
    whole: bool = True,
) -> tuple[Areas, _Taught]:
    area, lowered = areas(run.margins, labels, n_classes, epochs, stops, evidence.directed, whole=whole)
    final = read_corrected(evidence.files, labels, evidence.directed) if evidence.files else lowered.closing
    return area, _Taught((final, lowered.closing, lowered.averaged), area.judges)


def _of_heads(heads: Run, evidence: Evidence, labels: np.ndarray, n_classes: int) -> _Taught:
    """What heads on the features beside a network say."""
    record = heads.read()
    epochs = [range(record.judge.first_epoch, stop) for stop in record.averaged_epochs]
    files = [heads.final_margins(draw) for draw in range(record.draws)]
    return _read_taught(heads, replace(evidence, files=files), labels, n_classes, epochs, record.epochs_done)[1]


def _suggesting(area: Areas, witnesses: Sequence[Witness], found: Posterior, labels: np.ndarray) -> Areas:
    """With the likeliest other class by each witness that was not taught the label, the first one that speaks."""
    if not witnesses:
        return area
    suggested, share = area.suggested.copy(), area.suggested_share.copy()
    for one in reversed(witnesses):
        noise = found.noise[one.name]
        suggested[one.sample], share[one.sample] = noise.suggested(one.voices, labels[one.sample])
    return replace(area, suggested=suggested, suggested_share=share)
