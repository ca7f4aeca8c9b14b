"""YAML is read as kubectl reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wye_operator.local.documents import read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("y", True), ("Off", False), ("NO", False), ("true", True), ("yEs", "yEs"),
        ("~", None), ("", None), ("Null", None),
        ("017", 15), ("0o17", 15), ("0x1F", 31), ("-0b11", -3), ("+12", 12), ("1_000", 1000), ("089", 89.0),
        ("1e3", 1000.0), (".5", 0.5), ("1.", 1.0), ("1e999", "1e999"), ("1:30", "1:30"), ("9" * 20, 1e20),
        ("9" * 5000, "9" * 5000), ("--key=a_b", "--key=a_b"), (".a_b", ".a_b"), ("2_b", "2_b"),
        ("2001-01-01", "2001-01-01"), ("2001-01-01T00:00:00Z", "2001-01-01T00:00:00Z"),
        ("'90'", "90"), ('"y"', "y"), ("!!str 90", "90"), ("!!float 90", 90.0), ("! 90", "90"), ("v1", "v1"),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_scalars_are_what_kubectl_reads(text: str, value: object) -> None:
    found = read(f"a: {text}\n")
    assert found.flaws == []
    plain = [document.node.plain() for document in found.documents]
    assert [(value, type(value["a"])) for value in plain] == [({"a": value}, type(value))]


def test_anchors_and_merge_keys(tmp_path: Path) -> None:
    text = "base: &b {x: 1, y2: 2}\nmore: &m {x: 3, z: 4}\none: {<<: *b, x: 9}\ntwo:\n  <<: [*m, *b]\nthree: *b\n"
    found = read(text)
    assert found.flaws == []
    (document,) = found.documents
    plain = document.node.plain()
    assert {name: plain[name] for name in ("one", "two", "three")} == {
        "one": {"x": 9, "y2": 2},
        "two": {"x": 3, "y2": 2, "z": 4},
        "three": {"x": 1, "y2": 2},
    }
