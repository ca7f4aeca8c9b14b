"""The page that people open when something is wrong: every reason of the code is on it, and none that is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wye_operator.api.reasons import EXPLANATIONS, Group
from wye_operator.api.status import Reason

PAGE = (Path(__file__).parents[2] / "docs/guides/troubleshooting.md").read_text()
PARTS = ("You see", "Why", "Look first", "Do")


def groups() -> dict[str, str]:
    """The page's headings of the first level, and what stands below each."""
    parts = re.split(r"^## (.+)\n", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(text: str) -> dict[str, str]:
    """The reasons in a piece of the page, and what is said of each."""
    parts = re.split(r"^### `(\w+)`\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_reason_is_there_once_and_none_that_is_not() -> None:
    assert sorted(re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE)) == sorted(str(reason) for reason in Reason)


@pytest.mark.parametrize("group", Group)
def test_every_reason_stands_in_its_group_and_in_its_order(group: Group) -> None:
    of_group = [str(reason) for reason, explanation in EXPLANATIONS.items() if explanation.group == group]
    assert list(entries(groups()[group.value])) == of_group


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_says_what_to_look_at_first(reason: Reason) -> None:
    said = re.findall(r"^\* \*\*([\w ]+)\*\*: ", entries(PAGE)[reason], re.MULTILINE)
    assert tuple(said) == PARTS
