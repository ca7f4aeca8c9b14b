"""Common requests in few steps: each input once, as packed numbers, so that those who share a run become one array.

Here the protocol's small JSON is read: numbers in a flat list, nothing odd. A request for one tensor differs from the
one before in its numbers only; what stands around them is read once. `calls.py` does the same for gRPC, `contract/`
for /score. Whatever is not exactly that, wrong requests above all, is left to the whole way (infer.py), which looks at
one thing after the other and says what it found. Both ways make the same tensors, or the whole one makes none.
"""

import math
import struct
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import orjson

from wye_runtime.errors import Misfit
from wye_runtime.protocol import DTYPES, RawResponse, Signature, Tensors, TensorSpec
from wye_runtime.tensors import INTEGER, PACKED, checked_shape

PLAIN_BYTES = 8 << 10
DATA = b'"data"'
SPACE = b" \t\r\n"
KNOWN = 256  # surroundings of a list of numbers that are kept
SHAPES = 256  # of one tensor, whose packers are kept
KEYS = 4  # of a tensor: name, shape, datatype, data
# what a wrong request makes of these few steps
ODD = (orjson.JSONDecodeError, struct.error, OverflowError, KeyError, TypeError, ValueError, AttributeError, Misfit)
Pack = Callable[..., bytes]


class Form:
    """What the tensors of one input and one shape have in common."""

    __slots__ = ("dtype", "length", "name", "pack", "rows", "shape", "size")

    def __init__(self, spec: TensorSpec, shape: tuple[int, ...]) -> None:
        self.name = spec.name
        self.dtype = DTYPES[spec.datatype]
        self.shape = tuple(checked_shape(spec, [*shape]))
        self.size = math.prod(shape)
        self.rows = shape[0] if shape else 0
        packer = struct.Struct(f"<{self.size}{PACKED[spec.datatype]}")
        self.pack: Pack = packer.pack
        self.length = packer.size  # in bytes


class Way(Protocol):
    """How plain requests of one kind are answered."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """What they ask for."""

    def encode_plain(self, request: "Plain", outputs: Tensors) -> RawResponse:
        """The answer to one."""

    def encode_rows(
        self, requests: Sequence["Plain"], counts: Sequence[int], outputs: Tensors
    ) -> Sequence[RawResponse] | None:
        """The answers to several, whose rows follow each other in the outputs; None where each is answered alone."""


class Plain:
    """A plain request, and so a job: one packed tensor for each input, in the model's order."""

    __slots__ = ("forms", "id", "packed", "rows", "size", "way")

    def __init__(self, way: Way, identity: str | None, forms: Sequence[Form], packed: Sequence[bytes]) -> None:
        self.way = way
        self.id = identity
        self.forms = forms
        self.packed = packed
        first = forms[0]
        self.rows = first.rows  # 0 where its tensors do not agree
        self.size = first.size  # how many values it has
        if len(forms) > 1:
            self.rows *= all([form.rows == first.rows for form in forms])
            self.size = sum([form.size for form in forms])

    @property
    def feeds(self) -> Tensors:
        """Its tensors."""
        pairs = zip(self.forms, self.packed, strict=True)
        return {form.name: np.frombuffer(packed, form.dtype).reshape(form.shape) for form, packed in pairs}

    @property
    def batches(self) -> Sequence[Tensors]:
        """One."""
        return [self.feeds]

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.way.outputs

    @property
    def row_shapes(self) -> Hashable:
        """The shapes of a row, without which requests cannot be joined."""
        return tuple([(form.name, form.shape[1:]) for form in self.forms])

    def is_short(self, most: int) -> bool:
        """Whether it has no more input elements than were measured."""
        return self.size <= most

    def answer(self, outputs: Sequence[Tensors]) -> RawResponse:
        """Of a run of its own."""
        return self.way.encode_plain(self, outputs[0])


def joined(requests: Sequence[Plain], rows: int) -> Tensors:
    """The tensors of several requests with rows of one shape, as one of so many rows for each input."""
    feeds: Tensors = {}
    for at, form in enumerate(requests[0].forms):
        packed = b"".join([request.packed[at] for request in requests])
        feeds[form.name] = np.frombuffer(packed, form.dtype).reshape(rows, *form.shape[1:])
    return feeds


