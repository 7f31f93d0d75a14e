"""`aumclean judge`: the verdict on labels by what networks of one's own say of them."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aumclean.cli.console import give, progress, say_notes, show, table
from aumclean.cli.help import READ
from aumclean.cli.options import Judging, Options, Reading, Writing, option, with_options
from aumclean.cli.verdict import expected, most_suspect
from aumclean.errors import ConfigError

if TYPE_CHECKING:
    from aumclean.verdict.judge import Verdict


@dataclass(frozen=True, kw_only=True)
class Evidence(Options):
    """What speaks of the labels."""

    pred_probs: Annotated[
        list[Path] | None,
        option("Out-of-sample probabilities: .npy, .npz, .parquet or .safetensors; repeatable.", metavar="FILE"),
    ] = None
    logits: Annotated[
        list[Path] | None, option("Out-of-sample logits, in the same file formats; repeatable.", metavar="FILE")
    ] = None

    features: Annotated[
        Path | None, option("Features of any backbone, [samples, width], in the same file formats.", metavar="FILE")
    ] = None
    margins: Annotated[
        Path | None, option("Margin log of a training, draw=K/epoch=NNN/part-R.parquet.", metavar="DIR")
    ] = None
    aum: Annotated[
        Path | None, option("What the package aum wrote: full_aum_records.csv or aum_values.csv.", metavar="FILE")
    ] = None


@dataclass(frozen=True, kw_only=True)
class LabelReading(Reading):
    """How labels are read, and which column of predictions is of which class."""

    classes: Annotated[
        str | None,
        option(
            "Class of each column: a,b,c or a file with one name per line. [default: sorted, or 0, 1, ...]", panel=READ
        ),
    ] = None


@partial(with_options, first=("pred_probs", "logits", "features", "margins", "aum", "out", "overwrite", "classes"))
def command(
    data: Annotated[
        Path,
        typer.Argument(
            help="Labels, such as labels.csv: a table, a .npy array, or what scan takes.", show_default=False
        ),
    ],
    evidence: Evidence,
    reading: LabelReading,
    judging: Judging,
    writing: Writing,
) -> None:
    """Judge labels by predictions, features or margins of your own networks.

    Works for any labeled data: images, tables, texts. Writes a run directory like that of scan, which report, review,
    gate, clean and evaluate accept, and prints its path.

    Example: `aumclean judge labels.csv --pred-probs fold-1.npz --pred-probs fold-2.npz`
    """
    if not evidence.given():
        raise ConfigError(
            "--pred-probs: is needed, such as --pred-probs probs.npy; or --logits, --features, --margins or --aum"
        )

    from aumclean.dataset.rows import Kind, read_rows
    from aumclean.judging.judge import Asked, Sources, judge_labels
    from aumclean.judging.labels import read_labels

    options = reading.given()
    classes = _names(options.pop("classes", None))
    samples = read_labels(data, **options)
    say_notes(samples)
    files: dict[Kind, list[Path]] = {"pred-probs": evidence.pred_probs or [], "logits": evidence.logits or []}
    predictions = [read_rows(file, kind) for kind in files for file in files[kind]]
    features = None if evidence.features is None else read_rows(evidence.features, "features")
    sources = Sources(predictions, features, evidence.margins, evidence.aum)
    asked = Asked(**judging.given())
    with progress() as track:
        run, verdict = judge_labels(samples, sources, classes=classes, asked=asked, track=track, **writing.given())
    show_verdict(verdict)
    give(run.path)


def _names(given: str | None) -> list[str] | None:
    """Names from a file with one a line, or between commas.

    Raises:
        ConfigError: when the file cannot be read.
    """
    if given is None:
        return None
    if os.path.isfile(given):  # noqa: PTH113 (Path.is_file raises for names that are too long for a file)
        try:
            return Path(given).read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--classes: {given} cannot be read ({error})") from None
    return [name.strip() for name in given.split(",")]


def show_verdict(verdict: "Verdict") -> None:
    """How much is flagged, how far to trust that, and which labels are the most suspect."""
    from aumclean.verdict.estimate import said

    summary = verdict.summary
    rate = summary.noise_rate
    facts = [
        ("judged", f"{summary.judged:,} of {summary.samples:,} labels in {summary.classes} classes"),
        ("flagged", f"{summary.flagged:,} ({summary.flagged_share:.1%}), set {summary.flagged_digest}"),
        ("noise rate", said(rate.estimate, rate.low, rate.high)),
        *expected(summary.flags),
    ]
    warnings = (f"- {warning.code}: {warning.message}" for warning in summary.warnings)
    show(table("", ("", ""), facts), *most_suspect(verdict.report), *warnings)
