"""What a gate found, as data, which every format renders."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from aumclean import __version__
from aumclean.errors import counted, printable
from aumclean.files.records import Count, Record, Share
from aumclean.gate.baseline import Suspect

Rule = Literal["mislabeled", "conflicting-duplicate", "near-conflict", "leaked", "low-score", "unreadable"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One sample that a person should look at, and why."""

    rule: Annotated[Rule, Field(description="What is wrong with it.")]
    path: Annotated[str, Field(description="As in the report.")]
    file: Annotated[str, Field(description="File to look at, relative to the working directory where possible.")]
    line: Annotated[int, Field(ge=1, description="Line in it, counted from 1.")]
    label: Annotated[str | None, Field(description="Its label; null if unreadable.")] = None
    suggested_label: Annotated[str | None, Field(description="Class it looks like.")] = None
    suggested_confidence: Annotated[Share | None, Field(description="How sure.")] = None
    label_score: Annotated[Share | None, Field(description="0 to 1, low is suspect.")] = None
    content_hash: Annotated[str | None, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the file.")] = None
    is_new: Annotated[bool | None, Field(description="Whether the baseline does not know it; null without a baseline.")]
    failing: Annotated[bool, Field(description="Whether a budget that is exceeded counts it.")]
    message: Annotated[str, Field(description="One sentence, control characters escaped.")]

    @property
    def at_line(self) -> int | None:
        """The line that says something to a person: none where the file is the image, or a table without lines."""
        picture = self.path.rpartition("#")[0]  # of a box
        is_image = f"/{self.file}".endswith((f"/{self.path}", f"/{picture}"))
        return None if is_image or self.file.endswith(".parquet") else self.line

    @property
    def place(self) -> str:
        """Where to look, for people."""
        file = printable(self.file)
        return file if self.at_line is None else f"{file}:{self.at_line}"


@dataclass(frozen=True)
class Check:
    """One budget."""

    name: Annotated[str, Field(description="Its option, and the class where it is for one.")]
    passed: Annotated[bool, Field(description="Whether it holds.")]
    measured: Annotated[str, Field(description="What was measured, in words.")]
    allowed: Annotated[str, Field(description="What is allowed, in words.")]


class Tool(Record):
    """What wrote it."""

    name: Literal["aumclean"] = Field(default="aumclean", description="The program.")
    version: str = Field(default=__version__, description="Its version.")


class Outcome(Record):
    """What a gate found."""

    schema_version: Literal[1] = Field(default=1, description="Version of this form of file.")
    tool: Tool = Field(default=Tool(), description="What wrote it.")
    passed: bool = Field(description="Whether every budget holds.")
    subject: Path = Field(description="The directory that was looked at.")
    samples: Count = Field(description="Samples in it.")
    flagged: Count = Field(description="Flagged ones, less those that reviewers decided to keep.")
    new: Count | None = Field(description="Suspects that the baseline does not know; null without a baseline.")
    checks: tuple[Check, ...] = Field(min_length=1, description="Every budget that was asked for.")
    findings: tuple[Finding, ...] = Field(
        description="What a person should look at: failing ones first, then new ones, then the most suspect first."
    )
    fixed: tuple[Suspect, ...] = Field(description="Suspects of the baseline that are suspect no more.")
    notes: tuple[str, ...] = Field(description="What a reader must know to trust the outcome.")

    @property
    def failing(self) -> list[Finding]:
        """The findings that a budget which is exceeded counts, the worst first."""
        return [finding for finding in self.findings if finding.failing]

    @property
    def open(self) -> list[Finding]:
        """These, and the others that no baseline accepts."""
        return [finding for finding in self.findings if finding.failing or finding.is_new is not False]

    @property
    def headline(self) -> str:
        """The outcome in one line."""
        if self.passed:
            return f"gate passed: {counted(len(self.checks), 'budget')} held"
        failed = sum(not check.passed for check in self.checks)
        return f"gate failed: {failed} of {counted(len(self.checks), 'budget')} exceeded"