class PlainReader:
    """For one model."""

    def __init__(self, way: Way, signature: Signature) -> None:
        self.way = way
        self.inputs = {spec.name: (spec.datatype, forms_of(spec)) for spec in signature.inputs}
        self.known: dict[tuple[bytes, bytes], Form] = {}
        self.last: tuple[bytes, bytes, tuple[Form, ...]] = b"", b"", ()  # the last of these, each with its bracket
        self.serves = bool(self.inputs) and all(spec.datatype in PACKED for spec in signature.inputs)

    def read(self, body: bytes) -> Plain | None:
        """The request; None where it is not that plain."""
        if not self.serves or len(body) > PLAIN_BYTES:
            return None
        before, behind, forms = self.last
        if forms and body.startswith(before) and body.endswith(behind):
            return self.numbers(body[len(before) - 1 : len(body) - len(behind) + 1], forms)
        # struct takes booleans for numbers; a name with these letters only costs the time of the whole way
        return None if b"true" in body or b"false" in body else self.other(body)

    def numbers(self, given: bytes, forms: tuple[Form, ...]) -> Plain | None:
        """The request with these numbers, in brackets, within what came last; None where they are something else."""
        if b"e" in given and (b"true" in given or b"false" in given):
            return None
        try:
            return Plain(self.way, None, forms, (forms[0].pack(*orjson.loads(given)),))
        except ODD:
            return None

    def other(self, body: bytes) -> Plain | None:
        """A request that is not like the last one."""
        at = body.find(DATA)
        begin = body.find(b"[", at)
        end = body.find(b"]", begin) + 1
        around = body[:begin], body[end:]
        form = self.known.get(around)
        if form is not None:
            forms = (form,)
            self.last = body[: begin + 1], body[end - 1 :], forms
            return self.numbers(body[begin:end], forms)
        try:
            found = self.whole(body)
        except ODD:
            return None
        if found is not None and found.id is None and len(found.forms) == 1 and is_key(body[at:begin]):
            self.learn(around, found.forms[0])
        return found

    def whole(self, body: bytes) -> Plain | None:
        """A request that is read from its beginning to its end."""
        head = orjson.loads(body)
        items, identity = head["inputs"], head.get("id")
        keys = 1 if identity is None else 2
        if len(head) != keys or len(items) != len(self.inputs) or not (keys == 1 or type(identity) is str):
            return None
        # as many colons as keys: none of them stood twice
        if body.count(b":") != keys + KEYS * len(items):
            return None
        found = {item["name"]: self.tensor(item) for item in items}
        forms, packed = zip(*[found[name] for name in self.inputs], strict=True)
        return Plain(self.way, identity, forms, packed)

    def learn(self, around: tuple[bytes, bytes], form: Form) -> None:
        """What stands around a list of numbers means the same around another list of numbers."""
        if len(self.known) >= KNOWN:
            self.known.clear()
        self.known[around] = form

    def tensor(self, item: Mapping[str, Any]) -> tuple[Form, bytes]:
        """One input's values, packed."""
        shape, data = item["shape"], item["data"]
        datatype, form_of = self.inputs[item["name"]]
        if len(item) != KEYS or item["datatype"] != datatype or type(shape) is not list or type(data) is not list:
            raise TypeError
        if not INTEGER.issuperset(map(type, shape)):  # 1.0 would be found in the cache, as 1
            raise TypeError
        form = form_of(tuple(shape))
        return form, form.pack(*data)


def is_key(text: bytes) -> bool:
    """Whether a name is followed by its colon, and by nothing else: no quote within a string stands as it is."""
    return text[len(DATA) :].strip(SPACE) == b":"


def forms_of(spec: TensorSpec) -> Callable[[tuple[int, ...]], Form]:
    """What gives the form of a shape."""

    @lru_cache(SHAPES)
    def form(shape: tuple[int, ...]) -> Form:
        return Form(spec, shape)

    return form
