import pyarrow.parquet as pq
import pytest

from aumclean.files import mapped
from aumclean.run.directory import Run
from aumclean.verdict.judge import judge, settings_of
from aumclean.verdict.typical import typical


@pytest.mark.parametrize("threshold", ["estimate", "indicator"])
def test_a_verdict_is_the_same_whether_or_not_it_fits_into_memory(finished, monkeypatch, threshold):
    settings = settings_of(finished.run, threshold=threshold)
    expected = judge(finished.run, settings)
    monkeypatch.setattr(mapped, "LARGE", 1)
    monkeypatch.setattr(mapped, "BLOCK", 32)
    found = judge(finished.run, settings)
    assert found.report.column(0).num_chunks > 1
    assert found.report.equals(expected.report, check_metadata=True)
    assert found.summary == expected.summary


def test_the_typical_samples_of_all_blocks_are_those_of_one(finished, monkeypatch):
    report = pq.read_table(Run(finished.run.path).report("parquet"))
    expected = typical(report, 3)
    monkeypatch.setattr("aumclean.verdict.typical.BLOCK", 32)
    assert typical(report, 3) == expected
    assert all(expected.values())
