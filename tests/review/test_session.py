import hashlib
import io
import json

import pyarrow.parquet as pq
import pytest
from PIL import Image

from aumclean.decisions.join import join
from aumclean.decisions.journal import Decision
from aumclean.decisions.read import read_csv
from aumclean.decisions.recorded import take_in
from aumclean.review.queue import spot_check, suspects
from aumclean.review.session import Refused, ReviewSession


def other(label):
    return "blue" if label != "blue" else "green"


def one(session, at, decision, new_label=None, **more):
    sample = session.queue.rows[at]["sample_id"]
    return {"sample_id": sample, "decision": decision, "new_label": new_label, **more}


def decide(session, at, decision, identity, new_label=None, **more):
    return session.decide({"id": identity(), "decisions": [one(session, at, decision, new_label, **more)]})


def outcomes(session):
    """What is decided, by position."""
    return {at: outcome for at, outcome, _ in session.news(0)["said"] if outcome}


def test_a_decision_is_on_disk_when_the_desk_answers(session, identity):
    answer = decide(session, 0, "relabel", identity, other(session.queue.rows[0]["label"]), note="<b>sharp</b>")
    (line,) = [json.loads(line) for line in session.run.decisions.read_text().splitlines()]
    row = session.queue.rows[0]
    assert {name: line[name] for name in ("sample_id", "content_hash", "path", "label")} == {
        name: row[name] for name in ("sample_id", "content_hash", "path", "label")
    }
    assert (line["decision"], line["new_label"], line["reviewer"], line["note"], line["blind"]) == (
        "relabel", other(row["label"]), "ann", "<b>sharp</b>", False
    )  # fmt: skip
    assert line["time"].endswith("+00:00")
    assert answer["version"] == 1
    assert [(at, outcome) for at, outcome, _ in answer["said"]] == [(0, "relabel")]


def test_the_same_request_twice_is_one_step(session):
    asked = {"id": "samesame1", "decisions": [one(session, at, "keep") for at in range(3)]}
    for _ in range(2):
        session.decide(asked)
    assert len(session.run.decisions.read_bytes().splitlines()) == 3
    for _ in range(2):
        assert session.undo({"id": "undoundo1"})["undone"] == [0, 1, 2]
    assert outcomes(session) == {}
    assert len(session.run.decisions.read_bytes().splitlines()) == 6


def test_what_a_kill_cut_in_the_middle_of_a_step_is_completed_by_asking_again(session):
    decided = {"id": "stepstep1", "decisions": [one(session, at, "remove") for at in range(5)]}
    undone = {"id": "undoundo1"}

    def cut(lines):  # as a killed writer leaves it: some lines, and half of one
        whole = session.run.decisions.read_bytes().splitlines(keepends=True)
        session.run.decisions.write_bytes(b"".join(whole[:lines]) + whole[lines][:20])
        return ReviewSession(session.run, session.queue, "ann")

    session.decide(decided)
    again = cut(2)
    assert outcomes(again) == {0: "remove", 1: "remove"}
    again.decide(decided)
    assert outcomes(again) == dict.fromkeys(range(5), "remove")
    again.undo(undone)
    again = cut(7)
    assert outcomes(again) == {2: "remove", 3: "remove", 4: "remove"}
    assert again.undo(undone)["undone"] == [0, 1, 2, 3, 4]
    assert outcomes(again) == {}
    assert len(session.run.decisions.read_bytes().splitlines()) == 10


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"id": 7},
        {"id": "../../../x"},
        {"sample_id": 10**9},
        {"sample_id": "0"},
        {"sample_id": True},
        {"decision": "drop"},
        {"decision": ["keep"]},
        {"decision": "relabel"},
        {"decision": "relabel", "new_label": "no such class"},
        {"decision": "relabel", "new_label": ["blue"]},
        {"note": "x" * 3000},
        {"note": {"a": 1}},
    ],
)
def test_what_makes_no_sense_is_refused_and_not_written(session, asked):
    good = one(session, 1, "keep")
    request = {"id": "goodgood1", "decisions": [one(session, 0, "keep"), {**good, **asked}]}
    with pytest.raises(Refused):
        session.decide({**request, "id": asked["id"]} if "id" in asked else request if asked else {})
    assert not session.run.decisions.exists()


@pytest.mark.parametrize("decisions", [None, [], {}, "keep", [None], [[1]]])
def test_a_step_without_decisions_is_refused(session, decisions):
    with pytest.raises(Refused):
        session.decide({"id": "goodgood1", "decisions": decisions})
    assert not session.run.decisions.exists()


