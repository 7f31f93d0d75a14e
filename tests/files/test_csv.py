import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aumclean.errors import DataError
from aumclean.files import csv

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


def rows_of(content, needed="b"):
    return [(line, row) for line, _, row in csv.read_rows(content, "x.csv", needed)]


@given(st.lists(st.tuples(TEXT, st.sampled_from(["=1", "'=1", "''=1", "'a", "-", "@", "\t", "+x", "\r"])), min_size=1))
def test_what_is_guarded_when_written_comes_back_as_it_was(cells):
    table = pa.table({"a": [one for one, _ in cells], "b": [other for _, other in cells]})
    written = csv.to_csv(csv.guarded(table)).encode()
    assert [(row["a"], row["b"]) for _, row in rows_of(written)] == cells


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1,2\n",
        b"\xef\xbb\xbfa,b\r\n1,2\r\n",
        b"A; B \n1;2\n",
        b"a\tb\n1\t2",
        b"sep=;\r\na;b\r\n1;2\r\n",
        b'"a";"b"\n"1";"2"\n',
        "a,b\n1,2\n".encode("utf-16"),
    ],
)
def test_what_spreadsheets_make_of_a_file_is_read_alike(content):
    ((_, row),) = rows_of(content)
    assert row == {"a": "1", "b": "2"}


def test_lines_are_those_an_editor_shows():
    content = b'a,b\n"two\nlines",1\n\n,\nx,2\n'
    assert [line for line, _ in rows_of(content)] == [2, 6]
    assert [line for line, _ in rows_of(b"sep=,\n" + content)] == [3, 7]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a,c\n1,2\n", "x.csv: has no column 'b'"),
        (b"", "x.csv: has no column 'b'"),
        (b"a,b\n\xe9,2\n", "x.csv: is not UTF-8; save it as 'CSV UTF-8'"),
        (b'a,b\n1,2\n3,"4\n', r"x.csv: line 3 is not CSV \(unexpected end of data\)"),
    ],
)
def test_what_is_no_table_is_refused(content, says):
    with pytest.raises(DataError, match=says):
        rows_of(content)


def test_cells_too_many_are_counted_and_cells_too_few_are_missing():
    assert [(many, row) for _, many, row in csv.read_rows(b"a,b\n1,2,3\n4\n", "x.csv", "b")] == [
        (1, {"a": "1", "b": "2"}),
        (0, {"a": "4"}),
    ]


@given(st.lists(st.text("a;\t\r\n=+-@:#['ä\uff1d").filter(bool), min_size=1))
def test_guards_inside_of_cells_are_exact_too(cells):
    written = csv.to_csv(csv.guarded(pa.table({"a": cells, "b": cells}))).encode()
    assert [row["b"] for _, row in rows_of(written)] == cells


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize(
    "name", ["=1+1", "a;=1+1", "a\t@x", "a\n=1+1;b", "\r=1", "\uff1d1", "\n::error::x", "##vso[x]"]
)
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_no_cell_is_a_formula_however_it_is_split_and_no_line_speaks_to_a_build_system(name, mark, kind):
    text = csv.to_csv(csv.guarded(pa.table({"n": [1], "name": pa.array([name], kind), "m": [2]})))
    cells = [cell for line in re.split(r"[\r\n]", text) for cell in line.split(mark)]
    assert not [cell for cell in cells if cell.strip('"')[:1] in tuple("=+-@\uff1d")]
    assert not re.search(r"(^|[\r\n])\s*::|##\w*\[", text)
