import errno
import json
import multiprocessing
import os

import pyarrow as pa
import pytest

from aumclean.decisions.answers import SCHEMA
from aumclean.decisions.journal import Decision, Journal, Undoing
from aumclean.errors import DataError, OutputError


def entry(number, decision="keep", reviewer="ann", **more):
    return Decision(
        id=f"id{reviewer}{number:06d}{decision}", sample_id=number, content_hash=f"hash{number}",
        decision=decision, reviewer=reviewer, time="2026-01-01T00:00:00", **more,
    )  # fmt: skip


def current(path):
    return [
        (line, one.sample_id, one.reviewer, one.decision)
        for line, one in sorted(Journal(path).current(), key=lambda pair: pair[0])
    ]


def test_what_was_appended_is_read_by_others_without_reading_anew(tmp_path):
    one, other = Journal(tmp_path / "j"), Journal(tmp_path / "j")
    one.append([entry(1)])
    other.append([entry(2, reviewer="bob")])
    one.append([entry(3)])
    other.refresh()
    assert [line for line, _ in other.entries] == [1, 2, 3]
    assert other.entries == Journal(tmp_path / "j").entries


def test_the_same_id_is_written_once(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.append([entry(1)])
    journal.append([entry(1)])
    Journal(tmp_path / "j").append([entry(1), entry(2)])
    assert len((tmp_path / "j").read_bytes().splitlines()) == 2


def test_the_last_decision_of_each_reviewer_counts_and_undoing_brings_the_one_before_back(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.append([entry(1), entry(1, reviewer="bob"), entry(2), entry(1, "remove")])
    assert current(tmp_path / "j") == [(2, 1, "bob", "keep"), (3, 2, "ann", "keep"), (4, 1, "ann", "remove")]
    journal.append([Undoing(id="undo1", undoes=entry(1, "remove").id, reviewer="ann", time="x")])
    assert current(tmp_path / "j") == [(1, 1, "ann", "keep"), (2, 1, "bob", "keep"), (3, 2, "ann", "keep")]
    journal.append([Undoing(id="undo2", undoes=entry(1).id, reviewer="ann", time="x")])
    assert current(tmp_path / "j") == [(2, 1, "bob", "keep"), (3, 2, "ann", "keep")]


def test_a_half_line_was_never_a_decision_and_goes_with_the_next(tmp_path):
    path = tmp_path / "j"
    Journal(path).append([entry(1)])
    with path.open("ab") as file:
        file.write(entry(2).model_dump_json().encode()[:-20])
    assert current(path) == [(1, 1, "ann", "keep")]
    Journal(path).append([entry(3)])
    assert current(path) == [(1, 1, "ann", "keep"), (2, 3, "ann", "keep")]


def test_a_whole_last_line_without_its_end_is_kept(tmp_path):
    path = tmp_path / "j"
    Journal(path).append([entry(1), entry(2)])
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    Journal(path).append([entry(3)])
    assert [sample for _, sample, _, _ in current(path)] == [1, 2, 3]


GOOD = {**entry(7).model_dump(), "id": "x"}
ANYTHING = [None, "", [], {}, [[]], {"x": {}}, -1, 0.5, 10**30, 1e300, True, "\ud800", "x" * 10**6]


@pytest.mark.parametrize("key", [*GOOD, "undoes", "new"])
def test_a_line_of_any_wrong_shape_is_read_or_refused_with_its_number(tmp_path, key):
    for value in ANYTHING:
        path = tmp_path / "j"
        path.write_text(f"{entry(1).model_dump_json()}\n{json.dumps({**GOOD, key: value})}\n")
        try:
            journal = Journal(path)
        except DataError as error:
            assert str(path) in str(error) and len(str(error)) < 500
        else:
            pa.Table.from_pylist([one.model_dump() for _, one in journal.current()], SCHEMA)


def test_entries_are_written_all_or_none_and_the_file_is_named(tmp_path, monkeypatch):
    path = tmp_path / "j"
    Journal(path).append([entry(1)])
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.ENOSPC, "no space")))
    with pytest.raises(OutputError, match=f"{path}: cannot be written .no space."):
        Journal(path).append([entry(number) for number in range(2, 300)])
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense", b"[]", b'{"schema_version": 1}', b'{"schema_version": 1, "id": "x"}', b"[" * 100_000,
        b"1" * 10_000, b"\xff", b"",
    ],
)  # fmt: skip
def test_a_damaged_line_stops_everything_with_its_number(tmp_path, line):
    path = tmp_path / "j"
    Journal(path).append([entry(1), entry(2)])
    first, second = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([first, line, second, b""]))
    with pytest.raises(DataError, match="line 2 is damaged"):
        Journal(path)


def test_a_newer_journal_is_refused(tmp_path):
    (tmp_path / "j").write_text(json.dumps({**entry(1).model_dump(), "schema_version": 2}) + "\n")
    with pytest.raises(DataError, match="schema version 2; upgrade aumclean"):
        Journal(tmp_path / "j")


def append_many(path, reviewer, count):
    journal = Journal(path)
    for number in range(count):
        journal.append([entry(number, reviewer=reviewer)])


def test_processes_that_append_at_once_lose_nothing(tmp_path):
    writers = [
        multiprocessing.get_context("spawn").Process(target=append_many, args=(tmp_path / "j", name, 50))
        for name in ("ann", "bob", "cid")
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    found = current(tmp_path / "j")
    assert {(sample, reviewer) for _, sample, reviewer, _ in found} == {
        (number, name) for number in range(50) for name in ("ann", "bob", "cid")
    }
    assert len((tmp_path / "j").read_bytes().splitlines()) == 150
