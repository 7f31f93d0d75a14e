import pytest

from aumclean.diagnostics.frequency.transfer import transfer
from aumclean.diagnostics.study import Options


@pytest.fixture(scope="module")
def moved(bands, tmp_path_factory):
    out = tmp_path_factory.mktemp("moved") / "o"
    options = Options(data=bands, out=out, device="cpu", epochs=6, batch_size=16, precision="fp32")
    return transfer(options, radii=(3,))[0]


def test_a_band_holds_one_of_the_two_bits(moved):
    for row in moved.tables[0].rows:
        assert row.train <= 0.85 and row.test_same <= 0.7, row
    low = [row for row in moved.tables[0].rows if row.trained_on == "low" and not row.batch_norm]
    assert all(row.test_same > 0.4 for row in low)


def test_both_scalings_and_batch_norm_are_trained(moved):
    cases = [(row.trained_on, row.scaling, row.batch_norm) for row in moved.tables[0].rows]
    assert cases == [
        ("low", "image-max", False), ("low", "none", False), ("high", "image-max", False), ("high", "none", False),
        ("low", "image-max", True),
    ]  # fmt: skip
    assert [panel.title for panel in moved.figures[0].panels] == ["scaling image-max", "scaling none"]
    assert len(moved.figures[1].panels) == 5
    assert "cannot show the heights of the paper's Table 1 nor its four radii" in " ".join(moved.said)
