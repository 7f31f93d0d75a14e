"""A planted shortcut, and mislabeled images that carry it: what the bands of a scan find that the margins alone do not.

    python tests/benchmarks/watermark.py SOURCE FOLDER [--per-class N] [--share S] [--amplitude A] [scan options]

SOURCE is a Parquet file with images and right labels, such as CIFAR-10's training set. In FOLDER a data set is made of
N images per class, as PNGs: a share S of the images of the first class carries a checkerboard of +-A grey levels, faint
to the eye; so do as many mislabeled images as a tenth of the class has, of the other classes, which are labelled as the
first class. As many mislabeled images carry no mark. The data are scanned, then `frequency join` is run; printed is
how many of each kind are flagged and which band carries them, and how well AUM, the margin on the image and the margin
on the low-pass image rank both kinds of mislabeled images within the first class (AUROC).
"""

import argparse
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from sklearn.metrics import roc_auc_score

from aumclean.config.reading import load
from aumclean.dataset.open import open_samples
from aumclean.dataset.read import read_samples
from aumclean.diagnostics.frequency.join import join
from aumclean.scanning.scan import scan

KINDS = ("right", "right, marked", "wrong, marked", "wrong")


def make(source: Path, folder: Path, per_class: int, share: float, amplitude: int, seed: int) -> Path:
    samples = read_samples(source)
    images = open_samples(samples, 32, workers=1, cache_dir=folder / "cache").images
    rng = np.random.default_rng(seed)
    checker = (np.indices((32, 32)).sum(0) % 2 * 2 - 1)[:, :, None] * amplitude
    rows = []
    for label, name in enumerate(samples.class_names):
        chosen = rng.permutation(np.flatnonzero(samples.labels == label))[:per_class]
        rows += [(image, name, "right") for image in chosen]
    target = samples.class_names[0]
    first = [index for index, row in enumerate(rows) if row[1] == target]
    for index in rng.permutation(first)[: round(share * len(first))]:
        rows[index] = (*rows[index][:2], "right, marked")
    others = rng.permutation([index for index, row in enumerate(rows) if row[1] != target])
    wrong = per_class // 10
    for number, index in enumerate(others[: 2 * wrong]):
        rows[index] = (rows[index][0], target, "wrong, marked" if number < wrong else "wrong")
    order = rng.permutation(len(rows))
    table = {"image": [], "label": [], "kind": []}
    for index in order:
        image, label, kind = rows[index]
        pixels = images[image].astype(int) + (checker if kind.endswith("marked") else 0)
        sink = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(sink, "PNG")
        table["image"].append({"bytes": sink.getvalue(), "path": f"{index:05d}.png"})
        table["label"].append(label)
        table["kind"].append(kind)
    file = folder / "marked.parquet"
    pq.write_table(pa.table(table), file)
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--per-class", type=int, default=400)
    parser.add_argument("--share", type=float, default=0.7)
    parser.add_argument("--amplitude", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--radius", type=float)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--arch")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    file = make(asked.source, asked.folder, asked.per_class, asked.share, asked.amplitude, asked.seed)
    given = {"out": asked.folder / "run", "overwrite": True, "seed": asked.seed, "epochs": asked.epochs,
             "arch": asked.arch, "label_column": "label", "path_column": "image"}  # fmt: skip
    done = scan(read_samples(file, path_column="image", label_column="label"), load(given, environment={}))
    report, _ = join(done.run, radius=asked.radius)
    table = pq.read_table(done.run.report("parquet")).sort_by("sample_id").to_pandas()
    table["kind"] = pq.read_table(file, columns=["kind"])["kind"].to_pandas()
    for kind in KINDS:
        here = table[(table.kind == kind)]
        print(f"{kind:<16}{len(here):>6} images, {here.flagged.eq(True).mean():7.1%} flagged, "
              f"{here.reliance.eq('high').mean():7.1%} carried by the high band alone, "
              f"{here.reliance.eq('neither').mean():7.1%} by neither")  # fmt: skip
    first = table[table.label == sorted(table.label.unique())[0]]
    for kind in ("wrong, marked", "wrong"):
        of = first[first.kind.isin(["right", "right, marked", kind])]
        scores = {
            "AUM": -of.aum,
            "margin on the image": -of.margin_original,
            "margin on the low-pass image": -of.margin_low,
            "AUM and low-pass margin, ranks added": -(of.aum.rank() + of.margin_low.rank()),
        }
        for name, score in scores.items():
            print(f"AUROC of '{kind}' within the first class, {name}: {roc_auc_score(of.kind == kind, score):.3f}")
    print(json.dumps(report.tables[0].rows[:3], indent=1))


if __name__ == "__main__":
    main()
