"""Reading a folder: every mistake has file, line and field, nothing crashes, and no Secret is shown."""

from __future__ import annotations

import argparse
import io
import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wye_operator.cli import validate
from wye_operator.local.documents import read
from wye_operator.local.manifests import Manifests, read_manifests

ENDPOINT = """\
apiVersion: wye.dev/v1alpha1
kind: Endpoint
metadata: {name: fraud}
spec:
  traffic:
    blue: 90
    green: 10
"""
DEPLOYMENT = """\
apiVersion: wye.dev/v1alpha1
kind: Deployment
metadata: {name: fraud-blue}
spec:
  endpointName: fraud
  name: blue
  model: {uri: "file://model.onnx"}
"""
SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: fraud-keys}
"""


def written(folder: Path, **files: str | bytes) -> Path:
    """A folder with these files; `__` in a name stands for the dot."""
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name.replace("__", ".")).write_bytes(data)
    return folder


def mistakes(folder: Path, **files: str | bytes) -> list[tuple[int, str, str]]:
    """Line, field and message of every mistake in a folder with these files."""
    found = read_manifests(written(folder, **files)).mistakes
    return [(mistake.line, mistake.field, mistake.message) for mistake in found]


def validated(*paths: Path, output: str = "text") -> tuple[int, str]:
    """Exit status and output of `wye validate`."""
    out = io.StringIO()
    return validate.run(argparse.Namespace(paths=list(paths), output=output), out), out.getvalue()


def test_a_folder_is_read_from_its_top_level_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "x.yaml").write_text("a: b: c")
    found = read_manifests(
        written(
            tmp_path,
            b__yaml=DEPLOYMENT,
            a__yml=ENDPOINT,
            c__json=json.dumps(
                {
                    "apiVersion": "wye.dev/v1alpha1",
                    "kind": "Deployment",
                    "metadata": {"name": "green"},
                    "spec": {"endpointName": "fraud", "model": {"uri": "file://m"}},
                },
                indent="\t",
            ),
            notes__txt="a: b: c",
            kustomization__yaml="resources: [a.yml]",
            request__json='{"amount": 3}',
        )
    )
    assert found.mistakes == ()
    assert [(e.value.metadata.name, e.file.name, e.line) for e in found.endpoints] == [("fraud", "a.yml", 1)]
    assert [(d.value.short_name, d.file.name) for d in found.deployments] == [("blue", "b.yaml"), ("green", "c.json")]
    assert [(Path(p.file).name, p.what) for p in found.passed_over] == [
        ("kustomization.yaml", "Kustomization"),
        ("request.json", "JSON without apiVersion and kind"),
    ]


def test_objects_know_the_lines_of_their_fields(tmp_path: Path) -> None:
    written(tmp_path, a__yaml=f"# first\n---\n{DEPLOYMENT}---\n\n---\n{ENDPOINT}")
    found = read_manifests(tmp_path)
    assert [(d.line, d.line_at("spec", "model", "uri")) for d in found.deployments] == [(3, 9)]
    assert [e.line_at("spec", "traffic", "green") for e in found.endpoints] == [19]
    assert [e.line_at("spec", "limits", "maxMirrorBytes") for e in found.endpoints] == [16]


def test_one_file_can_be_named_and_is_read_once(tmp_path: Path) -> None:
    written(tmp_path, a__yaml=ENDPOINT, b__yaml="a: b: c")
    found = read_manifests(tmp_path / "a.yaml", tmp_path / "a.yaml")
    assert (len(found.endpoints), found.mistakes) == (1, ())


@pytest.mark.parametrize(
    ("text", "line", "field", "message"),
    [
        pytest.param(
            ENDPOINT.replace("90", "ninety"),
            6,
            "spec.traffic.blue",
            "is 'ninety' (a string); must be a number from 0 to 100",
            id="the line is that of the value",
        ),
        pytest.param(
            ENDPOINT.replace("90", "80"),
            5,
            "spec.traffic",
            "adds up to 90; it must be 100, or 0 for no live traffic",
            id="the line of a map is that of its key",
        ),
        pytest.param(
            DEPLOYMENT.replace("  endpointName: fraud\n", ""),
            4,
            "spec.endpointName",
            "is required: the Endpoint it stands behind, in the same namespace",
            id="what is missing is missing in the line of what it belongs to",
        ),
        pytest.param(
            ENDPOINT + "    blue: 0\n",
            8,
            "spec.traffic.blue",
            "stands twice in one map; the first is in line 6",
            id="a key that stands twice",
        ),
        pytest.param(
            ENDPOINT.replace("blue:", "7:"),
            6,
            "spec.traffic",
            "has a key that is a number; put it in quotes",
            id="a key that is a number",
        ),
        pytest.param(
            ENDPOINT.replace("blue:", "yes:"),
            6,
            "spec.traffic",
            "has a key that is a boolean; put it in quotes",
            id="a key that YAML reads as a boolean",
        ),
        pytest.param(
            ENDPOINT.replace("    green", "\tgreen"),
            7,
            "",
            "has a tab where YAML wants spaces; indent with spaces",
            id="a tab",
        ),
        pytest.param(
            ENDPOINT.replace("blue: 90", "blue: 90: 10"),
            6,
            "",
            "has a second ': ' or wrong indentation; put a text with ': ' in quotes",
            id="a second colon",
        ),
        pytest.param(
            ENDPOINT.replace("{name: fraud}", "{name: fraud"),
            3,
            "",
            "opens a bracket that is not closed, or a ',' is missing in it",
            id="a bracket that is not closed",
        ),
        pytest.param(
            ENDPOINT.replace("name: fraud", "name: 'fraud"),
            3,
            "",
            "opens a quote that is not closed",
            id="a quote that is not closed",
        ),
        pytest.param(
            ENDPOINT.replace("90", ".nan"),
            6,
            "spec.traffic.blue",
            "is not a finite number; JSON, and so Kubernetes, has none other",
            id="a number that is none",
        ),
        pytest.param(
            ENDPOINT.replace("90", "!percent 90"),
            6,
            "spec.traffic.blue",
            "has a tag (!) that does not fit; remove it, or put it in quotes",
            id="a tag of the user's own",
        ),
        pytest.param(
            ENDPOINT.replace("90", "*blue"),
            6,
            "spec.traffic.blue",
            "begins with *, an alias, and nothing above has its anchor (&); put a text in quotes",
            id="an alias of nothing",
        ),
        pytest.param(
            ENDPOINT.replace("traffic:", "traffic: &t").replace("90", "*t"),
            6,
            "spec.traffic.blue",
            "is an alias (*) of a value that it stands in itself",
            id="an alias of what it stands in",
        ),
        pytest.param(
            ENDPOINT.replace("90", "\x07"),
            6,
            "",
            "has the control character U+0007, which YAML does not allow",
            id="a control character",
        ),
        pytest.param(
            "spec: " + "[" * 100_000,
            1,
            "",
            "is nested more than 100 levels deep",
            id="100,000 brackets",
        ),
        pytest.param(
            "{a: " * 100_000,
            1,
            "",
            "is nested more than 100 levels deep",
            id="100,000 braces",
        ),
        pytest.param(
            "- " * 100_000,
            1,
            "",
            "is nested more than 100 levels deep",
            id="100,000 dashes",
        ),
        pytest.param(
            "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]\n"
            + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in pairwise("abcdefghi")),
            5,
            "",
            "its aliases (*) unfold into more than 100,000 values",
            id="a billion laughs",
        ),
        pytest.param("- a\n- b\n", 1, "", "is not a map with apiVersion, kind, metadata and spec", id="a list"),
        pytest.param("name: fraud\n", 1, "", "is no manifest: it has neither apiVersion nor kind", id="no manifest"),
        pytest.param("apiVersion: v1\n", 1, "kind", "is required in every manifest", id="no kind"),
        pytest.param("kind: ConfigMap\n", 1, "apiVersion", "is required in every manifest", id="no apiVersion"),
        pytest.param(
            "apiVersion: v1\nkind: List\n", 1, "items", "must be a list of objects", id="a List without items"
        ),
    ],
)
def test_mistakes_have_line_and_field(text: str, line: int, field: str, message: str, tmp_path: Path) -> None:
    assert mistakes(tmp_path, a__yaml=text) == [(line, field, message)]


def test_all_mistakes_are_told_at_once_and_in_order(tmp_path: Path) -> None:
    wrong = ENDPOINT.replace("90", "ninety").replace("green: 10", "Green: 200") + "  failover: Retry\n"
    written(tmp_path, b__yaml=wrong, a__yaml="x: 1: 2")
    status, out = validated(tmp_path)
    assert status == 2
    assert out.splitlines() == [
        f"{tmp_path}/a.yaml:1: has a second ': ' or wrong indentation; put a text with ': ' in quotes",
        f"{tmp_path}/b.yaml:6: spec.traffic.blue: is 'ninety' (a string); must be a number from 0 to 100",
        f"{tmp_path}/b.yaml:7: spec.traffic.Green: is 200 (a number); must be a number from 0 to 100",
        f"{tmp_path}/b.yaml:7: spec.traffic.Green: is no name to use here; must be lower-case letters, digits and '-', "
        "beginning with a letter, ending with a letter or digit, at most 40 characters; use 'green'",
        f"{tmp_path}/b.yaml:8: spec.failover: is 'Retry'; must be Redistribute or Fail",
        "5 mistakes",
    ]


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    said = mistakes(tmp_path, a__yaml=b"kind: Endpoint\nname: caf\xe9\n")
    assert said == [(2, "", "is not UTF-8 text; save the file as UTF-8")]


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert mistakes(tmp_path, a__yaml=b"\xef\xbb\xbf" + ENDPOINT.encode()) == []


def test_what_is_not_there(tmp_path: Path) -> None:
    assert validated(tmp_path / "nowhere") == (2, f"{tmp_path}/nowhere: there is no such file or folder\n1 mistake\n")


def test_nothing_to_serve(tmp_path: Path) -> None:
    written(tmp_path, a__yaml="apiVersion: v1\nkind: Service\nmetadata: {name: x}\n")
    status, out = validated(tmp_path)
    assert (status, out) == (
        2,
        f"{tmp_path}: no Endpoint and no Deployment here\npassed over: {tmp_path}/a.yaml:1: Service of v1\n1 mistake\n",
    )


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    assert mistakes(tmp_path) == [(0, "", "is not a regular file")]


def test_a_link_that_leads_nowhere_or_to_itself(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("nowhere.yaml")
    (tmp_path / "b.yaml").symlink_to("b.yaml")
    assert mistakes(tmp_path) == [(0, "", "is not a regular file"), (0, "", "is not a regular file")]


def test_a_list_is_the_objects_in_it(tmp_path: Path) -> None:
    items = "".join("- " + text.replace("\n", "\n  ").rstrip() + "\n" for text in (ENDPOINT, DEPLOYMENT))
    found = read_manifests(written(tmp_path, a__yaml=f"apiVersion: v1\nkind: List\nitems:\n{items}"))
    assert found.mistakes == ()
    assert [(e.value.metadata.name, e.line) for e in found.endpoints] == [("fraud", 4)]
    assert [(d.value.metadata.name, d.line) for d in found.deployments] == [("fraud-blue", 11)]


def test_two_objects_of_one_name_are_told_with_both_places(tmp_path: Path) -> None:
    assert mistakes(tmp_path, a__yaml=ENDPOINT, b__yaml=DEPLOYMENT + "---\n" + ENDPOINT) == [
        (11, "metadata.name", f"is a second Endpoint named fraud; the first stands in {tmp_path}/a.yaml:3")
    ]


def test_one_name_in_two_namespaces_is_no_mistake(tmp_path: Path) -> None:
    other = ENDPOINT.replace("name: fraud", "name: fraud, namespace: team-1")
    assert mistakes(tmp_path, a__yaml=ENDPOINT, b__yaml=other) == []


def test_other_kinds_are_passed_over_and_said(tmp_path: Path) -> None:
    others = "apiVersion: apps/v1\nkind: Deployment\n---\napiVersion: v1\nkind: Namespace\n"
    found = read_manifests(written(tmp_path, a__yaml=ENDPOINT, b__yaml=others))
    assert [(p.line, p.what) for p in found.passed_over] == [(1, "Deployment of apps/v1"), (4, "Namespace of v1")]


def test_a_slip_in_the_group_is_not_passed_over(tmp_path: Path) -> None:
    assert mistakes(tmp_path, a__yaml=ENDPOINT.replace("wye.dev/v1alpha1", "wye/v1")) == [
        (1, "apiVersion", "is 'wye/v1'; must be wye.dev/v1alpha1")
    ]


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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("y", True), ("Off", False), ("NO", False), ("true", True), ("yEs", "yEs"),
        ("~", None), ("", None), ("Null", None),
        ("017", 15), ("0o17", 15), ("0x1F", 31), ("-0b11", -3), ("+12", 12), ("1_000", 1000), ("089", 89.0),
        ("1e3", 1000.0), (".5", 0.5), ("1.", 1.0), ("1e999", "1e999"), ("1:30", "1:30"), ("9" * 20, 1e20),
        ("9" * 5000, "9" * 5000),
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


def test_warnings_are_no_mistakes(tmp_path: Path) -> None:
    stray = DEPLOYMENT.replace("endpointName: fraud", "endpointName: other").replace("fraud-blue", "stray")
    written(tmp_path, a__yaml=ENDPOINT + "  mirrorTraffic: {violet: 1}\n", b__yaml=DEPLOYMENT, c__yaml=stray)
    status, out = validated(tmp_path)
    absent = "names the Endpoint other, which is not among these manifests"
    there = "is no Deployment of this Endpoint among these manifests; there are: blue"
    assert status == 0
    assert out.splitlines() == [
        f"{tmp_path}/c.yaml:5: warning: spec.endpointName: {absent}",
        f"{tmp_path}/a.yaml:7: warning: spec.traffic.green: {there}",
        f"{tmp_path}/a.yaml:8: warning: spec.mirrorTraffic.violet: {there}",
        "3 objects are valid",
        f"  Endpoint fraud ({tmp_path}/a.yaml:1)",
        f"  Deployment fraud-blue ({tmp_path}/b.yaml:1)",
        f"  Deployment stray ({tmp_path}/c.yaml:1)",
    ]


def test_json_output(tmp_path: Path) -> None:
    written(tmp_path, a__yaml=ENDPOINT.replace("90", "80"))
    status, out = validated(tmp_path, output="json")
    assert (status, json.loads(out)) == (
        2,
        {
            "valid": False,
            "mistakes": [
                {
                    "file": f"{tmp_path}/a.yaml",
                    "line": 5,
                    "field": "spec.traffic",
                    "message": "adds up to 90; it must be 100, or 0 for no live traffic",
                }
            ],
            "warnings": [],
            "objects": [],
            "passedOver": [],
        },
    )


def test_the_command_is_wired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    validate.add_parser(parser.add_subparsers())
    args = parser.parse_args(["validate", str(written(tmp_path, a__yaml=ENDPOINT)), "--output", "json"])
    assert args.func(args) == 0
    assert json.loads(capsys.readouterr().out)["valid"] is True


QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
YAML_LIKE = st.text(alphabet=st.sampled_from(list("ab:-[]{}&*!<'\"|>%@#?,~ \n\t0.\\\x00é\u2028\ud83d")), max_size=60)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
VALID = json.dumps(
    {
        "apiVersion": "wye.dev/v1alpha1",
        "kind": "Deployment",
        "metadata": {"name": "fraud-blue", "labels": {"a": "b"}},
        "spec": {
            "endpointName": "fraud",
            "model": {"uri": "configmap://models/m", "version": 1},
            "engine": {"threads": 2},
            "contract": {
                "inputs": [{"name": "a", "type": "string", "values": ["x"], "default": "x"}],
                "outputs": [{"name": "b", "thresholds": [0.5], "labels": ["x", "y"]}],
            },
            "warmup": {"input": {"a": [1]}},
            "environmentVariables": {"A": "b"},
        },
    }
)


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a value."""
    names = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [path for name in names for path in ((*above, name), *places(value[name], (*above, name)))]


def answered(found: Manifests) -> bool:
    """Whether it was read, or refused with whole sentences."""
    return bool(found.endpoints or found.deployments) or all(m.message and m.file for m in found.mistakes)


@QUICK
@given(text=YAML_LIKE)
def test_random_text_never_crashes_the_reader(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    found = read_manifests(tmp_path)
    assert found.mistakes
    assert answered(found)


@QUICK
@given(data=st.data())
def test_a_mutated_manifest_is_read_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    manifest = json.loads(VALID)
    path = data.draw(st.sampled_from(places(manifest)))
    target = manifest
    for part in path[:-1]:
        target = target[part]
    if data.draw(st.booleans()) or isinstance(target, list):
        target[path[-1]] = data.draw(JUNK)
    else:
        target[data.draw(st.text(max_size=5))] = target.pop(path[-1])
    (tmp_path / "a.yaml").write_bytes(json.dumps(manifest, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    found = read_manifests(tmp_path)
    assert answered(found)
    assert found.deployments or found.mistakes


def test_the_manifest_that_is_mutated_is_valid(tmp_path: Path) -> None:
    assert mistakes(tmp_path, a__yaml=VALID) == []
