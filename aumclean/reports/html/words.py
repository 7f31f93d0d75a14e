"""What the page says of a verdict in sentences."""

import numpy as np
import pyarrow.compute as pc

from aumclean.errors import counted
from aumclean.reports.html.page import flagged
from aumclean.verdict.evidence import is_frozen
from aumclean.verdict.judge import Verdict
from aumclean.verdict.summary import Estimated


def sentence(verdict: Verdict) -> str:
    """What a person wants to know first."""
    summary = verdict.summary
    if not summary.judged:
        return f"None of {summary.samples:,} labels could be judged."
    of = f"of {summary.judged:,} labels" if not summary.not_judged else f"of {summary.judged:,} judged labels"
    if not summary.flagged:
        return f"None {of} looks wrong."
    looks = f"{summary.flagged:,} {of} {'looks' if summary.flagged == 1 else 'look'} wrong"
    if not summary.flags:
        return f"{looks}."
    expected = round(summary.flagged * summary.flags["precision"].estimate)
    return f"{looks}; expected: {expected:,} of them {'is' if expected == 1 else 'are'}."


def repeated(verdict: Verdict) -> list[str]:
    """What is known of images that occur more than once, in sentences."""
    report = verdict.report
    copies = len(report) - report["duplicate_of"].null_count
    shown = f"{_images(copies, 'is a copy', 'are copies')} of another, byte for byte."
    said = [shown if copies else "No image occurs twice."]
    if "near_group" in report.column_names:
        near = len(report) - report["near_group"].null_count
        shown = f"{near:,} images nearly repeat another; in review they are a group of their own."
        said.append(shown if near else "No image nearly repeats another.")
    if "leaked_from" in report.column_names:
        leaked = len(report) - report["leaked_from"].null_count
        shown = f"{_images(leaked, 'is', 'are')} in another split too."
        said.append(shown if leaked else "No image is in another split too.")
    return said


def trust(verdict: Verdict) -> list[str]:
    """What the figures rest on and where they end, as sentences."""
    summary, settings = verdict.summary, verdict.settings
    thresholds = ", ".join(
        f"{about.threshold:.2f} in draw {about.draw + 1} (95% interval {about.low:.2f} to {about.high:.2f})"
        for about in summary.thresholds
        if about.threshold is not None and about.low is not None and about.high is not None
    ).replace("-", "\N{MINUS SIGN}")
    indicators = f"{summary.thresholds[0].indicator_samples:,} indicator samples" if thresholds else ""
    by_others = not thresholds or is_frozen(verdict.run.read())  # not by what networks of the scan learned
    if settings.threshold == "estimate" and summary.cut is not None and by_others:
        said = [
            "Images are ranked by how probable it is that their label is wrong, and suspect above "
            f"{summary.cut.probability:.2f} ({summary.cut.why}). The probability rests on what was not taught their "
            "labels."
            if summary.noise_rate.estimate is not None
            else "Images are ranked by their area under the margin alone; nothing says where suspicion begins."
        ]
    elif settings.threshold == "estimate" and summary.cut is not None:
        said = [
            "Images are ranked by how probable it is that their label is wrong, and suspect above "
            f"{summary.cut.probability:.2f} ({summary.cut.why}). The probability rests on {indicators} per "
            "draw, whose own labels that draw's network was never taught: there it is fitted, and what margins mean is "
            "learned. The pictures below show the area under the margin, with the threshold "
            f"of the published method: {thresholds}."
        ]
    else:
        said = [
            f"An image is suspect when its area under the margin is at or below the threshold: {thresholds}. In each "
            f"draw it rests on {indicators}, images whose label was made wrong on purpose; {settings.percentile:g}% "
            "of those lie at or below it."
        ]
    if flags := summary.flags:
        said.append(
            f"About {_with_interval(flags['precision'])} of the suspects should be mislabeled, and about "
            f"{_with_interval(flags['recall'])} of all mislabeled images should be among them. Mistakes between "
            "classes that look alike are the harder ones, so more of them are missed."
        )
    if summary.flagged and thresholds:
        said.append(f"{100 * _agreed(verdict):.0f}% of the suspects are flagged by every draw that could judge them.")
    said.append(
        "Noise rate, precision and recall are sums of these probabilities. Their intervals hold the error of sampling "
        "and of the fit; images that the networks have not learned can count as noise too, and labels that are wrong "
        "on doubtful images only are hardly seen."
    )
    said.append(
        "A suspect is a question, not a proof: rare views and unusual pictures behave like wrong labels. Look before "
        "you remove."
    )
    if summary.not_judged:
        said.append(
            f"{_images(summary.not_judged, 'is', 'are')} not judged (see the classes below), so not known as clean."
        )
    if summary.unreadable:
        said.append(f"{counted(summary.unreadable, 'file')} could not be read; none of the figures counts them.")
    return said


def _images(count: int, one: str, several: str) -> str:
    return f"{counted(count, 'image')} {one if count == 1 else several}"


def _with_interval(one: Estimated) -> str:
    share, low, high = (f"{100 * part:.0f}%" for part in (one.estimate, one.low, one.high))
    return f"{share} (95% interval {low} to {high})"


def _agreed(verdict: Verdict) -> float:
    rows = flagged(verdict)
    votes = [rows[f"flagged_draw_{about.draw}"] for about in verdict.summary.thresholds]
    agreed = np.logical_and.reduce([pc.fill_null(vote, True).to_numpy() for vote in votes])
    return float(agreed.mean())
