"""Tensors over gRPC: the protocol's ModelInfer messages into what a model takes, and its outputs into the answer."""

import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from wye_runtime import tensors
from wye_runtime.codecs.infer import InferRequest, output_detail, refusal
from wye_runtime.codecs.messages import CLASSES
from wye_runtime.codecs.plain import KNOWN, Form, Plain
from wye_runtime.errors import BadRequest, EncodingNotServed, InvalidInput, Misfit, Offences, PayloadTooLarge, shown
from wye_runtime.protocol import (
    DTYPES,
    FLOATS,
    Array,
    RawResponse,
    Signature,
    Tensors,
    TensorSpec,
    raw_response,
)
from wye_runtime.tensors import PACKED

GRPC_TYPE = "application/grpc"
CONTENTS = {
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    **{"BOOL": "bool_contents", "INT64": "int64_contents", "UINT64": "uint64_contents"},
    **{"FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents"},
}
RAW_ONLY = frozenset(DTYPES) - frozenset(CONTENTS)
ENCODINGS = ("identity", "deflate", "gzip")
EITHER = zlib.MAX_WBITS | 32  # zlib finds out by itself which of the two it is
FLIPPED = bytes(range(255, -1, -1))
RAW_OUTPUT = b"\x32"  # field 6 of ModelInferResponse, with a length
MOST = 1 << 10  # bytes of a message before its tensor that are kept
SHAPES = 256  # of outputs, whose answers' beginnings are kept
CALL_ANSWER = RawResponse(b"", GRPC_TYPE)[1:]


def inflated(message: bytes, encoding: str, limit: int) -> bytes:
    """A compressed message as it was, unless that is larger than the limit."""
    if encoding not in ENCODINGS[1:]:
        raise EncodingNotServed(f"the message is compressed by {shown(encoding)}: send it by gzip, or as it is")
    inflating = zlib.decompressobj(EITHER)
    try:
        found = inflating.decompress(message, limit + 1)
    except zlib.error as error:
        raise BadRequest(f"the message is no {encoding}: {error}") from None
    if len(found) > limit:
        raise PayloadTooLarge(f"the message is larger than {limit} bytes")
    if not inflating.eof:
        raise BadRequest(f"the message is no whole {encoding}")
    return found


def parsed(name: str, body: bytes) -> Any:
    """A message of this name."""
    try:
        return CLASSES[name].FromString(body)
    except DecodeError:
        raise BadRequest(f"the message is no {name}") from None


