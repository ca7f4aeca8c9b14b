"""YAML and JSON text as kubectl reads it, with the line of every value; mistakes are collected, not thrown.

Called by `manifests`. Values are composed from the parser's events, one at a time, so that depth and aliases are
bounded before they cost anything. No message repeats a value: it may stand in a Secret.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from wye_operator.errors import WyeError

# libyaml where the wheel has it: kubectl's parser is a port of it
PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MOST_DEEP = 100
MOST_FROM_ALIASES = 100_000
UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
HALF_CHARACTER = re.compile("[\ud800-\udfff]")
TAGS: Mapping[str, type] = {
    **{"str": str, "int": int, "float": float, "bool": bool, "null": type(None)},
    **{"map": dict, "seq": list},
}
TRUE = frozenset(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"))
FALSE = frozenset(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"))
NULL = frozenset(("", "~", "null", "Null", "NULL"))
NOT_FINITE = re.compile(r"\.nan|\.NaN|\.NAN|[-+]?(\.inf|\.Inf|\.INF)")
INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|0|[1-9][0-9]*)")
OCTAL = re.compile(r"[-+]?0[0-7]+")
MOST_DIGITS = 70  # of an integer of 64 bits, in base 2
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

Path = tuple[str | int, ...]
Scalar = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Flaw:
    """One mistake in a text."""

    line: int
    path: Path
    message: str


@dataclass(frozen=True, slots=True)
class Node:
    """A value and the line it begins in; in a map that is the line of its key."""

    value: Scalar | list[Node] | dict[str, Node] = field(repr=False)
    line: int

    def plain(self) -> Any:
        """The value without lines."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def line_at(self, path: Path) -> int:
        """The line of the value at a path, or of the last value on the way that is there."""
        node = self
        for part in path:
            below = node.below(part)
            if below is None:
                break
            node = below
        return node.line

    def below(self, part: str | int) -> Node | None:
        """The value of a key, or the item at a place."""
        if isinstance(self.value, dict) and isinstance(part, str):
            return self.value.get(part)
        if isinstance(self.value, list) and isinstance(part, int):
            return self.value[part] if part < len(self.value) else None
        return None


