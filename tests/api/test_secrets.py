"""ConfigMaps and Secrets are bytes by key, and no Secret is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.texts import ENDPOINT, SECRET, mistakes, validated, written
from wye_operator.local.manifests import read_manifests


def test_configmaps_and_secrets_are_bytes_by_key(tmp_path: Path) -> None:
    configmap = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: models}\nbinaryData: {m.onnx: aGk=}\ndata: {a: é}\n"
    secret = SECRET + "data: {primaryKey: b2xk}\nstringData: {primaryKey: new, secondaryKey: two}\n"
    found = read_manifests(written(tmp_path, a__yaml=ENDPOINT, b__yaml=f"{configmap}---\n{secret}"))
    assert found.mistakes == ()
    assert [(c.name, c.namespace, dict(c.entries)) for c in found.configmaps] == [
        ("models", "default", {"a": "é".encode(), "m.onnx": b"hi"})
    ]
    assert [(c.line, dict(c.entries)) for c in found.secrets] == [(7, {"primaryKey": b"new", "secondaryKey": b"two"})]


KNOWN = "apiVersion, kind, metadata, immutable, data, stringData, type"


FIRST = "stringData:\n  primaryKey: "


STRING = "must be a string: put it in quotes"


@pytest.mark.parametrize(
    ("rest", "line", "field", "message"),
    [
        pytest.param(
            "data: {primaryKey: hunter2!}",
            4,
            "data.primaryKey",
            "is not base64; write it in base64, or as plain text in stringData",
            id="not base64",
        ),
        pytest.param(FIRST + "0x4A17E2", 5, "stringData.primaryKey", STRING, id="a number"),
        pytest.param(FIRST + "&hunter2 {a: 1}", 5, "stringData.primaryKey", STRING, id="an anchor"),
        pytest.param("stringData: hunter2", 4, "stringData", "must be a map of keys and strings", id="no map"),
        pytest.param("Data: {a: hunter2}", 4, "Data", f"is not a field of a Secret; its fields: {KNOWN}", id="a slip"),
        pytest.param(
            FIRST + "*hunter2",
            5,
            "stringData.primaryKey",
            "begins with *, an alias, and nothing above has its anchor (&); put a text in quotes",
            id="an alias",
        ),
        pytest.param(
            FIRST + "!hunter2!x",
            5,
            "",
            "begins with ! or has a tag that is not known; put a text in quotes",
            id="a tag",
        ),
        pytest.param(
            FIRST + "!hunter2 x",
            5,
            "stringData.primaryKey",
            "has a tag (!) that does not fit; remove it, or put it in quotes",
            id="another tag",
        ),
        pytest.param(
            FIRST + "@hunter2",
            5,
            "",
            "has a value that begins with @, ` or %; put a text in quotes",
            id="an at sign",
        ),
        pytest.param(
            FIRST + '"hunter2\\q"',
            5,
            "",
            "has an escape (\\) that YAML does not know; write \\\\, or use single quotes",
            id="an escape",
        ),
        pytest.param(
            "stringData:\n  a b: hunter2",
            5,
            "stringData.a b",
            "is no key to use here; must be letters, digits, '-', '_' and '.', at most 253 characters",
            id="a key with a space",
        ),
    ],
)
def test_a_secret_is_never_shown(rest: str, line: int, field: str, message: str, tmp_path: Path) -> None:
    said = mistakes(tmp_path, a__yaml=SECRET + rest + "\n", b__yaml=ENDPOINT)
    assert said == [(line, field, message)]
    found = read_manifests(tmp_path)
    assert "hunter2" not in repr(found) + validated(tmp_path)[1] + validated(tmp_path, output="json")[1]


def test_a_right_secret_is_never_shown_either(tmp_path: Path) -> None:
    written(tmp_path, a__yaml=SECRET + "stringData: {primaryKey: hunter2}\n", b__yaml=ENDPOINT)
    said = repr(read_manifests(tmp_path)) + validated(tmp_path)[1] + validated(tmp_path, output="json")[1]
    assert "Secret fraud-keys" in said
    assert "hunter2" not in said
