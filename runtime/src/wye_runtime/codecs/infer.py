"""Bodies of the Open Inference Protocol v2 into tensors and back: JSON, and the binary tensor extension."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any, NamedTuple

import orjson

from wye_runtime import tensors
from wye_runtime.codecs.bodies import dumps, loads
from wye_runtime.codecs.numbers import cut_out
from wye_runtime.codecs.plain import Plain, PlainReader
from wye_runtime.errors import BadRequest, Detail, InvalidInput, Misfit, Offences, RequestError, shown
from wye_runtime.protocol import (
    BINARY_TYPE,
    DTYPES,
    HEADER_LENGTH,
    Array,
    RawResponse,
    Signature,
    Tensors,
    TensorSpec,
    raw_response,
)

REQUEST_KEYS = frozenset({"id", "parameters", "inputs", "outputs", "model_name"})  # the last is kserve's client's own
INPUT_KEYS = frozenset({"name", "shape", "datatype", "data", "parameters"})
OUTPUT_KEYS = frozenset({"name", "parameters"})
BINARY_SIZE = "binary_data_size"
NOTHING = memoryview(b"")
REQUEST = "the request"
NONE: frozenset[str] = frozenset()
numbers = partial(orjson.dumps, option=orjson.OPT_SERIALIZE_NUMPY)
JSON_ANSWER = RawResponse(b"")[1:]
NO_PARAMETERS: Mapping[str, Any] = {}
DOUBLES = frozenset({"FP16", "FP32", "FP64"})  # what a double becomes in one step


def is_plain(datatype: str) -> bool:
    """Whether orjson writes arrays of this datatype as we want it."""
    return DTYPES[datatype].char in tensors.PLAIN


class InferRequest(NamedTuple):
    """A decoded request: what goes into the model, and which outputs come back in which form."""

    id: str | None
    feeds: Tensors
    outputs: tuple[str, ...]
    binary: frozenset[str]


class InferCodec:
    """The protocol's bodies for one model."""

    ALONE = b'%b%b,"data":%b}]}'
    ROWS = b'%b%b,"outputs":[%b%b,"data":[%b]}]}'
    LAST = b"]}]}"

    def __init__(self, signature: Signature, name: str, version: str) -> None:
        self.inputs = {spec.name: spec for spec in signature.inputs}
        self.outputs = tuple(spec.name for spec in signature.outputs)
        self.head = {"model_name": name, "model_version": version}
        self.plain = PlainReader(self, signature)
        self.takes_floats = {spec.datatype for spec in signature.inputs} <= DOUBLES
        self.opening = dumps(self.head)[:-1]
        self.described = {spec.name: described(spec) for spec in signature.outputs}
        # the commonest answer of all: one tensor whose numbers orjson writes as they are
        only = [spec.name for spec in signature.outputs if len(signature.outputs) == 1 and is_plain(spec.datatype)]
        self.alone = tuple(only)
        self.only = self.described[only[0]] if only else b""
        self.first = b'%b,"outputs":[%b' % (self.opening, self.only)

    def decode(self, body: bytes, header_length: str | None) -> InferRequest:
        """A request's tensors, checked against the model's; every offending tensor is named at once."""
        plain = self.plain.read(body) if header_length is None else None
        if plain is not None:
            return InferRequest(plain.id, plain.feeds, self.outputs, NONE)
        return self.decode_whole(body, header_length)

    def decode_whole(self, body: bytes, header_length: str | None) -> InferRequest:
        """The same for whatever is not plain."""
        header, raw = framed(body, header_length)
        is_framed = header_length is not None
        rest, numbers = cut_out(header) if self.takes_floats else (header, None)
        if numbers is not None:
            with suppress(RequestError):  # what is wrong is said of the body as it came
                return self.decode_parts(rest, Payload(raw, is_framed=is_framed, numbers=numbers))
        return self.decode_parts(header, Payload(raw, is_framed=is_framed))

    def decode_parts(self, header: bytes, payload: "Payload") -> InferRequest:
        """The JSON, with what stands behind it or was cut out of it."""
        head = objects(loads(header), "the body", REQUEST_KEYS)
        may_have_booleans = b"true" in header or b"false" in header
        if head.get("model_name", self.head["model_name"]) != self.head["model_name"]:
            raise InvalidInput(
                f"model_name is {shown(head['model_name'])}, the address is that of {self.head['model_name']}"
            )
        given = listed(head.get("inputs"), "inputs", INPUT_KEYS)
        feeds = fed(self.inputs, given, payload, may_have_booleans=may_have_booleans)
        return InferRequest(request_id(head), feeds, *asked(self.outputs, head))

    def encode(self, request: InferRequest, outputs: Mapping[str, Array]) -> RawResponse:
        """The answer: JSON, or JSON with the raw tensors behind it."""
        if request.id is None and request.outputs == self.alone and not request.binary:
            array = outputs[self.alone[0]]
            return RawResponse(self.ALONE % (self.first, shape_text(array.shape), numbers(array.ravel())))
        raws: list[bytes] = []
        identity = b"" if request.id is None else b',"id":%b' % dumps(request.id)
        entries = b",".join([self.entry(name, outputs[name], request.binary, raws) for name in request.outputs])
        body = b'%b%b,"outputs":[%b]}' % (self.opening, identity, entries)
        if not request.binary:
            return RawResponse(body)
        return RawResponse(b"".join((body, *raws)), BINARY_TYPE, {HEADER_LENGTH: str(len(body))})

    def encode_plain(self, request: Plain, outputs: Mapping[str, Array]) -> RawResponse:
        """The answer to one."""
        return self.encode(InferRequest(request.id, {}, self.outputs, NONE), outputs)

    def encode_rows(
        self, requests: Sequence[Plain], counts: Sequence[int], outputs: Tensors
    ) -> Sequence[RawResponse] | None:
        """The answers to several, whose rows follow each other in the only output; None where that is not plain.

        The numbers are written all at once: a call for each request costs more than they do.
        """
        if not self.alone or not (array := outputs[self.alone[0]]).size:
            return None
        if array.size == len(array):
            values = numbers(array.reshape(-1))[1:-1].split(b",")
        else:
            values = numbers(array.reshape(len(array), -1))[2:-2].split(b"],[")
        row = array.shape[1:]
        told, at, one = [], 0, b'%b%b,"data":[' % (self.first, shape_text((1, *row)))
        for request, count in zip(requests, counts, strict=True):
            if count == 1 and request.id is None:  # nearly every one
                told.append(raw_response((one + values[at] + self.LAST, *JSON_ANSWER)))
                at += 1
                continue
            own = b",".join(values[at : at + count])
            at += count
            identity = b"" if request.id is None else b',"id":%b' % dumps(request.id)
            shape = shape_text((count, *row))
            told.append(raw_response((self.ROWS % (self.opening, identity, self.only, shape, own), *JSON_ANSWER)))
        return told

    def entry(self, name: str, array: Array, binary: frozenset[str], raws: list[bytes]) -> bytes:
        """One output; its raw bytes go to `raws`. Put together of parts, because only the numbers are new each time."""
        shape = shape_text(array.shape)
        if name not in binary:
            return b'%b%b,"data":%b}' % (self.described[name], shape, dumps(tensors.to_json(array.reshape(-1))))
        raws.append(tensors.to_bytes(array))
        return b'%b%b,"parameters":{"%b":%d}}' % (self.described[name], shape, BINARY_SIZE.encode(), len(raws[-1]))


