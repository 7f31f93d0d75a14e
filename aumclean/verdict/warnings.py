"""Small numbers and odd labels: said by name in the summary and the report, never hidden."""

import itertools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

FEW_INDICATORS = 100  # below it the 99th percentile rests on the one or two largest
FEW_SAMPLES = 20  # a class below it is judged with a mark, by the published threshold not at all
OVER_FLAGGED = 0.5
TAUGHT = 0.995  # agreement with labels that networks seldom have with labels they were not taught
CONTRADICTED = 0.5  # of labels that another witness finds wrong: predictions out of sample call 0 to 2% of them right


@dataclass(frozen=True)
class Caution:
    """A named warning: a stable code for programs, a sentence for people."""

    code: str
    message: str


def label_warnings(labels: np.ndarray, class_names: tuple[str, ...], *, published: bool = False) -> list[Caution]:
    """What is allowed in labels (int [n]) but seldom meant, or too little to judge, by the published rule or ours."""
    found = []
    alike: dict[str, list[str]] = {}
    for name in class_names:
        alike.setdefault(_meant(name), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            found.append(
                Caution("similar-labels", f"labels differ only in how they are written: {_listed(names)}; one class?")
            )
    counts = np.bincount(labels, minlength=len(class_names))
    single = [class_names[index] for index in np.flatnonzero(counts == 1)]
    few = [class_names[index] for index in np.flatnonzero((counts > 1) & (counts < FEW_SAMPLES))]
    if single:
        found.append(Caution("single-sample-class", f"not judged, one sample only: {_listed(single)}"))
    if few:
        what = "not judged" if published else "right labels may be taken for wrong"
        found.append(Caution("small-class", f"{what}, as there are fewer than {FEW_SAMPLES} samples: {_listed(few)}"))
    if len(class_names) == 2:
        found.append(Caution("two-classes", "with two classes a third of the data are indicator samples of each draw"))
    return found


def _meant(name: str) -> str:
    """What is left of a name without case, blanks, the Unicode form of its letters and the way a number is written."""
    plain = unicodedata.normalize("NFKC", " ".join(name.split())).casefold()
    return repr(float(plain)) if re.fullmatch(r"[+-]?\d{1,15}(\.\d*)?", plain) else plain


def indicator_warnings(indicators: int) -> list[Caution]:
    """What to say of the number of indicator samples per draw."""
    if indicators >= FEW_INDICATORS:
        return []
    return [
        Caution(
            "few-indicator-samples",
            f"{indicators} indicator samples per draw, fewer than {FEW_INDICATORS}: the threshold rests on the "
            "largest one or two; see its interval",
        )
    ]


def flag_warnings(flagged_share: float) -> list[Caution]:
    """What to say of how much was flagged."""
    if flagged_share <= OVER_FLAGGED:
        return []
    return [
        Caution(
            "mostly-flagged",
            f"{flagged_share:.0%} of the samples are flagged: the network did not learn the classes; "
            "more --epochs, more data or another --arch may help; trust the ranking before the flags",
        )
    ]


def trained_warnings(trained: bool) -> list[Caution]:
    """What to say of networks that predict labels they were not taught no better than chance."""
    if trained:
        return []
    return [
        Caution(
            "not-trained",
            "the networks are not trained enough to say anything of the labels: they predict those they were not "
            "taught no better than chance; more --epochs or more images may help",
        )
    ]


def nothing_held_out() -> Caution:
    """What to say when all that speaks of the labels was taught them."""
    return Caution(
        "nothing-held-out",
        "nothing speaks of the labels that was not taught them: by margins alone the noise rate is unknown; give "
        "predictions of networks that were not taught these labels, or train with indicator samples in two draws",
    )


def seen_warnings(seen: np.ndarray, epochs: np.ndarray, repeated: int) -> list[Caution]:
    """What to say of samples that a training of somebody's own passed over, or saw more than once in an epoch.

    Args:
        seen: int [draws, n], in how many epochs each sample was seen.
        epochs: int [draws], how many there were.
        repeated: how often a sample was seen again in an epoch.
    """
    found = []
    never, partly = (seen == 0).all(0).sum() if len(seen) else 0, (seen < epochs[:, None]).any(0).sum()
    if partly:
        found.append(
            Caution(
                "left-out",
                f"{partly:,} samples were not seen in every epoch, {never:,} of them in none: their margins are "
                "averaged over the epochs in which they were",
            )
        )
    if repeated:
        found.append(
            Caution("repeated", f"samples were seen again {repeated:,} times in an epoch: their margins were averaged")
        )
    return found


def in_sample_warnings(agreement: Sequence[float | None]) -> list[Caution]:
    """What to say of predictions that agree with the labels as those of a network do that was taught them.

    Args:
        agreement: of each source of evidence, the share of labels that are its likeliest class; None of margins.
    """
    if not any(share is not None and share > TAUGHT for share in agreement):
        return []
    return [
        Caution(
            "in-sample",
            f"predictions agree with over {TAUGHT:.1%} of the labels, as those of a network do that was taught them: "
            "if it was, wrong labels are not seen; predict every sample by a network that was trained without it",
        )
    ]


def contradiction_warnings(by: Mapping[str, np.ndarray], out_of_sample: str) -> list[Caution]:
    """What to say of predictions that call right what another witness finds wrong.

    Out of sample they seldom do, however many labels they agree with; a network that was taught the labels does.

    Args:
        by: per witness the log odds that each label is wrong, float64 [n], NaN where it says nothing.
        out_of_sample: the witness that is no prediction of anybody's.
    """
    for name, other in itertools.permutations(by, 2):
        doubted = (by[other] > 0) & ~np.isnan(by[name])
        share = float((by[name][doubted] < 0).mean()) if doubted.sum() >= FEW_SAMPLES else 0.0
        if name != out_of_sample and share > CONTRADICTED:
            return [
                Caution(
                    "in-sample",
                    f"predictions call {share:.0%} of {doubted.sum():,} labels right that are wrong by {other}, as "
                    "those of a network do that was taught them: predict every sample by a network that was trained "
                    "without it",
                )
            ]
    return []


def _listed(names: list[str], most: int = 10) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
