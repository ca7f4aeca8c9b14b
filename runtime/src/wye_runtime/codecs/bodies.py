"""JSON bodies, in and out."""

import gc
import json
import re
from collections.abc import Iterable
from typing import Any

import orjson

from wye_runtime.errors import BadRequest, PayloadTooLarge, shown

PICTURES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png"}  # by how they begin
MANY_VALUES = 2_000_000  # of one JSON body: some 0.1 s in which nothing else in the process runs
KEY_ENDS = re.compile(rb'"[ \t\r\n]*:')
CONTAINERS = (dict, list)


def loads(body: bytes) -> Any:
    """The JSON value of a body; while a large one is made, nobody else in the process can run."""
    value = parsed_without_collector(limited(body)) if len(body) > MANY_VALUES else parsed(body)
    refuse_duplicates(body, value)
    return value


def parsed(body: bytes) -> Any:
    """The JSON value of a body, whichever of two equal keys was kept; BadRequest where it is no JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        picture = next((kind for magic, kind in PICTURES.items() if body.startswith(magic)), None)
        todo = f"; it is a picture: send it with Content-Type: {picture}" if picture else ""
        raise BadRequest(f"the body is not JSON: {error}{todo}") from None


def parsed_without_collector(body: bytes) -> Any:
    """New values are no garbage: looking for some among millions of them takes longer than making them."""
    gc.disable()
    try:
        return parsed(body)
    finally:
        gc.enable()


def limited(body: bytes) -> bytes:
    """The body, unless it has more values than may hold up everybody else."""
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > MANY_VALUES:
        raise PayloadTooLarge(f"the JSON has more than {MANY_VALUES:,} values: send tensors in binary")
    return body


def refuse_duplicates(body: bytes, value: object) -> None:
    """Of two equal keys in an object the parser keeps the last: which one its author meant is not ours to guess."""
    try:
        if not has_kept_all_keys(body, value):
            json.loads(body, object_pairs_hook=unique, parse_int=len, parse_float=len)
    except RecursionError:
        raise BadRequest("the body is nested too deep to be read") from None


def has_kept_all_keys(body: bytes, value: object) -> bool:
    """As many keys as there are colons, or key ends, in the body: none was lost.

    False says nothing: strings may hold such things, too. A slower parser that shows every pair must then decide.
    """
    colons = body.count(b":")
    kept = keys_up_to(colons, value)
    return kept == colons or kept == len(KEY_ENDS.findall(body))


def keys_up_to(enough: int, value: object) -> int:
    """How many keys the objects of a value have, counted until there are enough of them."""
    found = 0
    inner: Iterable[object]
    if isinstance(value, dict):
        found, inner = len(value), value.values()
    elif isinstance(value, list) and not is_tensor(value):
        inner = value
    else:
        return 0
    for each in inner:
        if found >= enough:
            break
        if isinstance(each, CONTAINERS):
            found += keys_up_to(enough - found, each)
    return found


def is_tensor(value: list[Any]) -> bool:
    """Whether a list looks as if it had no objects in it, so that a tensor's numbers are not walked one by one."""
    first = value[0] if value else None
    return not isinstance(first, CONTAINERS) or (isinstance(first, list) and is_tensor(first))


def unique(pairs: list[tuple[str, Any]]) -> None:
    """Called with every object of a body."""
    seen = set()
    for key, _ in pairs:
        if key in seen:
            raise BadRequest(f"the key {shown(key)} stands twice in one object")
        seen.add(key)


def dumps(value: object) -> bytes:
    """JSON of Python values and of arrays of any plain dtype; NaN and infinities become null."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
