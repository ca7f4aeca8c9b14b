"""The two keys of a Secret, as a table: what a header cannot carry is said, never shown."""

from __future__ import annotations

import pytest

from wye_operator.plan.keys import keys_in
from wye_operator.plan.world import Keys

UNSENDABLE = "a key in Secret mine has a space or a line end at an end, or a control character: no header can carry it"

TOO_LONG = "a key in Secret mine is longer than 48 KiB: no request can carry it"


def test_two_keys() -> None:
    assert keys_in("mine", {"primaryKey": b"a b", "secondaryKey": "ü".encode(), "more": b"\0"}) == (
        Keys("a b", "ü"),
        "",
    )


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        pytest.param({"primaryKey": b"a"}, "Secret mine has no secondaryKey", id="one is missing"),
        pytest.param({"primaryKey": b"a", "secondaryKey": b"\xff"}, "a key in Secret mine is not text", id="no UTF-8"),
        pytest.param({"primaryKey": b"", "secondaryKey": b"b"}, "a key in Secret mine is empty", id="one is empty"),
        pytest.param({"primaryKey": b"a\n", "secondaryKey": b"b"}, UNSENDABLE, id="the line end of echo"),
        pytest.param({"primaryKey": b"a", "secondaryKey": b" b"}, UNSENDABLE, id="a space before it"),
        pytest.param({"primaryKey": b"a\0b", "secondaryKey": b"b"}, UNSENDABLE, id="a control character"),
        pytest.param({"primaryKey": b"a" * 49_153, "secondaryKey": b"b"}, TOO_LONG, id="larger than all headers"),
    ],
)
def test_what_is_no_key(entries: dict[str, bytes], problem: str) -> None:
    assert keys_in("mine", entries) == (None, problem)
