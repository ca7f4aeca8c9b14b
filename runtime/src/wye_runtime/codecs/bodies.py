"""JSON bodies, in and out."""

import gc
from typing import Any

import orjson

from wye_runtime.errors import BadRequest, PayloadTooLarge

MANY_VALUES = 2_000_000  # of one JSON body: some 0.1 s in which nothing else in the process runs


def loads(body: bytes | memoryview) -> Any:
    """The JSON value of a body; while a large one is made, nobody else in the process can run."""
    if len(body) > MANY_VALUES:
        return parsed_without_collector(limited(body))
    return parsed(body)


def parsed(body: bytes | memoryview) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None


def parsed_without_collector(body: bytes | memoryview) -> Any:
    """New values are no garbage: looking for some among millions of them takes longer than making them."""
    gc.disable()
    try:
        return parsed(body)
    finally:
        gc.enable()


def limited(body: bytes | memoryview) -> bytes | memoryview:
    """The body, unless it has more values than may hold up everybody else."""
    counted = bytes(body)
    if sum(counted.count(mark) for mark in (b",", b"[", b"{")) > MANY_VALUES:
        raise PayloadTooLarge(f"the JSON has more than {MANY_VALUES:,} values: send tensors in binary")
    return body


def dumps(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
