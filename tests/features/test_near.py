import numpy as np
import pytest
import torch

from aumclean.dataset.dataset import Dataset
from aumclean.dataset.open import open_samples
from aumclean.dataset.read import read_samples
from aumclean.features.extract import extract
from aumclean.features.near import Pairs, grouped, near_pairs, pixel_rows
from aumclean.features.neighbours import nearest, rows_of
from aumclean.progress import untracked
from aumclean.training.device import make_accelerator
from tests.features.conftest import copies, drawing, save_jpeg

CPU = torch.device("cpu")


@pytest.mark.parametrize("fast_bf16", [True, False])
def test_the_nearest_are_those_of_the_whole_table_of_cosines(fast_bf16, monkeypatch):
    monkeypatch.setattr("aumclean.features.neighbours.has_fast_bf16", lambda _: fast_bf16)
    monkeypatch.setattr("aumclean.features.neighbours.BLOCK", 7)
    rows = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    found = nearest(rows, 5, CPU, untracked)
    np.testing.assert_array_equal(found.sample, np.argsort(-cosines, 1)[:, :5])
    np.testing.assert_allclose(found.similarity, -np.sort(-cosines, 1)[:, :5], atol=1e-6)
    among = nearest(rows[:10], 3, CPU, untracked, among=rows)
    np.testing.assert_array_equal(among.sample[:, 0], np.arange(10))
    assert nearest(rows[:3], 20, CPU, untracked).sample.shape == (3, 2)


def test_groups_are_chains_of_pairs():
    group = grouped(7, Pairs(np.array([1, 4, 5]), np.array([4, 6, 0])))
    assert group.tolist() == [0, 1, 2, 3, 1, 0, 1]


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Forty drawings in one class, four kinds of copies of ten of them in another."""
    root = tmp_path_factory.mktemp("album")
    for seed in range(40):
        save_jpeg(drawing(seed), root / "first" / f"{seed:02d}.jpg", 90)
    for seed in range(10):
        for kind, image in copies(drawing(seed)).items():
            save_jpeg(image, root / "second" / f"{seed:02d}-{kind}.jpg")
    return open_samples(read_samples(root), 64, cached=False)


def found_in(album, group):
    """Which copies are in a group with their originals, by kind, and how many groups join different drawings."""
    names = [str(path) for path in album.samples.paths]
    seed = np.array([int(name.split("/")[1][:2]) for name in names])
    together = {name: group[i] == group[names.index(f"first/{seed[i]:02d}.jpg")] for i, name in enumerate(names)}
    kinds = {kind: np.mean([together[n] for n in names if n.endswith(f"-{kind}.jpg")]) for kind in copies(drawing(0))}
    return kinds, sum(len(set(seed[group == one])) > 1 for one in np.unique(group))


def test_planted_copies_are_found_and_nothing_else(album, backbone, tmp_path):
    features = extract(
        album,
        backbone,
        cache_dir=tmp_path,
        limit_gib=1,
        workers=1,
        accelerator=make_accelerator("cpu"),
        track=untracked,
    )
    rows = rows_of(Dataset(features, album.samples.labels.astype(np.int64), album.samples.class_names))
    group = grouped(len(album), near_pairs(album.images, nearest(rows, 20, CPU, untracked)))
    kinds, wrong = found_in(album, group)
    assert min(kinds.values()) >= 0.9
    assert wrong == 0


def test_without_a_backbone_pixels_find_them_but_for_some_that_were_cropped(album):
    neighbours = nearest(pixel_rows(album.images), 20, CPU, untracked)
    group = grouped(len(album), near_pairs(album.images, neighbours, by_features=False))
    kinds, wrong = found_in(album, group)
    assert min(value for kind, value in kinds.items() if kind != "cropped") == 1
    assert wrong == 0


def test_an_index_finds_nearly_the_same_and_every_copy(monkeypatch):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 16)).astype(np.float32)
    rows = centres[rng.integers(0, 40, 4000)] + 0.7 * rng.normal(size=(4000, 16)).astype(np.float32)
    rows = rows @ rng.normal(size=(16, 64)).astype(np.float32)
    rows[3900:] = rows[:100] * 1.1 + 0.01 * rng.normal(size=(100, 64)).astype(np.float32)
    exact = nearest(rows, 10, CPU, untracked)
    monkeypatch.setattr("aumclean.features.index.FEWEST", 1000)
    found = nearest(rows, 10, CPU, untracked)
    same = [len(set(one) & set(other)) for one, other in zip(found.sample, exact.sample, strict=True)]
    assert np.mean(same) >= 9.8
    assert (found.sample != np.arange(4000)[:, None]).all()
    np.testing.assert_array_equal(found.sample[:100, 0], np.arange(3900, 4000))
    np.testing.assert_allclose(found.similarity[:100, 0], exact.similarity[:100, 0], atol=1e-6)
    few = nearest(rows[:5], 3, CPU, untracked, among=rows)
    np.testing.assert_array_equal(few.sample[:, 0], np.arange(5))
