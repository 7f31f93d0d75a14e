import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aumclean.files.json import to_json

NAMES = st.text('a#["\\\n:é\ud800\x9b\u202e')


@given(st.recursive(NAMES, lambda inner: st.lists(inner) | st.dictionaries(st.text("#["), inner)))
def test_json_comes_back_as_it_was_and_obeys_nobody(value):
    for indent in (None, 1):
        text = to_json(value, indent=indent)
        assert json.loads(text) == value
        assert text.isascii() and "##" not in text


def test_numbers_that_json_lacks_are_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json([float("nan")])
