"""`aumclean demo`: the whole way on real images with known errors, in about a minute."""

from pathlib import Path
from typing import Annotated

import typer

from aumclean.cli.console import give, progress, say
from aumclean.cli.evaluate import show_measures
from aumclean.cli.options import with_options
from aumclean.cli.scan import show_summary


@with_options
def command(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for images, truth and run.")] = Path("aumclean-demo"),
    seed: Annotated[int, typer.Option(help="Seed of the planted errors and of the scan.", min=0)] = 0,
) -> None:
    """Make an image folder with planted label errors, scan it, and count what was found.

    The images are scikit-learn's 1,797 handwritten digits; one label in ten is made wrong.

    Example: `aumclean demo --out /tmp/demo`
    """
    from aumclean.config.reading import load
    from aumclean.dataset.manifest import read_manifest
    from aumclean.dataset.read import read_samples
    from aumclean.scanning import demo, scan
    from aumclean.verdict.evaluate import evaluate
    from aumclean.verdict.judge import judge

    images, truth = demo.make_digits(out, seed=seed)
    say(f"wrote {images}, with the true labels in {truth}")
    settled = load({"out": out / "run", "overwrite": True, "epochs": demo.EPOCHS, "flip": False, "seed": seed})
    with progress() as track:
        finished = scan.scan(read_samples(images), settled, track=track)
    show_summary(finished)
    known = read_manifest(truth, label_column="true_label")
    verdict = finished.verdict or judge(finished.run)
    measured = evaluate(verdict.report, known.paths, known.label_names())
    show_measures({**measured, "estimated_noise_rate": verdict.summary.noise_rate.model_dump()})
    if measured["precision"] is not None and measured["recall"] is not None:
        say(f"found {measured['recall']:.1%} of the planted errors at a precision of {measured['precision']:.1%}")
    give(finished.run.path)
