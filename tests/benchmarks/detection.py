"""How many of the planted label errors stand at the top of the list, beside other tools on the same images.

    uv run --group benchmark python tests/benchmarks/detection.py DATA --out results.jsonl
        [--images 6000] [--seeds 0,1,2] [--noise uniform40,pairs40,...] [--methods scan,plain,...]
        [--leave-out LABEL,...]
    uv run python tests/benchmarks/detection.py --table results.jsonl

DATA is a Parquet file with images, such as CIFAR-10's training set (from https://huggingface.co/datasets/uoft-cs/cifar10
or made from https://www.cs.toronto.edu/~kriz/cifar.html), or the word `digits`: those of scikit-learn. Labels are made
wrong here. `scan` is the default, with the extra `features` both witnesses; `network` is it without features, `frozen`
without a network. Every method runs in a process of its own, and its line is appended to the results when it is done:
the same command goes on where it was stopped. After a change of a method begin a new file. Decoded images and features
are in a cache beside the results before anything is timed. Other tools are in the dependency group `benchmark`; those
that are missing are named and left out. `thorough` runs only when `--methods` names it.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import peers
import pyarrow as pa
from peers import Found
from planted import Noise, plant, truth
from results import append_results, in_own_process, read_results

from aumclean.config.scan import ScanConfig
from aumclean.dataset.open import Opened, open_samples
from aumclean.dataset.read import read_samples
from aumclean.progress import untracked
from aumclean.scanning.demo import EPOCHS as DIGITS_EPOCHS
from aumclean.scanning.features import Looked, look
from aumclean.scanning.plan import Plan, settle
from aumclean.scanning.scan import scan
from aumclean.verdict.evaluate import evaluate
from aumclean.verdict.judge import Verdict, judge, settings_of

NOISES = (
    *("none", "uniform20", "uniform40", "uniform60", "flip20", "flip40", "pairs40"),
    *("instance20", "instance40", "imbalanced20", "annotator20"),
)
SCANS: dict[str, dict[str, Any]] = {
    "scan": {},
    "network": {"features": "none"},
    "frozen": {"preset": "frozen"},
    "thorough": {"preset": "thorough"},
}
METHODS = ("scan", "network", "frozen", "plain", "aum", "cleanlab", "features", "bounds")  # `thorough` on demand
PACKAGES = {"aum": "aum", "cleanlab": "cleanlab"}
ORDER = (
    *("oracle", "scan", "frozen", "network", "network, by aum", "thorough", "thorough, by aum", "aum package"),
    *("cleanlab self_confidence", "cleanlab normalized_margin", "last margin", "mean loss", "wrong count"),
    *("cleanlab on features, C=1", "cleanlab on features, C=0.01", "cleanlab on features, C=0.001", "20 nearest"),
    "flag nothing",
)
MEASURES = {
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "f1_at_true_count": "F1 when flagging as many as are wrong",
    "lift_at_100": "Lift at 100",
    "f1": "F1 of the automatic cut",
    "precision": "Precision of the automatic cut",
    "recall": "Recall of the automatic cut",
    "flagged_share": "Share flagged",
    "noise_rate_error": "Estimated noise rate, less the true one",
    "precision_error": "Estimated precision, less the true one",
    "recall_error": "Estimated recall, less the true one",
    "seconds": "Seconds, by the clock",
    "processor_seconds": "Processor seconds",
    "images_per_second": "Images/s (forward and backward)",
    "peak_memory_mib": "Peak memory, MiB",
}


def config_of(data: str, folder: Path, cache: Path, seed: int, method: str) -> ScanConfig:
    """The options of a scan; those of the digits are the demo's."""
    own: dict[str, Any] = {"flip": False} if data == "digits" else {}
    if data == "digits" and method != "frozen":  # whose heads have epochs of their own
        own["epochs"] = DIGITS_EPOCHS
    return ScanConfig(**own, **SCANS.get(method, {}), out=folder / method, seed=seed, cache_dir=cache)


