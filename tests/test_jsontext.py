from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.jsontext import dumped

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec=None))
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner)
)


class Word(StrEnum):
    ONE = "one"


@given(TREES)
def test_json_reads_it_back(tree: Any) -> None:
    text = dumped(tree)
    assert json.loads(text) == tree
    assert text.isascii()
    assert text.isprintable()


@pytest.mark.parametrize("value", [Word.ONE, [1, [2, "é"]], float("nan"), '"\\\x7f', "\udcff\U0001d54f"])
def test_so_it_does_for_what_is_rare(value: object) -> None:
    assert dumped(value) == json.dumps(value, separators=(",", ":"))


def test_what_json_has_not_is_refused() -> None:
    with pytest.raises(TypeError, match="no JSON"):
        dumped({1})