def test_undoing_goes_back_step_by_step_and_says_when_there_is_nothing(session, identity):
    for at, decision in enumerate(["keep", "remove", "unsure"]):
        decide(session, at, decision, identity)
    session.decide({"id": identity(), "decisions": [one(session, at, "remove") for at in range(4)]})
    decide(session, 0, "keep", identity)
    undone = [session.undo({"id": identity()})["undone"] for _ in range(5)]
    assert undone == [[0], [0, 1, 2, 3], [2], [1], [0]]
    with pytest.raises(Refused, match="nothing to undo"):
        session.undo({"id": identity()})
    assert len(session.run.decisions.read_bytes().splitlines()) == 16  # nothing is taken out of the journal


def test_what_an_undone_step_covered_counts_again(session, identity):
    decide(session, 0, "keep", identity)
    session.decide({"id": identity(), "decisions": [one(session, at, "remove") for at in (0, 1)]})
    assert outcomes(session) == {0: "remove", 1: "remove"}
    session.undo({"id": identity()})
    assert outcomes(session) == {0: "keep"}


def test_a_new_desk_goes_on_where_the_last_one_stopped(session, identity):
    for at in (0, 1, 3):
        decide(session, at, "keep", identity)
    assert outcomes(ReviewSession(session.run, suspects(session.run), "ann")) == dict.fromkeys((0, 1, 3), "keep")


def test_news_are_what_the_page_does_not_know_yet(session, identity):
    bob = ReviewSession(session.run, session.queue, "bob")
    known = decide(session, 0, "keep", identity)["version"]
    decide(bob, 5, "remove", identity)
    answer = session.decide({"id": identity(), "since": known, "decisions": [one(session, 1, "keep")]})
    assert [at for at, _, _ in answer["said"]] == [1, 5]
    assert session.news(answer["version"])["said"] == []


def test_two_reviewers_at_once_keep_both_decisions_and_see_the_contradiction(session, identity):
    bob = ReviewSession(session.run, session.queue, "bob")
    decide(session, 0, "keep", identity)
    assert outcomes(bob) == {0: "keep"}
    decide(bob, 0, "remove", identity)
    assert outcomes(bob) == outcomes(session) == {0: "contradictory"}
    ((_, _, voices),) = session.news(0)["said"]
    assert [(voice["reviewer"], voice["decision"]) for voice in voices] == [("ann", "keep"), ("bob", "remove")]
    table = read_csv(session.decisions_csv().encode(), "d.csv").to_pylist()
    assert {(row["reviewer"], row["decision"]) for row in table} == {("ann", "keep"), ("bob", "remove")}
    session.undo({"id": identity()})
    assert outcomes(bob) == {0: "remove"}


def test_a_keep_that_names_the_label_it_keeps_is_no_contradiction(session, identity):
    """As in a report.csv that somebody filled in; journals of before have it in them."""
    row = session.queue.rows[0]
    words = ",".join([str(row["sample_id"]), row["content_hash"], "keep", row["label"], "bob"])
    said = read_csv(f"sample_id,content_hash,decision,new_label,reviewer\n{words}\n".encode(), "report.csv")
    take_in(session.run, join([said], session.run).voices, "somebody")
    (line,) = [json.loads(line) for line in session.run.decisions.read_text().splitlines()]
    assert (line["decision"], line["new_label"]) == ("keep", None)
    before = Decision.model_validate({**line, "id": "before", "reviewer": "eve", "new_label": row["label"]})
    session.journal.append([before])
    decide(session, 0, "keep", identity)
    assert outcomes(session) == {0: "keep"}
    assert [one["kappa"] for one in session.end()["agreement"]] == [None] * 3
    assert [one["agreed"] for one in session.end()["agreement"]] == [1, 1, 1]


def test_a_second_opinion_is_asked_without_showing_the_first(session, identity):
    session.decide({"id": identity(), "decisions": [one(session, at, "keep") for at in range(len(session.queue))]})
    bob = ReviewSession(session.run, session.queue, "bob", overlap=0.3)
    again = sorted(bob.asked_again)
    assert 0 < len(again) < len(session.queue) / 2
    assert bob.asked_again == ReviewSession(session.run, session.queue, "cy", overlap=0.3).asked_again
    assert outcomes(bob).keys() == set(range(len(session.queue))) - set(again)
    assert all("ann" not in json.dumps(voices) for at, _, voices in bob.news(0)["said"] if at in again)
    for at in again:
        decide(bob, at, "remove" if at == again[0] else "keep", identity)
    assert outcomes(bob)[again[0]] == "contradictory"
    (agreement,) = bob.end()["agreement"]
    assert (agreement["both"], agreement["agreed"]) == (len(again), len(again) - 1)


