"""The stand-in for the package `aum`, against the package itself where it is installed."""

import numpy as np
import pandas as pd
import pytest
import torch

from aumclean.compat import AUMCalculator, AUMRecord

STEPS, BATCH, CLASSES = 30, 16, 5


def steps(ids):
    """Batches of logits, targets and sample ids, in no order; a sample may come twice."""
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        chosen = rng.integers(0, len(ids), BATCH)
        logits = torch.tensor(rng.normal(size=(BATCH, CLASSES)) * 3, dtype=torch.float32)
        yield logits, torch.tensor(chosen % CLASSES), [ids[place] for place in chosen]


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of pandas, which aum uses
@pytest.mark.parametrize("ids", [list(range(40)), [f"sample-{number}" for number in range(2000)]])
def test_files_and_records_are_those_of_aum(ids, tmp_path):
    reference = pytest.importorskip("aum", reason="is in the dependency group benchmark")
    calculators = {
        "own": AUMCalculator(tmp_path / "own", False),
        "aum": reference.AUMCalculator(tmp_path / "aum", False),
    }
    for logits, targets, chosen in steps(ids):
        said = {name: one.update(logits, targets, chosen) for name, one in calculators.items()}
        assert list(said["own"]) == list(said["aum"])
        for sample in chosen:
            own, other = (vars(said[name][sample]) for name in calculators)
            assert own == pytest.approx(other, abs=1e-5)
    for one in calculators.values():
        one.finalize()
    for file in ("aum_values.csv", "full_aum_records.csv"):
        own, other = (pd.read_csv(tmp_path / name / file) for name in calculators)
        keys = [name for name in ("sample_id", "num_measurements") if name in own]
        assert list(own.columns) == list(other.columns)
        pd.testing.assert_frame_equal(
            own.sort_values(keys, ignore_index=True), other.sort_values(keys, ignore_index=True), atol=1e-5, rtol=0
        )
        assert own["aum"].is_monotonic_decreasing or file != "aum_values.csv"


def test_a_last_batch_of_one_and_arrays_are_taken(tmp_path):
    one = AUMCalculator(str(tmp_path))
    one.update(np.array([[1.0, 3.0]]), np.array([1]), ["a"])
    assert one.update(torch.tensor([[1.0, 2.0]]), torch.tensor([1]), ["a"])["a"].aum == 1.5
    assert one.update(np.array([[0.0, 3.0]]), np.array([1]), ["b"]) == {"b": AUMRecord("b", 1, 1, 3, 0, 0, 3, 3)}
    one.finalize(str(tmp_path / "new"))
    assert (tmp_path / "new" / "aum_values.csv").read_text() == "sample_id,aum\nb,3.0\na,1.5\n"
