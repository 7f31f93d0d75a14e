import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import roc_auc_score

from aumclean.config.gate import GateConfig
from aumclean.dataset.read import read_samples
from aumclean.errors import DataError, RunError
from aumclean.gate.check import check
from aumclean.gate.subject import read_subject
from aumclean.run.directory import Run
from aumclean.scanning.kept_networks import read_networks
from aumclean.scanning.score import score
from tests.conftest import COLOURS, write_image


def add(root, count=60, wrong=12, first_seed=5000):
    """New images of the planted colours; the first `wrong` lie in the folder of another colour: their paths."""
    names = list(COLOURS)
    planted = set()
    for number in range(count):
        true = number % 3
        given = (true + 1 + number // 3 % 2) % 3 if number < wrong else true
        path = f"{names[given]}/new-{number:03d}.png"
        write_image(root / path, COLOURS[names[true]], seed=first_seed + number)
        if given != true:
            planted.add(path)
    return planted


@pytest.fixture(scope="module")
def scored(finished, tmp_path_factory):
    """Sixty new images beside the scanned ones, twelve of them mislabeled: scores, wrong paths, folder."""
    folder = tmp_path_factory.mktemp("scored")
    root = shutil.copytree(finished.root, folder / "photos")
    wrong = add(root)
    return score(finished.run, read_samples(root), out=folder / "scores"), wrong, root


def column(report, name):
    return dict(zip(report["path"].to_pylist(), report[name].to_pylist(), strict=True))


def test_planted_errors_among_new_images_are_found(scored):
    scores, wrong, _ = scored
    flagged = {path for path, value in column(scores.report, "flagged").items() if value}
    assert len(flagged & wrong) >= 11
    assert len(flagged - wrong) <= 2
    suspicion = [-value for value in scores.report["label_score"].to_pylist()]
    assert roc_auc_score([path in wrong for path in scores.report["path"].to_pylist()], suspicion) > 0.97


def test_images_the_run_knows_are_passed_over(scored):
    scores, _, _ = scored
    assert scores.summary.known == 360
    assert scores.summary.samples == len(scores.report) == 60
    assert all("/new-" in path for path in scores.report["path"].to_pylist())


def test_files_agree_with_what_is_returned(scored):
    scores, _, _ = scored
    made = scores.run
    assert pq.read_table(made.report("parquet")).equals(scores.report)
    assert json.loads(made.summary.read_text()) == scores.summary.model_dump(mode="json")
    with made.report("csv").open(newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == scores.report["path"].to_pylist()
    assert pq.read_table(made.samples).num_rows == 60
    assert {path.name for path in made.path.iterdir()} >= {"scores.json", "unreadable.csv"}


def test_scores_do_not_depend_on_what_else_is_scored(scored, finished, tmp_path):
    scores, _, root = scored
    alone = tmp_path / "alone"
    for path in scores.report["path"].to_pylist()[:7]:
        (alone / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / path, alone / path)
    few = score(finished.run, read_samples(alone, one_class=True), out=tmp_path / "few")
    whole = column(scores.report, "label_score")
    for path, value in column(few.report, "label_score").items():
        assert value == pytest.approx(whole[path], abs=1e-5)


def test_a_single_new_image_is_enough(finished, tmp_path):
    write_image(tmp_path / "new" / "blue" / "one.png", COLOURS["green"], seed=99)
    scores = score(finished.run, read_samples(tmp_path / "new", one_class=True), out=tmp_path / "out")
    assert scores.report["flagged"].to_pylist() == [True]
    assert scores.report["suggested_label"].to_pylist() == ["green"]


def test_unknown_classes_are_not_judged_and_broken_files_are_listed(finished, tmp_path):
    root = tmp_path / "new"
    add(root, 6, 0)
    write_image(root / "mauve" / "one.png")
    (root / "blue" / "broken.png").write_bytes(b"no image")
    scores = score(finished.run, read_samples(root), out=tmp_path / "out")
    assert scores.summary.not_judged == 1
    last = scores.report.slice(len(scores.report) - 1).to_pylist()[0]
    assert (last["path"], last["flagged"], last["label_score"]) == ("mauve/one.png", None, None)
    assert scores.run.unreadable.read_text() == '"path","reason"\n"blue/broken.png","not an image"\n'


def test_a_copy_under_another_label_is_a_conflict_and_a_relabeled_image_is_none(finished, tmp_path):
    scanned = sorted(path for path in finished.root.glob("blue/*.png"))
    copies = tmp_path / "copies" / "green"
    copies.mkdir(parents=True)
    shutil.copy(scanned[0], copies / "copy.png")
    alone = score(finished.run, read_samples(tmp_path / "copies", one_class=True), out=tmp_path / "a")
    assert alone.report["conflict"].to_pylist() == [True]
    assert alone.report["duplicate_of"].to_pylist() == [f"blue/{scanned[0].name}"]

    root = shutil.copytree(finished.root, tmp_path / "photos")
    shutil.move(root / "blue" / scanned[0].name, root / "green" / "moved.png")
    moved = score(finished.run, read_samples(root), out=tmp_path / "b")
    assert moved.report["path"].to_pylist() == ["green/moved.png"]
    assert moved.report["conflict"].to_pylist() == [False]


def test_nothing_new_passes_every_gate(finished, tmp_path):
    scores = score(finished.run, read_samples(finished.root), out=tmp_path / "out")
    assert (scores.summary.known, scores.summary.samples, len(scores.report)) == (360, 0, 0)
    assert check(read_subject(tmp_path / "out"), GateConfig(max_flagged="0", max_unreadable="0")).passed


def test_new_images_none_of_which_can_be_read_are_an_error_and_leave_nothing(finished, tmp_path):
    (tmp_path / "new" / "blue").mkdir(parents=True)
    (tmp_path / "new" / "blue" / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="none of 1 images can be read, such as .*: not an image"):
        score(finished.run, read_samples(tmp_path / "new", one_class=True), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_without_its_networks_is_refused(finished, tmp_path):
    run = Run(Path(shutil.copytree(finished.run.path, tmp_path / "run")))
    run.model(1).write_bytes(b"damaged")
    with pytest.raises(RunError, match="networks cannot be read"):
        read_networks(run)
    shutil.rmtree(run.model_json.parent)
    with pytest.raises(RunError, match="networks cannot be read"):
        read_networks(run)


def test_data_that_are_gone_are_to_be_put_back(finished, tmp_path):
    from aumclean.dataset.open import open_scanned

    run = Run(Path(shutil.copytree(finished.run.path, tmp_path / "run")))
    text = run.run_json.read_text(encoding="utf-8")
    source = run.read().data.source
    run.run_json.write_text(text.replace(json.dumps(source), json.dumps(str(tmp_path / "gone"))), encoding="utf-8")
    with pytest.raises(
        DataError, match=r"gone: no such file or folder\. .*run was begun with these data: put them back"
    ):
        open_scanned(run)


def test_networks_say_what_is_stored_of_them(finished):
    """The held-out probabilities are those of the stored weights on the draw's own indicator samples."""
    from aumclean.dataset.open import open_scanned
    from aumclean.margins.held_out import log_softmax, read_held_out

    data = open_scanned(finished.run).dataset()
    for draw, network in enumerate(read_networks(finished.run)):
        ids = pq.read_table(finished.run.held_out_part(draw))["sample_id"].to_numpy()
        assert len(ids) == 360 // 4
        held = read_held_out(finished.run.held_out, 3)
        logits = network.logits(data.images[ids], torch.device("cpu"))
        of_draw = held.log_probs[held.fold == draw]
        np.testing.assert_allclose(of_draw, log_softmax(logits), atol=0.05)  # stored as float16, perhaps of bfloat16


def test_embedded_images_are_scored_too(scored, finished, tmp_path):
    scores, _, root = scored
    paths = scores.report["path"].to_pylist()[:5]
    table = pa.table(
        {"image": pa.array([(root / path).read_bytes() for path in paths]), "label": [p.split("/")[0] for p in paths]}
    )
    pq.write_table(table, tmp_path / "new.parquet")
    found = score(finished.run, read_samples(tmp_path / "new.parquet", one_class=True), out=tmp_path / "out")
    expected = column(scores.report, "label_score")
    by_hash = dict(zip(found.report["content_hash"].to_pylist(), found.report["label_score"].to_pylist(), strict=True))
    hashes = column(scores.report, "content_hash")
    assert [by_hash[hashes[path]] for path in paths] == pytest.approx([expected[path] for path in paths], abs=1e-5)


def test_the_command_writes_beside_runs_and_the_gate_takes_it(scored, finished, tmp_path, aumclean, monkeypatch):
    _, wrong, root = scored
    monkeypatch.chdir(tmp_path)
    said = aumclean("score", finished.run.path, root)
    assert (said.code, said.out) == (0, "runs/photos-scores-1\n")
    assert "60 images; 360 known to the run passed over" in said.err
    assert "noise rate" in said.err
    nothing = aumclean("score", finished.run.path, finished.root, "--out", "nothing")
    assert nothing.err.split(maxsplit=1)[1].strip() == "0 images; 360 known to the run passed over"
    gate = aumclean("gate", "runs/photos-scores-1", "--max-flagged", "5%", "-f", "json")
    assert gate.code == 1
    named = {finding["path"] for finding in json.loads(gate.out)["findings"] if finding["failing"]}
    assert len(named & wrong) >= 11
    assert aumclean("gate", "runs/photos-scores-1", "--write-baseline", "b.json").code == 2
    again = aumclean("score", finished.run.path, root, "--out", "runs/photos-scores-1")
    assert (again.code, "exists" in again.err or "holds a run already" in again.err) == (2, True)
    assert aumclean("score", finished.run.path, root, "--out", "runs/photos-scores-1", "--overwrite").code == 0
