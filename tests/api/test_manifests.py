"""Which objects a folder has: files, lists, namespaces, and what is passed over."""

from __future__ import annotations

import json
from pathlib import Path

from api.texts import DEPLOYMENT, ENDPOINT, mistakes, written
from wye_operator.local.manifests import read_manifests


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


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert mistakes(tmp_path, a__yaml=b"\xef\xbb\xbf" + ENDPOINT.encode()) == []


def test_a_list_is_the_objects_in_it(tmp_path: Path) -> None:
    items = "".join("- " + text.replace("\n", "\n  ").rstrip() + "\n" for text in (ENDPOINT, DEPLOYMENT))
    found = read_manifests(written(tmp_path, a__yaml=f"apiVersion: v1\nkind: List\nitems:\n{items}"))
    assert found.mistakes == ()
    assert [(e.value.metadata.name, e.line) for e in found.endpoints] == [("fraud", 4)]
    assert [(d.value.metadata.name, d.line) for d in found.deployments] == [("fraud-blue", 11)]


def test_one_name_in_two_namespaces_is_no_mistake(tmp_path: Path) -> None:
    other = ENDPOINT.replace("name: fraud", "name: fraud, namespace: team-1")
    assert mistakes(tmp_path, a__yaml=ENDPOINT, b__yaml=other) == []


def test_other_kinds_are_passed_over_and_said(tmp_path: Path) -> None:
    others = "apiVersion: apps/v1\nkind: Deployment\n---\napiVersion: v1\nkind: Namespace\n"
    found = read_manifests(written(tmp_path, a__yaml=ENDPOINT, b__yaml=others))
    assert [(p.line, p.what) for p in found.passed_over] == [(1, "Deployment of apps/v1"), (4, "Namespace of v1")]
