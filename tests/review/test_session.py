import io
import json

import pytest
from PIL import Image

from aumclean.decisions.read import read_csv
from aumclean.review.queue import spot_check, suspects
from aumclean.review.session import Refused, ReviewSession


def other(label):
    return "blue" if label != "blue" else "green"


def decide(session, at, decision, identity, new_label=None, **more):
    return session.decide(
        {
            "id": identity(),
            "sample_id": session.queue.rows[at]["sample_id"],
            "decision": decision,
            "new_label": new_label,
        }
        | more
    )


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
    assert answer["next"] == 1
    assert answer["progress"]["decided"] == 1


def test_the_same_request_twice_is_one_decision(session):
    for _ in range(2):
        answer = decide(session, 0, "keep", lambda: "samesame1")
    assert len(session.run.decisions.read_bytes().splitlines()) == 1
    assert answer["progress"]["counts"]["keep"] == 1
    for _ in range(2):
        assert session.undo({"id": "undoundo1"})["at"] == 0
    assert session.progress(0)["decided"] == 0


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
    good = {"id": "goodgood1", "sample_id": session.queue.rows[0]["sample_id"], "decision": "keep"}
    with pytest.raises(Refused):
        session.decide({**good, **asked} if asked else {})
    assert not session.run.decisions.exists()


def test_undoing_goes_back_one_by_one_and_says_when_there_is_nothing(session, identity):
    for at, decision in enumerate(["keep", "remove", "unsure"]):
        decide(session, at, decision, identity)
    decide(session, 0, "remove", identity)
    assert [session.undo({"id": identity()})["at"] for _ in range(4)] == [0, 2, 1, 0]
    with pytest.raises(Refused, match="nothing to undo"):
        session.undo({"id": identity()})
    assert len(session.run.decisions.read_bytes().splitlines()) == 8  # nothing is taken out of the journal


def test_a_new_desk_goes_on_where_the_last_one_stopped(session, identity):
    for at in (0, 1, 3):
        decide(session, at, "keep", identity)
    again = ReviewSession(session.run, suspects(session.run), "ann").about()
    assert (again["start"], again["progress"]["decided"]) == (2, 3)


def test_two_reviewers_at_once_keep_both_decisions_and_see_the_contradiction(session, identity):
    bob = ReviewSession(session.run, session.queue, "bob")
    decide(session, 0, "keep", identity)
    assert bob.about()["start"] == 1
    answer = decide(bob, 0, "remove", identity)
    assert answer["progress"]["contradictory"] == [0]
    assert session.progress(0)["contradictory"] == [0]
    shown = session.item(0)
    assert shown["mine"]["decision"] == "keep"
    assert [(one["reviewer"], one["decision"]) for one in shown["others"]] == [("bob", "remove")]
    table = read_csv(session.decisions_csv().encode(), "d.csv").to_pylist()
    assert {(row["reviewer"], row["decision"]) for row in table} == {("ann", "keep"), ("bob", "remove")}
    session.undo({"id": identity()})
    assert bob.progress(0)["contradictory"] == []


def test_an_item_shows_everything_but_a_blind_one_gives_nothing_away(session, finished):
    shown = session.item(0)
    assert shown["flagged"] is True
    assert len(shown["curve"]["draws"]) >= 1
    blind = ReviewSession(session.run, spot_check(finished.run, 20), "ann")
    for at in range(20):
        assert blind.item(at).keys() == {
            "at", "sample_id", "path", "label", "suggested", "mine", "next", "ahead", "around"
        }  # fmt: skip
    told = json.dumps([blind.about(), blind.item(0)])
    for word in ("flagged", "rank", "score", "aum", "confidence", "curve", "threshold"):
        assert word not in told


def test_a_blind_check_says_its_figures_only_at_the_end(session, finished, identity):
    blind = ReviewSession(session.run, spot_check(finished.run, 12), "ann")
    for at, row in enumerate(blind.queue.rows):
        wrong = row["path"] in finished.wrong
        answer = decide(blind, at, "remove" if wrong else "keep", identity)
        assert (answer["progress"]["result"] is None) == (at < 11)
        assert "estimate" not in answer["progress"]
    result = answer["progress"]["result"]
    truth = [row["path"] in finished.wrong for row in blind.queue.rows if row["flagged"]]
    assert (result["precision"]["wrong"], result["precision"]["decided"]) == (sum(truth), 6)
    assert result["precision"]["of"] == blind.queue.flagged


def test_only_blind_decisions_count_in_a_blind_check(session, finished, identity):
    decide(session, 0, "keep", identity)
    queue = spot_check(finished.run, 360)
    blind = ReviewSession(session.run, queue, "ann")
    assert blind.progress(0)["decided"] == 0
    decide(blind, 0, "keep", identity)
    assert ReviewSession(session.run, queue, "bob").progress(0)["decided"] == 0
    assert ReviewSession(session.run, queue, "ann").progress(0)["decided"] == 1


def test_images_go_out_as_they_are_or_as_what_a_browser_knows(session, tmp_path):
    sample = session.queue.rows[0]["sample_id"]
    content, media_type = session.image(sample)
    assert (media_type, content) == ("image/png", session.pictures.encoded(sample))
    small = Image.open(io.BytesIO(session.small_image(sample)))
    assert (small.format, small.size) == ("JPEG", (12, 12))
    for wrong in (-1, 360):
        with pytest.raises(OSError, match="there is no sample"):
            session.image(wrong)


def test_pictures_alike_are_found_in_the_queue(session):
    assert session.item(0)["alike"] == []
    session.look_for_alike()
    alike = session.item(0)["alike"]
    assert len(alike) == 6
    colour = (
        Image.open(io.BytesIO(session.image(session.queue.rows[0]["sample_id"])[0])).resize((1, 1)).getpixel((0, 0))
    )
    for one in alike[:2]:
        found = Image.open(io.BytesIO(session.image(one["sample_id"])[0])).resize((1, 1)).getpixel((0, 0))
        assert max(abs(a - b) for a, b in zip(colour, found, strict=True)) < 40