class Unreadable(WyeError):
    """The text is no YAML from here on."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.message)
        self.flaw = flaw


@dataclass(frozen=True, slots=True)
class Document:
    """One document, and the paths in it that have a flaw: what else is wrong there follows from that."""

    node: Node
    flawed: tuple[Path, ...]


@dataclass(slots=True)
class Documents:
    """What was read: the documents before a fatal flaw, and all flaws."""

    documents: list[Document] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)


def read(text: str) -> Documents:
    """All documents of a text; empty ones are left out."""
    found = Documents()
    try:
        _refuse_unprintable(text)
        events = yaml.parse(text, PARSER)
        for event in events:
            if isinstance(event, DocumentStartEvent):
                flaws_before = len(found.flaws)
                node = _Composer(events, found.flaws).document()
                if node.value is not None:
                    flawed = tuple(flaw.path for flaw in found.flaws[flaws_before:])
                    found.documents.append(Document(node, flawed))
    except yaml.YAMLError as error:
        found.flaws.append(_syntax_flaw(error, text))
    except Unreadable as error:
        found.flaws.append(error.flaw)
    return found


def _refuse_unprintable(text: str) -> None:
    wrong = UNPRINTABLE.search(text)
    if wrong:
        line = text.count("\n", 0, wrong.start()) + 1
        message = f"has the control character U+{ord(wrong[0]):04X}, which YAML does not allow"
        raise Unreadable(Flaw(line, (), message))


class _Composer:
    """One document from the parser's events."""

    def __init__(self, events: Iterator[Event], flaws: list[Flaw]) -> None:
        self._events = events
        self._flaws = flaws
        self._anchors: dict[str, tuple[Node, int] | None] = {}
        self._made = 0  # values so far, those of aliases counted again
        self._from_aliases = 0

    def document(self) -> Node:
        return self._node(next(self._events), ())

    def _node(self, event: Event, path: Path) -> Node:
        line = _line(event)
        if len(path) > MOST_DEEP:
            raise Unreadable(Flaw(line, (), f"is nested more than {MOST_DEEP} levels deep"))
        if isinstance(event, AliasEvent):
            return self._alias(event, path, line)
        assert isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent)
        before, self._made = self._made, self._made + 1
        if event.anchor:
            self._anchors[event.anchor] = None  # known, but not complete
        node = Node(self._value(event, path, line), line)
        if event.anchor:
            self._anchors[event.anchor] = node, self._made - before
        return node

    def _value(self, event: Event, path: Path, line: int) -> Any:
        if isinstance(event, ScalarEvent):
            return self._scalar(event, path)
        tag = getattr(event, "tag", None)
        wanted = dict if isinstance(event, MappingStartEvent) else list
        if tag not in (None, "!") and _type_of_tag(tag) is not wanted:
            self._flaw(line, path, "has a tag (!) that is not used here; remove it")
        return self._map(path) if wanted is dict else self._list(path)

    def _alias(self, event: AliasEvent, path: Path, line: int) -> Node:
        if event.anchor not in self._anchors:
            message = "begins with *, an alias, and nothing above has its anchor (&); put a text in quotes"
            raise Unreadable(Flaw(line, path, message))
        known = self._anchors[event.anchor]
        if known is None:
            raise Unreadable(Flaw(line, path, "is an alias (*) of a value that it stands in itself"))
        self._made += known[1]
        self._from_aliases += known[1]
        if self._from_aliases > MOST_FROM_ALIASES:
            message = f"its aliases (*) unfold into more than {MOST_FROM_ALIASES:,} values"
            raise Unreadable(Flaw(line, (), message))
        return Node(known[0].value, line)

    def _list(self, path: Path) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._node(event, (*path, len(items))))
        return items

    def _map(self, path: Path) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            line = _line(event)
            if _is_merge(event):
                node = self._node(next(self._events), (*path, "<<"))
                merged = {**self._merged(node, path), **merged}
            else:
                self._entry(event, path, entries, line)
        return {**merged, **entries}

    def _entry(self, event: Event, path: Path, entries: dict[str, Node], line: int) -> None:
        key = self._node(event, (*path, "?")).value
        if not isinstance(key, str):
            kind = "a boolean" if isinstance(key, bool) else _kind(key)
            self._flaw(line, path, f"has a key that is {kind}; put it in quotes")
        name = key if isinstance(key, str) else "?"
        value = Node(self._node(next(self._events), (*path, name)).value, line)
        if not isinstance(key, str):
            return
        if name in entries:
            first = entries[name].line
            self._flaw(line, (*path, name), f"stands twice in one map; the first is in line {first}")
        entries[name] = value

    def _merged(self, node: Node, path: Path) -> dict[str, Node]:
        sources = node.value if isinstance(node.value, list) else [node]
        found: dict[str, Node] = {}
        for source in reversed(sources):
            if isinstance(source.value, dict):
                found |= source.value
            else:
                message = f"is {_kind(source.value)}; what is merged must be a map or a list of maps"
                self._flaw(source.line, (*path, "<<"), message)
        return found

    def _scalar(self, event: ScalarEvent, path: Path) -> Scalar:
        line, text, tag = _line(event), event.value, event.tag
        if HALF_CHARACTER.search(text):
            self._flaw(line, path, "has half of a character (\\uD800 to \\uDFFF); write it whole")
            return ""
        if tag in (None, "!"):
            value = text if tag or not event.implicit[0] else _resolved(text)
        else:
            value = self._tagged(text, _type_of_tag(tag), line, path)
        if isinstance(value, float) and not math.isfinite(value):
            self._flaw(line, path, "is not a finite number; JSON, and so Kubernetes, has none other")
            return None
        return value

    def _tagged(self, text: str, wanted: type | None, line: int, path: Path) -> Scalar:
        value = text if wanted is str else _resolved(text)
        if wanted is float and type(value) is int:
            return float(value)
        if wanted is None or not isinstance(value, wanted):
            self._flaw(line, path, "has a tag (!) that does not fit; remove it, or put it in quotes")
        return value

    def _flaw(self, line: int, path: Path, message: str) -> None:
        self._flaws.append(Flaw(line, path, message))


