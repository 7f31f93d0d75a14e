"""How many of the planted label errors stand at the top of the list, beside other tools on the same images.

    uv run --group benchmark python tests/benchmarks/detection.py DATA --out results.jsonl
        [--images 6000] [--seeds 0,1,2] [--noise uniform40,pairs40,...] [--methods scan,plain,...]
    uv run python tests/benchmarks/detection.py --table results.jsonl

DATA is a Parquet file with images, such as CIFAR-10's training set (from https://huggingface.co/datasets/uoft-cs/cifar10
or made from https://www.cs.toronto.edu/~kriz/cifar.html), or the word `digits`: those of scikit-learn. Labels are made
wrong here. Every method runs in a process of its own, and its line is appended to the results when it is done: the same
command goes on where it was stopped. After a change of a method begin a new file. Other tools are in the dependency
group `benchmark`; those that are missing are named and left out. `thorough` runs only when `--methods` names it.
"""

import argparse
import importlib.metadata
import importlib.util
import io
import json
import multiprocessing
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import peers
import pyarrow as pa
import pyarrow.parquet as pq
from peers import Found
from PIL import Image
from sklearn.datasets import load_digits

from aumclean.config.scan import ScanConfig
from aumclean.dataset.corrupt import TRUE_LABEL, corrupt
from aumclean.dataset.dataset import Dataset
from aumclean.dataset.open import open_samples
from aumclean.dataset.read import read_samples
from aumclean.scanning.demo import EPOCHS as DIGITS_EPOCHS
from aumclean.scanning.plan import Plan, settle
from aumclean.scanning.scan import scan
from aumclean.verdict.evaluate import evaluate
from aumclean.verdict.judge import Verdict, judge, settings_of

IMBALANCE = 10.0
IMBALANCED_SHARE = 0.408  # of the images stay, of ten classes whose sizes fall to a tenth
CIFAR_PAIRS = ("truck=automobile", "bird=airplane", "deer=horse", "cat=dog", "dog=cat")
DIGITS_PAIRS = ("7=1", "2=7", "6=8", "3=5", "5=3")


@dataclass(frozen=True)
class Noise:
    """A row of the benchmark: arguments of `corrupt`."""

    kind: str
    rate: float
    imbalance: float = 1.0


