"""Kernel machines of least norm on the user's images, true and random labels: Zhang et al. 2017, section 5."""

from collections.abc import Sequence

from aumclean.diagnostics.figures import Figure, Line, Panel
from aumclean.diagnostics.random_labels.interpolation import FILTERS, RIDGES, SOLVED, interpolate, require
from aumclean.diagnostics.random_labels.record import Kernel, KernelFit, Solver
from aumclean.diagnostics.report import Report, Table
from aumclean.diagnostics.rows import over_seeds
from aumclean.diagnostics.store import Store
from aumclean.diagnostics.study import Options, Study, asking, open_study
from aumclean.diagnostics.write import write
from aumclean.progress import Track, by_default

KERNELS: tuple[Kernel, ...] = ("linear", "gaussian", "convolution")
QUICK_IMAGES, QUICK_TEST, QUICK_FILTERS = 2000, 1000, 400


def kernel(
    options: Options,
    kernels: Sequence[Kernel] = KERNELS,
    *,
    gamma: float | None = None,
    filters: int | None = None,
    ridges: Sequence[float] = RIDGES,
    solver: Solver | None = None,
    memory: float | None = None,
    track: Track = by_default,
) -> tuple[Report, Store]:
    """Solve every kernel for true and for random labels; write and return errors and norms.

    Args:
        options: of every diagnostic; nothing is trained.
        kernels, gamma, filters, ridges, solver, memory: see `interpolate`.
        track: for a progress display.

    Raises:
        AumcleanError: when the data, an option or the machine do not allow it, such as a kernel larger than the memory.
    """
    require(gamma, tuple(ridges))
    quick = options.preset == "quick"
    filters = filters or (QUICK_FILTERS if quick else FILTERS)
    study = open_study(
        options, limit=QUICK_IMAGES if quick else None, test_limit=QUICK_TEST if quick else None, track=track
    )
    with asking(
        "random-labels kernel", options, study,
        kernels=list(kernels), gamma=gamma, filters=filters, ridges=list(ridges), solver=solver,
    ) as store:  # fmt: skip
        fits = [
            [
                fit
                for name in kernels
                for fit in interpolate(
                    study.train, study.test, name,
                    gamma=gamma, filters=filters, ridges=tuple(ridges), solver=solver, memory=memory, seed=seed,
                )
            ]
            for seed in options.seeds
        ]  # fmt: skip
        return write(store, _report(options, study, fits, filters))


def _report(options: Options, study: Study, fits: list[list[KernelFit]], filters: int) -> Report:
    rows = over_seeds(fits, ["kernel", "labels", "ridge", "solver"])
    names = list(dict.fromkeys(row.kernel for row in rows))
    penalties = ["none", *(f"{ridge:g}" for ridge in dict.fromkeys(row.ridge for row in rows) if ridge)]
    panels = [
        Panel(f"{measure.replace('_', ' ')}, {labels} labels", "ridge", measure.replace("_", " "),
              [_line(rows, name, labels, measure) for name in names], None if measure == "norm" else (0, 1),
              log="y" if measure == "norm" else "", ticks=penalties)
        for measure, labels in (("test_error", "true"), ("norm", "true"), ("norm", "random"))
    ]  # fmt: skip
    figure = Figure(
        "kernel",
        "Error and norm, without and with a penalty",
        "Test error and norm of the solution on true and on random labels; the first point interpolates, the others "
        "have a growing ridge penalty.",
        panels,
    )
    said = [_said(rows, name) for name in names]
    if unmet := list(dict.fromkeys(row.kernel for row in rows if not row.ridge and row.residual > SOLVED)):
        said.append(
            "Even without a penalty not all targets are met, as the column \u201cresidual\u201d shows: "
            f"{', '.join(unmet)}. "
            "Such a kernel has fewer dimensions than there are images, finds images nearly equal, or takes conjugate "
            "gradients too many steps."
        )
    if options.preset == "quick":
        said.append(
            f"This is of {len(study.train):,} images and {filters:,} filters; errors of 50,000 images, and with the "
            "paper's 32,000 filters, are far lower."
        )
    return Report(
        title=f"Kernel machines that interpolate {study.name}",
        lead=f"The solutions of least norm on {len(study.train):,} images, tested on {len(study.test):,}.",
        said=said,
        tables=[Table("kernel", "Solutions", rows)],
        figures=[figure],
        settings={**study.about(), "filters": filters, "seeds": list(options.seeds)},
    )


def _line(rows: list[KernelFit], name: str, labels: str, measure: str) -> Line:
    own = [row for row in rows if row.kernel == name and row.labels == labels]
    return Line(name, list(range(len(own))), [getattr(row, measure) for row in own])


def _said(rows: list[KernelFit], name: str) -> str:
    true, random = (
        next(row for row in rows if (row.kernel, row.labels, row.ridge) == (name, labels, 0))
        for labels in ("true", "random")
    )
    best = min((row for row in rows if row.kernel == name and row.labels == "true"), key=lambda row: row.test_error)
    ridge = "no penalty is better" if not best.ridge else f"{best.test_error:.1%} with ridge {best.ridge:g}"
    times = random.norm / max(true.norm, 1e-12)
    return (
        f"{name} kernel: training error {true.train_error:.1%} on true and {random.train_error:.1%} on random "
        f"labels; test error {true.test_error:.1%} ({ridge}); norm {true.norm:.1f} on true labels, "
        f"{random.norm:.1f} on random ones, {times:.1f} times as large."
    )