def described(spec: TensorSpec) -> bytes:
    """The beginning of an output's entry."""
    return dumps({"name": spec.name, "datatype": spec.datatype})[:-1] + b',"shape":'


@lru_cache(1024)
def shape_text(shape: tuple[int, ...]) -> bytes:
    """A shape as JSON."""
    return dumps(shape)


def framed(body: bytes, header_length: str | None) -> tuple[bytes, memoryview]:
    """The JSON part and the raw part."""
    if header_length is None:
        return body, NOTHING
    size = header_size(header_length)
    if size > len(body):
        raise BadRequest(f"{HEADER_LENGTH} is {size}, the body has only {len(body)} bytes")
    return body[:size], memoryview(body)[size:]


def header_size(given: str) -> int:
    """The number in the header that frames binary tensors; BadRequest where it is none."""
    if not (given.isascii() and given.isdigit() and len(given) < 20):
        raise BadRequest(f"{HEADER_LENGTH} is {shown(given)}, want a number of bytes")
    return int(given)


def objects(value: object, where: str, known: frozenset[str]) -> dict[str, Any]:
    """The object itself, once it is one and has no key that would be ignored."""
    if not isinstance(value, dict):
        raise InvalidInput(f"{where} must be a JSON object, got {shown(value)}")
    if value.keys() <= known:
        return value
    offences = Offences()
    offences.add({"field": name, "message": "is not known here"} for name in value if name not in known)
    first = shown(offences.details[0]["field"])
    raise InvalidInput(f"{where} has the unknown field {first}{offences.others}", offences.details)


