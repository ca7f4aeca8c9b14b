"""What the pages lead to: every link, every file, every heading, and every command of ours is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from wye_operator.cli.main import parser

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "charts/wye/*.md", "operator/*.md", "runtime/*.md")
    for path in ROOT.glob(pattern)
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELL = ("", "sh", "console")
IN_CODE = re.compile(r"`([^`\n]+)`")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The headings of a page as the addresses that GitHub makes of them."""
    text = FENCE.sub("", page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


def lines_of(page: Path) -> list[str]:
    """Shell lines of blocks, without comments."""
    blocks = [block.replace("\\\n", " ") for kind, block in FENCE.findall(page.read_text()) if kind in SHELL]
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [re.split(r"\s+#", line)[0].strip() for line in lines]


def names_of(page: Path) -> list[str]:
    """Code in sentences that is a command of ours."""
    return [code for code in IN_CODE.findall(FENCE.sub("", page.read_text())) if code.startswith("wye ")]


def commands(page: Path) -> list[list[str]]:
    """The arguments of every call of `wye`: up to a pipe or a file, and not where something is left out of it.

    A sentence may name a command without its arguments; then its help is called for.
    """
    found, names = [], names_of(page)
    for line in [*lines_of(page), *names]:
        for part in re.split(r"\s(?:\||&&|;|>)\s", line.removeprefix(".venv/bin/")):
            if part.startswith("wye ") and "…" not in part and " ..." not in part:
                words = shlex.split(part)[1:]
                named = line in names and all(word.isalpha() and word.islower() for word in words)
                found.append([*words, "--help"] if named else words)
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for link in LINK.findall(IN_CODE.sub("code", FENCE.sub("", page.read_text()))):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_of_ours_is_one(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    wrong = []
    for arguments in commands(page):
        try:
            parser().parse_args(arguments)
        except SystemExit as end:
            if end.code:
                wrong.append(arguments)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_target_of_make_is_one(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    words = [word for line in lines_of(page) if line.startswith("make ") for word in shlex.split(line)[1:]]
    assert {word for word in words if re.fullmatch("[a-z][a-z0-9-]*", word)} <= targets


def test_the_tests_read_commands() -> None:
    local = ROOT / "docs/guides/local.md"
    assert ["local", "up", "examples/fraud"] in commands(local)
    assert sum(len(commands(page)) for page in PAGES) > 20