class CallCodec:
    """ModelInfer for one model."""

    def __init__(self, signature: Signature, name: str, version: str) -> None:
        self.inputs = {spec.name: spec for spec in signature.inputs}
        self.outputs = tuple(spec.name for spec in signature.outputs)
        self.datatypes = {spec.name: spec.datatype for spec in signature.outputs}
        self.name, self.version = name, version
        self.plain = PlainCalls(self)
        self.opening = lru_cache(SHAPES)(self.opened)

    def decode(self, request: Any) -> InferRequest:
        """A request's tensors; every offending one is named at once. `binary`: what comes back as raw bytes."""
        feeds = fed(self.inputs, request)
        outputs = asked(self.outputs, request)
        is_raw = bool(request.raw_input_contents) or any(self.datatypes[name] in RAW_ONLY for name in outputs)
        return InferRequest(request.id, feeds, outputs, frozenset(outputs if is_raw else ()))

    def encode(self, request: InferRequest, outputs: Mapping[str, Array]) -> RawResponse:
        """Raw where the request was, or where a type has no other form; all outputs in the same form."""
        arrays = [outputs[name] for name in request.outputs]
        shapes = tuple([array.shape for array in arrays])
        if request.binary:
            opened = self.opened if request.id else self.opening
            opening = opened(request.id or "", request.outputs, shapes)
            return RawResponse(b"".join([opening, *(raw_output(tensors.to_bytes(each)) for each in arrays)]), GRPC_TYPE)
        answer = self.described(request.id or "", request.outputs, shapes)
        for name, array, tensor in zip(request.outputs, arrays, answer.outputs, strict=True):
            getattr(tensor.contents, CONTENTS[self.datatypes[name]]).extend(listed(array))
        return RawResponse(answer.SerializeToString(), GRPC_TYPE)

    def described(self, identity: str, names: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> Any:
        """An answer without values."""
        answer = CLASSES["ModelInferResponse"](model_name=self.name, model_version=self.version, id=identity)
        for name, shape in zip(names, shapes, strict=True):
            answer.outputs.add(name=name, datatype=self.datatypes[name], shape=shape)
        return answer

    def opened(self, identity: str, names: tuple[str, ...], shapes: tuple[tuple[int, ...], ...]) -> bytes:
        """What stands before the raw tensors of an answer, which are its last fields."""
        opening: bytes = self.described(identity, names, shapes).SerializeToString()
        return opening

    def encode_plain(self, request: Plain, outputs: Mapping[str, Array]) -> RawResponse:
        """The answer to one."""
        return self.encode(InferRequest(request.id, {}, self.outputs, frozenset(self.outputs)), outputs)

    def encode_rows(
        self, requests: Sequence[Plain], counts: Sequence[int], outputs: Mapping[str, Array]
    ) -> Sequence[RawResponse] | None:
        """The answers to several; None where there are strings, whose bytes do not say where a row ends."""
        arrays = [outputs[name] for name in self.outputs]
        if any([array.dtype == np.object_ for array in arrays]):
            return None
        raws = [(array.tobytes(), array.nbytes // len(array), array.shape[1:]) for array in arrays]
        told, at = [], 0
        for count in counts:
            opening = self.opening("", self.outputs, tuple([(count, *shape) for _, _, shape in raws]))
            parts = [raw_output(raw[at * width : (at + count) * width]) for raw, width, _ in raws]
            told.append(raw_response((b"".join([opening, *parts]), *CALL_ANSWER)))
            at += count
        return told


class PlainCalls:
    """Messages that differ from one before in the bytes of their only tensor, which stand at their end."""

    def __init__(self, codec: CallCodec) -> None:
        self.codec = codec
        self.known: dict[bytes, Form] = {}  # by what stands before the tensor
        self.ends: dict[int, int] = {}  # where that ends, by a message's length

    def read(self, message: bytes) -> Plain | None:
        """The request; None where it is not that plain, or the first of its kind."""
        end = self.ends.get(len(message), 0)
        form = self.known.get(message[:end])
        # a beginning says how long its tensor is: with another length behind it, rows would be of those who share a run
        if form is None or len(message) - end != form.length:
            return None
        return Plain(self.codec, None, (form,), (message[end:],))

    def learn(self, message: bytes, request: Any) -> None:
        """What was decoded just now, and found right, means the same with other numbers at its end."""
        raws = request.raw_input_contents
        if len(request.inputs) != 1 or len(raws) != 1 or request.outputs or request.id:
            return
        [given], [raw] = request.inputs, raws
        if given.datatype not in PACKED or not raw or not message.endswith(raw):
            return
        end = len(message) - len(raw)
        if end > MOST:
            return
        # what looks like the tensor may be the end of another field, with the same bytes
        other = raw.translate(FLIPPED)
        if [*parsed("ModelInferRequest", message[:end] + other).raw_input_contents] != [other]:
            return
        if len(self.known) >= KNOWN:
            self.known.clear()
            self.ends.clear()
        self.known[message[:end]] = Form(self.codec.inputs[given.name], tuple(given.shape))
        self.ends[len(message)] = end


def raw_output(raw: bytes) -> bytes:
    """A tensor as the field of an answer."""
    return b"%b%b%b" % (RAW_OUTPUT, varint(len(raw)), raw)


@lru_cache(SHAPES)
def varint(number: int) -> bytes:
    """As protobuf writes it: seven bits a byte, the lowest first."""
    low = number & 0x7F
    return bytes([low]) if number == low else bytes([low | 0x80]) + varint(number >> 7)


def listed(array: Array) -> list[Any]:
    """The values of an array of any shape, flat in row-major order; strings as UTF-8 bytes."""
    values = array.ravel().tolist()
    return [str(each).encode() for each in values] if array.dtype == np.object_ else values


def fed(specs: Mapping[str, TensorSpec], request: Any) -> Tensors:
    """The arrays of all inputs, or one InvalidInput with every offence."""
    raws = request.raw_input_contents
    if raws and len(raws) != len(request.inputs):
        raise InvalidInput(f"{len(raws)} raw_input_contents for {len(request.inputs)} inputs, want one for each")
    feeds: Tensors = {}
    offences = Offences()
    for at, given in enumerate(request.inputs):
        try:
            if given.name in feeds:
                raise Misfit("is given twice")
            feeds[given.name] = array_of(specs, given, raws[at] if raws else None)
        except Misfit as misfit:
            offences.add([misfit.detail(tensor=given.name)])
    named = {given.name for given in request.inputs}
    offences.add({"tensor": name, "message": "is missing"} for name in specs if name not in named)
    if offences.count:
        raise refusal("inputs", offences)
    return feeds


def array_of(specs: Mapping[str, TensorSpec], given: Any, raw: bytes | None) -> Array:
    """One input's array."""
    spec = specs.get(given.name)
    if spec is None:
        raise Misfit(f"is not an input of the model, which has {', '.join(specs)}")
    if given.datatype != spec.datatype:
        raise Misfit(f'datatype is "{given.datatype}", the model wants {spec.datatype}')
    shape = tensors.checked_shape(spec, list(given.shape))
    if raw is not None:
        if given.contents.ByteSize():
            raise Misfit("has both contents and raw_input_contents")
        return tensors.from_bytes(spec.datatype, shape, memoryview(raw))
    return from_contents(spec.datatype, given.contents).reshape(checked_size(shape, spec.datatype, given.contents))


def checked_size(shape: tuple[int, ...], datatype: str, contents: Any) -> tuple[int, ...]:
    """The shape itself, or a Misfit where the contents have another number of values."""
    got = len(getattr(contents, CONTENTS[datatype]))
    want = int(np.prod(shape, dtype=object))
    if got != want:
        raise Misfit(f"shape {list(shape)} wants {want} values in {CONTENTS[datatype]}, got {got}")
    return shape


def from_contents(datatype: str, contents: Any) -> Array:
    """The typed values; NaN and infinities are themselves, as in raw bytes."""
    if datatype in RAW_ONLY:
        raise Misfit(f"{datatype} has no typed contents: send raw_input_contents")
    values = list(getattr(contents, CONTENTS[datatype]))
    if datatype == "BYTES":
        return np.array([tensors.utf8(memoryview(each), at) for at, each in enumerate(values)], np.object_)
    return np.array(values, DTYPES[datatype]) if datatype in FLOATS else tensors.array_of(datatype, values)


def asked(known: tuple[str, ...], request: Any) -> tuple[str, ...]:
    """Which outputs, in the caller's order."""
    names = tuple(each.name for each in request.outputs)
    offences = Offences()
    offences.add(output_detail(name, known) for name in names if name not in known)
    offences.add({"tensor": name, "message": "is asked twice"} for name in known if names.count(name) > 1)
    if offences.count:
        raise refusal("outputs", offences)
    return names or known
