"""How far a long step is: every stage begins where it says, whatever became of the one before."""

import io

from rich.console import Console

from aumclean.progress import Seen, bars, by_default


def test_a_stage_that_ended_early_leaves_nothing_to_the_next():
    seen = Seen()
    seen.begin(0, 100)
    assert len(list(seen.counted([range(40)], 100))) == 1
    seen.begin(0, 100)
    assert seen.count[100] == 0


def test_streams_side_by_side_add_up_beyond_what_was_done_before():
    seen = Seen()
    seen.begin(10, 100)
    first = seen.counted([range(20), range(20)], 100)
    next(first)
    seen.begin(10, 100)  # what another thread knows may be less than what was counted
    for _ in seen.counted([range(30)], 100):
        pass
    list(first)
    assert seen.count[100] == 80


def test_a_bar_goes_when_another_stage_begins():
    shown = io.StringIO()
    with bars(Console(file=shown, force_terminal=True, width=80)) as track:
        list(track([range(10)], "ended early", 0, 100))
        before = shown.tell()
        list(track([range(10), range(10)], "the next", 0, 20))
        shown.flush()
    last = shown.getvalue()[before:]
    assert "ended early" not in last.split("the next")[-1]


def test_where_nobody_looks_the_stream_passes_and_nothing_is_shown(capsys):
    assert list(by_default([range(3), range(4)], "training", 0, 7)) == [range(3), range(4)]
    assert capsys.readouterr() == ("", "")
