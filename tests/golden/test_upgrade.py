"""An upgrade that changes no rendered template restarts nothing: the golden files of the previous commit prove it.

What changes a template rolls every pod of every user. Where that is meant, the topmost section of CHANGELOG.md says so
in a line that begins with `* **Rolls pods:**`, and this test is content.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import history
from golden.case import objects
from wye_operator.plan.names import ORIGIN, is_edited

GOLDEN = "tests/golden"
SAYS_SO = "* **Rolls pods:**"


def cases_before() -> dict[str, tuple[str, str]]:
    """Input and rendered objects of each golden case, as the previous commit has them."""
    with tarfile.open(fileobj=io.BytesIO(history.before(GOLDEN))) as archive:
        files = {m.name: archive.extractfile(m).read().decode() for m in archive.getmembers() if m.isfile()}
    folders = [Path(name).parent for name in files if name.endswith("/in.yaml")]
    rendered = {f.name: (files[f"{f}/in.yaml"], files.get(f"{f}/out/kubernetes.yaml", "")) for f in folders}
    return {name: case for name, case in rendered.items() if case[1]}


def children(text: str) -> dict[str, dict]:
    loaded = yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {o["metadata"]["name"]: o for o in loaded if o and o["apiVersion"] == "apps/v1"}


def rolls(before: str, after: str) -> Iterator[str]:
    """Whose pods the second rendering of one input would replace, and whose replacing would look like a user's edit."""
    old, new = children(before), children(after)
    for name in sorted(old.keys() & new.keys()):
        if old[name]["spec"]["template"] != new[name]["spec"]["template"]:
            yield f"{name}: another template"
        origins = [each["metadata"].get("annotations", {}).get(ORIGIN, "") for each in (old[name], new[name])]
        if is_edited(*origins):
            yield f"{name}: another origin, so an upgrade would look like an edit and roll all at once: {origins}"


def says_so(changelog: str) -> bool:
    """Whether the topmost section has the line."""
    newest = changelog.partition("\n## ")[2].partition("\n## ")[0]
    return any(line.startswith(SAYS_SO) for line in newest.splitlines())


def test_no_template_changes_without_a_word_in_the_changelog() -> None:
    try:
        before = cases_before()
    except history.NoHistory as error:
        pytest.skip(f"no history of git here to compare with: {error}")
    same = [
        n
        for n, (text, _) in before.items()
        if (own := Path(__file__).parent / n / "in.yaml").exists() and own.read_text() == text
    ]
    assert same, "no case of the previous commit has the same input any more"
    found = [f"{name}: {what}" for name in same for what in rolls(before[name][1], objects(before[name][0]))]
    edits = [each for each in found if "another origin" in each]
    assert edits == [], (
        "what is rendered from (plan/names.py, ORIGIN) may gain parts at its end and change in no other way"
    )
    assert not found or says_so((history.ROOT / "CHANGELOG.md").read_text()), (
        f"every pod of these is replaced by an upgrade to this commit: mend it, or say why in CHANGELOG.md's topmost "
        f"section, in a line that begins with {SAYS_SO!r}\n" + "\n".join(found)
    )


CHILD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: fraud-router, annotations: {wye.dev/rendered-from: '1', wye.dev/applied: abc}}
spec: {replicas: 1, template: {spec: {containers: [{name: router, image: 'envoy:1'}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: fraud}
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("abc", "def", []),
        ("replicas: 1", "replicas: 2", []),
        ("rendered-from: '1'", "rendered-from: '1.10'", []),
        ("envoy:1", "envoy:2", ["fraud-router: another template"]),
        ("rendered-from: '1'", "rendered-from: '2'", ["fraud-router: another origin"]),
        ("fraud-router", "spam-router", []),
    ],
)
def test_what_rolls(old, new, expected) -> None:
    assert [what[: len(e)] for what, e in zip(rolls(CHILD, CHILD.replace(old, new)), expected, strict=True)] == expected


@pytest.mark.parametrize(
    ("changelog", "expected"),
    [
        ("# Changelog\n\n## 2\n\n* A.\n* **Rolls pods:** routers.\n\n## 1\n\n* B.\n", True),
        ("# Changelog\n\n## 2\n\n* A.\n\n## 1\n\n* **Rolls pods:** models.\n", False),
        ("# Changelog\n\n## 2\n\n* It says **Rolls pods:** somewhere.\n", False),
    ],
)
def test_who_says_so(changelog, expected) -> None:
    assert says_so(changelog) is expected