def listed(value: object, where: str, known: frozenset[str]) -> list[dict[str, Any]]:
    """The list of tensors itself, or InvalidInput where one of them is no object, has an unknown key or no name."""
    if not isinstance(value, list):
        raise InvalidInput(f"{where} must be a list of tensors, got {shown(value)}")
    for at, item in enumerate(value):
        objects(item, f"{where}[{at}]", known)
    for at, item in enumerate(value):
        if not isinstance(item.get("name"), str):
            raise InvalidInput(f"{where}[{at}].name must be a string")
    return value


def request_id(head: Mapping[str, Any]) -> str | None:
    """The id that the answer repeats; InvalidInput where it is no string."""
    given = head.get("id")
    if given is not None and not isinstance(given, str):
        raise InvalidInput(f"id must be a string, got {shown(given)}")
    return given


class Payload:
    """The raw bytes behind the JSON part, handed out tensor by tensor, and the numbers that were cut out of it."""

    def __init__(self, raw: memoryview, *, is_framed: bool, numbers: Array | None = None) -> None:
        self.rest = raw
        self.is_framed = is_framed
        self.numbers = numbers

    def data(self, item: Mapping[str, Any]) -> Any:
        """A tensor's values; what was cut out had the only such name, and left an empty list."""
        data = item.get("data")
        return self.numbers if self.numbers is not None and data == [] else data

    def taken(self, name: str, size: object) -> memoryview:
        """The next `size` bytes."""
        if not self.is_framed:
            raise BadRequest(f"{shown(name)} has {BINARY_SIZE}, but {HEADER_LENGTH} is missing")
        if type(size) is not int or size < 0:
            raise BadRequest(f"{BINARY_SIZE} of {shown(name)} must be a number of bytes")
        if size > len(self.rest):
            raise BadRequest(f"the body ends within the bytes of {shown(name)}")
        part, self.rest = self.rest[:size], self.rest[size:]
        return part

    def end(self) -> None:
        if self.rest:
            raise BadRequest(f"{len(self.rest)} bytes are left after the last tensor")


def fed(
    specs: Mapping[str, TensorSpec], given: list[dict[str, Any]], payload: Payload, *, may_have_booleans: bool
) -> Tensors:
    """The arrays of all inputs, or one InvalidInput with every offence."""
    feeds: Tensors = {}
    offences = Offences()
    raws = [raw_part(item, payload) for item in given]
    payload.end()
    for item, raw in zip(given, raws, strict=True):
        name = item["name"]
        try:
            if name in feeds:
                raise Misfit("is given twice")
            data = payload.data(item) if raw is None else raw
            feeds[name] = array_of(specs, item, data, may_have_booleans=may_have_booleans)
        except Misfit as misfit:
            offences.add([misfit.detail(tensor=name)])
    if offences.count or len(feeds) < len(specs):
        named = {item["name"] for item in given}
        offences.add({"tensor": name, "message": "is missing"} for name in specs if name not in named)
        raise refusal("inputs", offences)
    return feeds