def opened(noisy: Path, config: ScanConfig) -> tuple[Opened, Plan]:
    """Images and labels as a scan has them, and its plan."""
    samples = read_samples(noisy)
    plan = settle(samples, config)
    return open_samples(samples, plan.image_size, workers=1, cache_dir=config.cache_dir), plan


def features_of(noisy: Path, config: ScanConfig) -> Looked | None:
    """The features that a scan would have; None when it has none."""
    images, plan = opened(noisy, config)
    return None if plan.features is None else look(images, plan.features, config, plan.accelerator, untracked)


def prepare(noisy: Path, config: ScanConfig) -> None:
    """Decode all images and look at them through the backbone, so that no method is timed for it."""
    features_of(noisy, config)


def measures_of_scan(method: str, noisy: Path, config: ScanConfig) -> dict[str, dict[str, Any]]:
    """Our scan, by `label_score` and its own flags; of a network alone the published statistic and rule, too."""
    run = scan(read_samples(noisy), config).run
    record = run.read()
    known = {"passes": float(record.draws * record.recipe.epochs), "training_seconds": sum(record.training_seconds)}
    rows = {method: measured(judge(run), noisy, "label_score")}
    if record.features is None:
        published = judge(run, settings_of(run, threshold="indicator", combine="all"))
        rows[f"{method}, by aum"] = measured(published, noisy, "aum")
        for name in ("noise_rate_error", "precision_error", "recall_error"):
            rows[f"{method}, by aum"].pop(name, None)  # they are not of the published method
    return {name: {**row, **known} for name, row in rows.items()}


def measured(verdict: Verdict, noisy: Path, score: str) -> dict[str, Any]:
    """A verdict against the truth."""
    paths, true = truth(noisy)
    row = flat(evaluate(verdict.report, paths, true), score)
    summary = verdict.summary
    row["noise_rate_error"] = summary.noise_rate.estimate - row["noise_rate"]
    for name in ("precision", "recall"):
        if name in summary.flags and row[name] is not None:
            row[f"{name}_error"] = summary.flags[name].estimate - row[name]
    return row


def flat(measures: dict[str, Any], score: str) -> dict[str, Any]:
    """What `evaluate` returns, with the measures of one score beside those of the flags."""
    row = {name: value for name, value in measures.items() if not isinstance(value, dict)}
    return {**row, "flagged_share": row["flagged"] / row["samples"], **measures[score]}


def judged(found: Found, wrong: np.ndarray) -> dict[str, Any]:
    """The same measures, by the same code, of what another method says.

    Args:
        found: its verdict.
        wrong: bool [n], the truth.
    """
    names = pa.array([str(number) for number in range(len(wrong))])
    report = pa.table(
        {
            "path": names,
            "label": pa.array(np.where(wrong, "wrong", "right")),
            "flagged": found.flagged,
            "aum": -found.suspicion,
            "label_score": -found.suspicion,
        }
    )
    return flat(evaluate(report, names, pa.array(["right"] * len(wrong))), "label_score")


def measures_of_peer(method: str, noisy: Path, config: ScanConfig) -> dict[str, dict[str, Any]]:
    """Every row that comes of one other method."""
    images, plan = opened(noisy, config)
    dataset, (_, true) = images.dataset(), truth(noisy)
    wrong = np.array(dataset.class_names)[dataset.labels] != true.to_numpy(zero_copy_only=False)
    recipe, seed = plan.recipe, config.seed
    match method:
        case "plain":
            found = peers.from_plain_trainings(dataset, recipe, plan.draws, plan.settings.first_epoch, seed)
        case "aum":
            found = peers.aum_package(dataset, recipe, seed)
        case "cleanlab":
            found = peers.cleanlab(dataset, recipe, plan.draws, seed)
        case "features":
            looked = features_of(noisy, config)
            found = {} if looked is None else peers.on_features(looked, seed)
        case _:
            found = {"oracle": peers.oracle(wrong), "flag nothing": peers.flag_nothing(wrong)}
    return {name: {**judged(one, wrong), "passes": one.passes} for name, one in found.items()}