def _line(event: Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _is_merge(event: Event) -> bool:
    return isinstance(event, ScalarEvent) and event.value == "<<" and event.implicit[0]


def _type_of_tag(tag: str) -> type | None:
    prefix, _, name = tag.rpartition(":")
    return TAGS.get(name) if prefix == "tag:yaml.org,2002" else None


def _kind(value: object) -> str:
    names: Mapping[type, str] = {dict: "a map", list: "a list", str: "a string", bool: "a boolean"}
    return "empty" if value is None else names.get(type(value), "a number")


def _resolved(text: str) -> Scalar:
    """A plain scalar as kubectl's YAML 1.1 has it: y and on are booleans, 017 is octal, dates are strings."""
    if text in TRUE or text in FALSE:
        return text in TRUE
    if text in NULL:
        return None
    if NOT_FINITE.fullmatch(text):
        return math.inf
    number = _number(text.replace("_", "")) if text[0] in "+-.0123456789" else None
    return text if number is None else number


def _number(plain: str) -> int | float | None:
    """The number a text stands for, if it is one; what no 64 bits hold is a float."""
    octal = OCTAL.fullmatch(plain)
    if len(plain) <= MOST_DIGITS and (octal or INTEGER.fullmatch(plain)):
        value = int(plain, 8 if octal else 0)
        if abs(value) < 2**63:
            return value
    if FLOAT.fullmatch(plain) and math.isfinite(float(plain)):
        return float(plain)
    return None


SENTENCES = (  # what the parser says, and what that means to the person who wrote the line
    ("mapping values", "has a second ': ' or wrong indentation; put a text with ': ' in quotes"),
    ("flow node", "ends before a bracket above is closed, or a ',' is missing"),
    ("flow", "opens a bracket that is not closed, or a ',' is missing in it"),
    ("end of stream", "opens a quote that is not closed"),
    ("document separator", "opens a quote that is not closed"),
    ("expected ':'", "has no ': ' after a field's name, or a text goes on with wrong indentation"),
    ("escape", "has an escape (\\) that YAML does not know; write \\\\, or use single quotes"),
    ("anchor", "begins with & or *; put a text in quotes"),
    ("alias", "begins with & or *; put a text in quotes"),
    ("tag", "begins with ! or has a tag that is not known; put a text in quotes"),
    ("cannot start any token", "has a value that begins with @, ` or %; put a text in quotes"),
    ("directive", "begins with %, a directive; remove the line"),
    ("expected '-' indicator", "does not line up with the entries of the list above"),
    ("block", "does not line up with the lines above: one map, or one list, begins in one column"),
)


def _syntax_flaw(error: yaml.YAMLError, text: str) -> Flaw:
    """The parser's error as a sentence, without the words of the text itself."""
    told = " ".join(str(getattr(error, part, None) or "") for part in ("problem", "context"))
    opened = getattr(error, "context_mark", None)
    mark = getattr(error, "problem_mark", None) or opened
    if mark is None:
        return Flaw(1, (), "is not YAML; check its characters")
    if text.split("\n")[min(mark.line, text.count("\n"))][mark.column : mark.column + 1] == "\t":
        return Flaw(mark.line + 1, (), "has a tab where YAML wants spaces; indent with spaces")
    for words, sentence in SENTENCES:
        if words in told:
            line = opened.line if opened and "opens" in sentence else mark.line
            return Flaw(line + 1, (), sentence)
    return Flaw(mark.line + 1, (), "is not YAML; check indentation, quotes and colons here")