def refusal(what: str, offences: Offences) -> InvalidInput:
    """One sentence with the first offence and how many more there are."""
    first = offences.details[0]
    where = f"wrong {what}: {shown(first['tensor'])}"
    return InvalidInput(f"{where} {first['message']}{offences.others}", offences.details)


def parameters(item: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """An object's `parameters`, empty where there are none; InvalidInput where they are no object."""
    given = item.get("parameters")
    if given is None:
        return NO_PARAMETERS
    if not isinstance(given, dict):
        whose = where if where == REQUEST else shown(where)
        raise InvalidInput(f"parameters of {whose} must be an object, got {shown(given)}")
    return given


def raw_part(item: Mapping[str, Any], payload: Payload) -> memoryview | None:
    """The bytes of a tensor that lies behind the JSON part; None where its values stand in it."""
    size = parameters(item, item["name"]).get(BINARY_SIZE)
    return None if size is None else payload.taken(item["name"], size)


def array_of(specs: Mapping[str, TensorSpec], item: Mapping[str, Any], data: Any, *, may_have_booleans: bool) -> Array:
    """One input's array, of its values or of its raw bytes."""
    spec = specs.get(item["name"])
    if spec is None:
        raise Misfit(f"is not an input of the model, which has {', '.join(specs)}")
    if item.get("datatype") != spec.datatype:
        raise Misfit(f"datatype is {shown(item.get('datatype'))}, the model wants {spec.datatype}")
    shape = tensors.checked_shape(spec, item.get("shape"))
    if not isinstance(data, memoryview):
        return tensors.from_json(spec.datatype, shape, data, may_have_booleans=may_have_booleans)
    if item.get("data") is not None:
        raise Misfit(f"has both data and {BINARY_SIZE}")
    return tensors.from_bytes(spec.datatype, shape, data)


def asked(known: tuple[str, ...], head: Mapping[str, Any]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Which outputs, in the caller's order, and which of them in binary."""
    default = flag(parameters(head, REQUEST), "binary_data_output", fallback=False)
    if head.get("outputs") is None:
        return known, frozenset(known if default else ())
    items = listed(head["outputs"], "outputs", OUTPUT_KEYS)
    names = tuple(item["name"] for item in items)
    offences = Offences()
    offences.add(output_detail(name, known) for name in names if name not in known)
    offences.add({"tensor": n, "message": "is asked twice"} for n in known if names.count(n) > 1)
    if offences.count:
        raise refusal("outputs", offences)
    return names or known, frozenset(n for n, i in zip(names, items, strict=True) if is_binary(i, default=default))


def output_detail(name: str, known: tuple[str, ...]) -> Detail:
    """What is said of an output that the model does not have."""
    message = f"is not an output of the model, which has {', '.join(known)}"
    return {"tensor": name, "message": message}


def is_binary(item: Mapping[str, Any], *, default: bool) -> bool:
    """Whether an output comes back as raw bytes."""
    given = parameters(item, item["name"])
    if "classification" in given:
        raise InvalidInput("the classification extension is not served; ask for the tensor itself")
    return flag(given, "binary_data", fallback=default)


def flag(given: Mapping[str, Any], name: str, *, fallback: bool) -> bool:
    """A boolean parameter; InvalidInput where it is no boolean."""
    value = given.get(name, fallback)
    if not isinstance(value, bool):
        raise InvalidInput(f"{name} must be a boolean (true or false), got {shown(value)}")
    return value
