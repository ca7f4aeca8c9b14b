"""The table of field rules through `kubectl apply --dry-run=server`: the API server's verdict, and the field it names.

All cases go through one kubectl, a file each: its errors name the file. `server` in a case says where an API server
differs from `wye validate` (tests/tables/fields/README.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from cluster.kube import Cluster

FOLDER = Path(__file__).parents[1] / "tables" / "fields"
CASES = {
    f"{file.stem}-{number:03}": case
    for file in sorted(FOLDER.glob("*.yaml"))
    for number, case in enumerate(yaml.safe_load(file.read_text()))
}
TRAFFIC = {"traffic": {"blue": 60, "green": 30}}


@pytest.fixture(scope="module")
def refusals(crds: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What the API server said of each case that it refused."""
    folder = tmp_path_factory.mktemp("cases")
    for key, case in CASES.items():
        (folder / f"{key}.yaml").write_text(yaml.safe_dump(case["manifest"]))
    with ExitStack() as stack:
        for name in sorted(namespaces_of_accepted()):
            stack.enter_context(crds.namespace(name))
        done = crds.attempt("apply", "--dry-run=server", "-f", str(folder))
    found = refusals_in(done.stderr, folder)
    assert len(found) + len(done.stdout.splitlines()) == len(CASES), done.stderr[-2000:]
    return found


def namespaces_of_accepted() -> set[str]:
    """A dry run needs the namespace to be there."""
    accepted = (case["manifest"]["metadata"] for case in CASES.values() if case["verdict"] == "accepted")
    return {metadata["namespace"] for metadata in accepted if "namespace" in metadata}


def refusals_in(text: str, folder: Path) -> dict[str, str]:
    """kubectl's errors by case: what stands between a case's file name and the next one's."""
    parts = re.split(rf'"?{re.escape(str(folder))}/([\w-]+)\.yaml"?:?', text)
    found: dict[str, str] = {}
    for key, words in zip(parts[1::2], parts[2::2], strict=True):
        found[key] = found.get(key, "") + words
    return found


def fields_in(words: str) -> set[str]:
    """The fields that an API server's message names, written as `wye validate` writes them."""
    named = re.findall(r"(?:^|[\[\s\"*])((?:spec|metadata|status|kind|apiVersion)[\w.\[\]/-]*)", words)
    return {re.sub(r"\[([^\]\d][^\]]*)\]", r".\1", name).rstrip(".:,") for name in named}


@pytest.mark.parametrize("key", CASES, ids=[f"{key}: {case['id']}" for key, case in CASES.items()])
def test_the_api_server_agrees(refusals: Mapping[str, str], key: str):
    case = CASES[key]
    server = case.get("server")
    if case["verdict"] == "accepted" or server == "accepted":
        assert refusals.get(key) is None
        return
    assert key in refusals, "accepted, but must be refused"
    if server != "other":
        named = fields_in(refusals[key])
        assert any(name == case["field"] or name.startswith(f"{case['field']}[") for name in named), refusals[key]


def test_what_a_person_reads_is_the_field_and_what_is_right(crds: Cluster):
    endpoint = {"apiVersion": "wye.dev/v1alpha1", "kind": "Endpoint", "metadata": {"name": "fraud"}}
    done = crds.attempt("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(endpoint | {"spec": TRAFFIC}))
    assert done.returncode == 1
    assert 'The Endpoint "fraud" is invalid: spec.traffic: Invalid value: ' in done.stderr
    assert "adds up to 90; it must be 100" in done.stderr