NOISES = {
    "uniform20": Noise("uniform", 0.2),
    "uniform40": Noise("uniform", 0.4),
    "uniform60": Noise("uniform", 0.6),
    "flip20": Noise("flip", 0.2),
    "flip40": Noise("flip", 0.4),
    "pairs40": Noise("pairs", 0.4),
    "instance20": Noise("instance", 0.2),
    "instance40": Noise("instance", 0.4),
    "imbalanced20": Noise("uniform", 0.2, IMBALANCE),
    "none": Noise("uniform", 0.0),
}
METHODS = ("scan", "plain", "aum", "cleanlab", "bounds")  # each one process; `thorough` on demand
PACKAGES = {"aum": "aum", "cleanlab": "cleanlab"}
ORDER = (
    *("oracle", "fast", "fast, by aum", "thorough", "thorough, by aum", "aum package"),
    *("cleanlab self_confidence", "cleanlab normalized_margin", "last margin", "mean loss", "wrong count"),
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


def write_digits(file: Path) -> None:
    """The 1,797 digits of scikit-learn with their right labels, as a Parquet file with images."""
    digits, images = load_digits(), []
    for number, pixels in enumerate(digits.images):
        stored = io.BytesIO()
        Image.fromarray((pixels * (255 / 16)).astype(np.uint8)).save(stored, "png")
        images.append({"bytes": stored.getvalue(), "path": f"{number:04d}.png"})
    pq.write_table(pa.table({"image": images, "label": [str(label) for label in digits.target]}), file)


def plant(data: str, folder: Path, noise: Noise, images: int, seed: int) -> Path:
    """Write the Parquet file that all methods see, its true labels beside the given ones."""
    source, noisy = Path(data), folder / "noisy.parquet"
    if data == "digits":
        source = folder / "digits.parquet"
        write_digits(source)
    pairs = (DIGITS_PAIRS if data == "digits" else CIFAR_PAIRS) if noise.kind == "pairs" else ()
    limit = images if noise.imbalance == 1 else round(images / IMBALANCED_SHARE)
    samples = read_samples(source, limit=limit)
    corrupt(
        samples,
        noisy,
        noise=noise.kind,  # type: ignore[arg-type]
        rate=noise.rate,
        seed=seed,
        pairs=pairs,
        imbalance=noise.imbalance,
        cache_dir=folder / "cache",
    )
    return noisy


def config_of(data: str, folder: Path, seed: int, preset: str) -> ScanConfig:
    """The options of our scan; those of the digits are the demo's."""
    own: dict[str, Any] = {"flip": False, "epochs": DIGITS_EPOCHS} if data == "digits" else {}
    return ScanConfig(preset=preset, out=folder / preset, seed=seed, cache_dir=folder / "cache", **own)


def load(noisy: Path, config: ScanConfig) -> tuple[Dataset, Plan]:
    """Images and labels as a scan has them, and its plan."""
    samples = read_samples(noisy)
    plan = settle(samples, config)
    return open_samples(samples, plan.image_size, workers=1, cache_dir=config.cache_dir).dataset(), plan


def measures_of_scan(noisy: Path, config: ScanConfig) -> dict[str, dict[str, Any]]:
    """Our scan, by `label_score` and its own cut; and the published statistic and rule on the same run."""
    run = scan(read_samples(noisy), config).run
    record = run.read()
    passes = float(record.draws * record.recipe.epochs)
    published = judge(run, settings_of(run, threshold="indicator", combine="all"))
    by_aum = measured(published, noisy, "aum")
    for name in ("noise_rate_error", "precision_error", "recall_error"):
        by_aum.pop(name, None)  # they are not of the published method
    rows = {config.preset: measured(judge(run), noisy, "label_score"), f"{config.preset}, by aum": by_aum}
    training = sum(record.training_seconds)
    return {name: {**row, "passes": passes, "training_seconds": training} for name, row in rows.items()}


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


def truth(noisy: Path) -> tuple[pa.Array, pa.Array]:
    """Paths and true labels."""
    known = read_samples(noisy, label_column=TRUE_LABEL)
    return known.paths, known.label_names()


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
    dataset, plan = load(noisy, config)
    _, true = truth(noisy)
    wrong = np.array(dataset.class_names)[dataset.labels] != true.to_numpy(zero_copy_only=False)
    recipe, seed = plan.recipe, config.seed
    if method == "plain":
        found = peers.from_plain_trainings(dataset, recipe, plan.draws, plan.settings.first_epoch, seed)
    elif method == "aum":
        found = peers.aum_package(dataset, recipe, seed)
    elif method == "cleanlab":
        found = peers.cleanlab(dataset, recipe, plan.draws, seed)
    else:
        found = {"oracle": peers.oracle(wrong), "flag nothing": peers.flag_nothing(wrong)}
    return {name: {**judged(one, wrong), "passes": one.passes} for name, one in found.items()}


def work(method: str, data: str, folder: Path, seed: int) -> dict[str, dict[str, Any]]:
    """All rows of a method, with what it took; to be called in a process of its own."""
    noisy, preset = folder / "noisy.parquet", "thorough" if method == "thorough" else "fast"
    config = config_of(data, folder, seed, preset)
    started, before = time.perf_counter(), time.process_time()
    scans = method in {"scan", "thorough"}
    rows = measures_of_scan(noisy, config) if scans else measures_of_peer(method, noisy, config)
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


def read_results(file: Path) -> list[dict[str, Any]]:
    """The lines of a results file; a last one that was cut off by a crash is left out."""
    lines = file.read_text(encoding="utf-8").split("\n") if file.is_file() else [""]
    return [json.loads(line) for line in lines[:-1]]


def append_results(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Append the rows of one method at once, after what is whole in the file."""
    whole = file.read_bytes() if file.is_file() else b""
    with file.open("r+b" if file.is_file() else "wb") as stream:
        stream.truncate(whole.rfind(b"\n") + 1)
        stream.seek(0, io.SEEK_END)
        stream.write("".join(json.dumps(row) + "\n" for row in rows).encode())


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
        noises = [noise for noise in NOISES if any(row["noise"] == noise for row in mine)]
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
    """One line: the scan's processor seconds beside those of as many plain epochs, of the same row and seed.

    On a machine that others use, too, the clock says how busy it was.
    """
    time_of = {(row["row"], row["noise"], row["seed"]): row for row in results}
    ratios = [
        row["processor_seconds"] / time_of["last margin", noise, seed]["processor_seconds"]
        for (name, noise, seed), row in time_of.items()
        if name == "fast" and ("last margin", noise, seed) in time_of
    ]
    if not ratios:
        return "Scan / plain training of as many epochs: not measured."
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    middle = float(np.median(ratios))
    found = f"median {middle:.2f} ({spread}, {len(ratios)} pairs)"
    return f"Scan / plain training of as many epochs, processor seconds: {found}."


def run_suite(data: str, out: Path, images: int, seeds: list[int], noises: list[str], methods: list[str]) -> None:
    """Run what is missing, seed by seed, and append it to the results."""
    known = environment()
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
                load(plant(data, folder, NOISES[noise], images, seed), config_of(data, folder, seed, "fast"))
                for *_, method in todo:
                    rows = in_own_process(work, method, data, folder, seed)
                    about = {"data": name, "images": images, "noise": noise, "seed": seed, "method": method}
                    append_results(
                        out, ({**about, "row": row, **found, "environment": known} for row, found in rows.items())
                    )
                    for row, found in rows.items():
                        print(line(noise, seed, row, found), flush=True)
    print(against_plain(read_results(out)))


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process, so that its peak of memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def line(noise: str, seed: int, row: str, found: dict[str, Any]) -> str:
    """One result in words, while the suite runs."""
    names = ("auroc", "average_precision", "f1_at_true_count", "f1", "flagged_share", "processor_seconds")
    values = " ".join(f"{name} {cell([found[name]]) or '-'}" for name in names)
    return f"{noise:<13}{seed:>2}  {row:<27}{values}"


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
    options = parser.parse_args()
    if options.table is not None:
        if not options.table.is_file():
            parser.error(f"--table {options.table}: no such file")
        print(table(read_results(options.table)))
        return
    if options.data is None or options.out is None:
        parser.error("DATA and --out, or --table RESULTS")
    if options.data != "digits" and not Path(options.data).is_file():
        parser.error(f"{options.data}: no such file; CIFAR-10 as Parquet: see the top of this file, or say digits")
    run_suite(
        options.data,
        options.out,
        options.images,
        [int(seed) for seed in options.seeds.split(",")],
        chosen(options.noise, NOISES, "--noise"),
        chosen(options.methods, (*METHODS, "thorough"), "--methods"),
    )


if __name__ == "__main__":
    main()