def work(method: str, noisy: Path, config: ScanConfig) -> dict[str, dict[str, Any]]:
    """All rows of a method, with what it took; to be called in a process of its own."""
    started, before = time.perf_counter(), time.process_time()
    rows = measures_of_scan(method, noisy, config) if method in SCANS else measures_of_peer(method, noisy, config)
    seconds, processor = time.perf_counter() - started, time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform != "darwin" else 1024) / 1024
    for row in rows.values():
        row |= {"seconds": seconds, "processor_seconds": processor, "peak_memory_mib": peak}
        row["images_per_second"] = row["passes"] * row["samples"] / seconds or None
    return rows


def environment() -> dict[str, str]:
    """What the figures depend on, beside the code."""
    packages = ("torch", "numpy", "scikit-learn", "aum", "cleanlab")
    known = {name: importlib.metadata.version(name) for name in packages if importlib.util.find_spec(_module(name))}
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.is_file() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {"processor": model, "python": platform.python_version(), **known}


def _module(package: str) -> str:
    return {"scikit-learn": "sklearn"}.get(package, package)


Key = tuple[str, int, str, int, str]


def missing(wanted: Iterable[Key], results: Iterable[dict[str, Any]]) -> list[Key]:
    """What is not yet in the results, of (data, images, noise, seed, method), in the order asked for."""
    done = {(row["data"], row["images"], row["noise"], row["seed"], row["method"]) for row in results}
    return [key for key in wanted if key not in done]


def table(results: list[dict[str, Any]]) -> str:
    """The results as Markdown, a table for each measure: a row per method, a column per noise.

    A cell is the mean over seeds; what follows is half of the distance from the smallest to the largest.
    """
    parts = []
    for data, images in dict.fromkeys((row["data"], row["images"]) for row in results):
        mine = [row for row in results if (row["data"], row["images"]) == (data, images)]
        parts += [f"## {data}, {images:,} images", ""]
        about = {json.dumps(row["environment"]): row["environment"] for row in mine}
        parts += [", ".join(f"{name} {value}" for name, value in one.items()) for one in about.values()]
        seeds = sorted({row["seed"] for row in mine})
        noises = list(dict.fromkeys(row["noise"] for row in mine))
        counts = {noise: sorted({(row["samples"]) for row in mine if row["noise"] == noise}) for noise in noises}
        said = ", ".join(f"{noise} {'/'.join(f'{n:,}' for n in found)}" for noise, found in counts.items())
        parts += [f"Seeds {', '.join(map(str, seeds))}. Images: {said}.", ""]
        for measure, title in MEASURES.items():
            parts += _measure_table(mine, noises, measure, title)
        parts += [against_plain(mine), ""]
    return "\n".join(parts)


def _measure_table(results: list[dict[str, Any]], noises: list[str], measure: str, title: str) -> list[str]:
    lines = []
    for name in ORDER:
        cells = [
            cell([row.get(measure) for row in results if (row["row"], row["noise"]) == (name, noise)])
            for noise in noises
        ]
        if set(cells) != {""}:
            lines.append(f"| {name} | {' | '.join(cells)} |")
    if not lines:
        return []
    head = [f"| | {' | '.join(noises)} |", f"| --- |{' --- |' * len(noises)}"]
    return [f"### {title}", "", *head, *lines, ""]


