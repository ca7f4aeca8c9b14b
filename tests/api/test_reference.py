"""The generated pages: complete, the same each time, and the ones that are checked in."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from wye_operator.api.fields import fields_of, schema_of
from wye_operator.api.objects import Deployment, Endpoint
from wye_operator.api.reasons import EVENTS, EXPLANATIONS, Group
from wye_operator.api.status import DeploymentStatus, EndpointStatus, Reason
from wye_operator.cli import reference
from wye_operator.cli.main import parser
from wye_operator.plan import conditions

CHECKED_IN = Path(__file__).parents[2] / "docs" / "reference"
SOURCE = Path(__file__).parents[2] / "operator" / "src"


def test_every_reason_has_an_entry() -> None:
    assert set(EXPLANATIONS) == set(Reason)
    assert all(e.meaning.endswith(".") and e.to_do.endswith(".") for e in EXPLANATIONS.values())
    page = reference.pages()["reasons.md"]
    assert [reason for reason in Reason if f"| `{reason}` |" not in page] == []


def told(code: str) -> set[str]:
    """The reasons of events that a module writes out."""
    calls = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call))
    events = (call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Event")
    return {each.args[3].value for each in events if isinstance(each.args[3], ast.Constant)}


def test_every_reason_of_an_event_has_an_entry() -> None:
    assert set().union(*(told(path.read_text()) for path in SOURCE.rglob("*.py"))) == set(EVENTS)


@pytest.mark.parametrize(
    ("group", "order"),
    [
        (Group.NEEDS_EDIT, conditions.NEEDS_EDIT),
        (Group.PARTLY, conditions.PARTLY),
        (Group.WAITS, conditions.WAITS),
    ],
)
def test_the_page_has_the_order_in_which_reasons_are_shown(group: Group, order: tuple[Reason, ...]) -> None:
    assert tuple(reason for reason, e in EXPLANATIONS.items() if e.group is group) == order


def test_every_field_stands_on_its_page() -> None:
    pages = reference.pages()
    for page, model in (("endpoint.md", Endpoint), ("deployment.md", Deployment)):
        absent = [f.text for f in fields_of(schema_of(model)) if f"| `{f.text}` |" not in pages[page]]
        assert absent == []
    for status in (EndpointStatus, DeploymentStatus):
        fields = [f.text for f in fields_of(schema_of(status))]
        assert [f for f in fields if f"| `status.{f}` |" not in pages["status.md"]] == []


def test_every_command_and_option_stands_on_its_page() -> None:
    page = reference.pages()["commands.md"]
    groups, leaves = [parser()], []
    while groups:
        group = groups.pop()
        inside = [c for a in group._actions if isinstance(a.choices, dict) for c in a.choices.values()]
        groups += inside
        leaves += [] if inside else [group]
    assert [leaf.prog for leaf in leaves if f"## {leaf.prog}\n" not in page] == []
    assert [o for leaf in leaves for a in leaf._actions for o in a.option_strings if o not in page + "--help"] == []
    assert "| None |" not in page


def test_no_field_is_without_a_description() -> None:
    for model in (EndpointStatus, DeploymentStatus):
        assert {n for n, child in schema_of(model)["properties"].items() if "description" not in child} == set()
    for kind in (Endpoint, Deployment):
        spec = schema_of(kind)["properties"]["spec"]
        assert {n for n, child in spec["properties"].items() if "description" not in child} == set()


def test_the_pages_that_are_checked_in_are_these(tmp_path: Path) -> None:
    assert reference.main([str(tmp_path / "made")]) == 0
    made = {file.name: file.read_text() for file in (tmp_path / "made").iterdir()}
    assert made == {file.name: file.read_text() for file in CHECKED_IN.iterdir()}


def test_a_folder_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main([]) == 2
    assert "usage" in capsys.readouterr().err