def test_the_end_says_the_command_and_the_precision_so_far(session, finished, identity):
    for at, row in enumerate(session.queue.rows[:12]):
        decide(session, at, "remove" if row["path"] in finished.wrong else "keep", identity)
    told = session.end()
    assert told["command"] == f"aumclean clean {session.run.path}"
    truth = sum(row["path"] in finished.wrong for row in session.queue.rows[:12])
    assert (told["precision"]["wrong"], told["precision"]["decided"]) == (truth, 12)
    assert told["open"] == len(session.queue) - 12
    assert told["unseen"]["samples"] == 360 - len(session.queue)
    assert 0 <= told["unseen"]["low"] <= told["unseen"]["expected"] <= told["unseen"]["high"]


def test_an_item_shows_everything_but_a_blind_one_gives_nothing_away(session, finished):
    shown = session.item(0)
    assert len(shown["curve"]["draws"]) >= 1
    assert shown["why"].startswith("Wrong with probability")
    blind = ReviewSession(session.run, spot_check(finished.run, 20), "ann")
    assert blind.item(0) == {"at": 0}
    assert blind.about()["rows"].keys() == {"sample_id", "label", "suggested", "path"}
    told = json.dumps([blind.about(), blind.item(0), {**blind.end(), "spot_check": None}])
    for word in ("flagged", "rank", "score", 'aum"', "confidence", "curve", "threshold", "wrong"):
        assert word not in told


def test_a_blind_check_counts_what_is_flagged(session, finished, identity):
    blind = ReviewSession(session.run, spot_check(finished.run, 12), "ann")
    for at, row in enumerate(blind.queue.rows):
        decide(blind, at, "remove" if row["path"] in finished.wrong else "keep", identity)
    result = blind.end()["spot_check"]
    truth = [row["path"] in finished.wrong for row in blind.queue.rows if row["flagged"]]
    assert (result["precision"]["wrong"], result["precision"]["decided"]) == (sum(truth), 6)
    assert result["precision"]["of"] == blind.queue.flagged


def test_only_blind_decisions_count_in_a_blind_check(session, finished, identity):
    decide(session, 0, "keep", identity)
    queue = spot_check(finished.run, 360)
    blind = ReviewSession(session.run, queue, "ann")
    assert outcomes(blind) == {}
    decide(blind, 0, "keep", identity)
    assert outcomes(ReviewSession(session.run, queue, "bob")) == {}
    assert outcomes(ReviewSession(session.run, queue, "ann")) == {0: "keep"}


def test_images_go_out_as_they_are_or_as_what_a_browser_knows(session):
    sample = session.queue.rows[0]["sample_id"]
    content, media_type = session.pictures.large(sample)
    assert (media_type, content) == ("image/png", session.pictures.pictures.encoded(sample))
    assert session.pictures.small(sample) == (content, media_type)  # tiny: it keeps its pixels
    for wrong in (-1, 360):
        with pytest.raises(OSError, match="there is no sample"):
            session.pictures.large(wrong)


def test_large_pictures_are_made_small_for_the_grid(own_run, tmp_path):
    row = pq.read_table(own_run.samples).slice(0, 1).to_pylist()[0]
    buffer = io.BytesIO()
    Image.effect_noise((700, 350), 60).save(buffer, "PNG")
    root = tmp_path / "photos"
    (root / row["path"]).parent.mkdir(parents=True)
    (root / row["path"]).write_bytes(buffer.getvalue())
    table = pq.read_table(own_run.samples)
    hashes = [hashlib.sha256(buffer.getvalue()).hexdigest(), *table["content_hash"].to_pylist()[1:]]
    pq.write_table(
        table.set_column(table.column_names.index("content_hash"), "content_hash", [hashes]), own_run.samples
    )
    record = own_run.read()
    own_run.write(record.model_copy(update={"data": record.data.model_copy(update={"root": str(root)})}))
    session = ReviewSession(own_run, suspects(own_run, everything=True), "ann")
    content, media_type = session.pictures.small(0)
    assert (media_type, Image.open(io.BytesIO(content)).size) == ("image/jpeg", (256, 128))


def test_pictures_alike_are_found_in_the_queue(session):
    assert session.item(0)["alike"] == []
    session.pictures.make_ahead()
    alike = session.item(0)["alike"]
    assert len(alike) == 6

    def colour(at):
        content, _ = session.pictures.large(session.queue.rows[at]["sample_id"])
        return Image.open(io.BytesIO(content)).resize((1, 1)).getpixel((0, 0))

    for at in alike[:2]:
        assert max(abs(a - b) for a, b in zip(colour(0), colour(at), strict=True)) < 40