def cell(values: list[float | None]) -> str:
    """Mean and spread of the seeds, to three digits after the point below 20."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    digits = 3 if max(map(abs, known)) < 20 else 0
    spread = f" ±{(max(known) - min(known)) / 2:.{digits}f}" if len(known) > 1 else ""
    return f"{np.mean(known):,.{digits}f}{spread}"


def against_plain(results: list[dict[str, Any]]) -> str:
    """One line: processor seconds of a scan without features beside those of as many plain epochs, of the same labels.

    On a machine that others use, too, the clock says how busy it was.
    """
    time_of = {(row["row"], row["noise"], row["seed"]): row for row in results}
    ratios = [
        row["processor_seconds"] / time_of["last margin", noise, seed]["processor_seconds"]
        for (name, noise, seed), row in time_of.items()
        if name == "network" and ("last margin", noise, seed) in time_of
    ]
    if not ratios:
        return "Scan / plain training of as many epochs: not measured."
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    middle = float(np.median(ratios))
    found = f"median {middle:.2f} ({spread}, {len(ratios)} pairs)"
    return f"Scan / plain training of as many epochs, processor seconds: {found}."


def run_suite(
    data: str,
    out: Path,
    images: int,
    seeds: list[int],
    noises: list[str],
    methods: list[str],
    leave_out: frozenset[str],
) -> None:
    """Run what is missing, seed by seed, and append it to the results."""
    known, cache = environment(), out.with_suffix(".cache")
    for method in [one for one in methods if PACKAGES.get(one, one) not in known and one in PACKAGES]:
        print(f"{method}: not installed, left out; uv sync --group benchmark", file=sys.stderr)
        methods = [one for one in methods if one != method]
    name = data if data == "digits" else Path(data).stem
    out.parent.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for noise in noises:
            wanted = [(name, images, noise, seed, method) for method in methods]
            if not (todo := missing(wanted, read_results(out))):
                continue
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                noisy = plant(data, folder, Noise.named(noise), images, seed, leave_out)
                in_own_process(prepare, noisy, config_of(data, folder, cache, seed, "scan"))
                for *_, method in todo:
                    rows = in_own_process(work, method, noisy, config_of(data, folder, cache, seed, method))
                    about = {"data": name, "images": images, "noise": noise, "seed": seed, "method": method}
                    append_results(
                        out, ({**about, "row": row, **found, "environment": known} for row, found in rows.items())
                    )
                    for row, found in rows.items():
                        print(line(noise, seed, row, found), flush=True)
    print(against_plain(read_results(out)))


def line(noise: str, seed: int, row: str, found: dict[str, Any]) -> str:
    """One result in words, while the suite runs."""
    names = ("auroc", "average_precision", "f1_at_true_count", "f1", "flagged_share", "processor_seconds")
    values = " ".join(f"{name} {cell([found[name]]) or '-'}" for name in names)
    return f"{noise:<13}{seed:>2}  {row:<30}{values}"


def chosen(text: str, known: Iterable[str], option: str) -> list[str]:
    """The names in a list with commas, all of them known."""
    names, allowed = text.split(","), list(known)
    if unknown := [name for name in names if name not in allowed]:
        raise SystemExit(f"{option}: no {', '.join(unknown)}; there are {', '.join(allowed)}")
    return names


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", help="Parquet file with images, or the word digits")
    parser.add_argument("--out", type=Path, help="results, JSON lines; what is in it is not measured again")
    parser.add_argument("--table", type=Path, metavar="RESULTS", help="print the tables of these results")
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--noise", default=",".join(NOISES))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--leave-out", default="", metavar="LABEL,...", help="labels that are no class")
    options = parser.parse_args()
    if options.table is not None:
        if not options.table.is_file():
            parser.error(f"--table {options.table}: no such file")
        print(table(read_results(options.table)))
        return
    for noise in options.noise.split(","):
        Noise.named(noise)
    if options.data is None or options.out is None:
        parser.error("DATA and --out, or --table RESULTS")
    if options.data != "digits" and not Path(options.data).is_file():
        parser.error(f"{options.data}: no such file; CIFAR-10 as Parquet: see the top of this file, or say digits")
    run_suite(
        options.data,
        options.out,
        options.images,
        [int(seed) for seed in options.seeds.split(",")],
        options.noise.split(","),
        chosen(options.methods, (*METHODS, "thorough"), "--methods"),
        frozenset(filter(None, options.leave_out.split(","))),
    )


if __name__ == "__main__":
    main()
