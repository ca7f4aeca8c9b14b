"""The body of /score by its media type, with a contract or without: what to run, and how to answer."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from wye_runtime import codecs, tensors
from wye_runtime.codecs import Media, Score
from wye_runtime.codecs.plain import Plain
from wye_runtime.contract import Contract, PlainScores, scored
from wye_runtime.errors import BadRequest, UnsupportedMediaType, shown
from wye_runtime.protocol import (
    CSV_TYPE,
    JSON_TYPE,
    PICTURE_TYPES,
    TEXT_TYPE,
    Array,
    RawRequest,
    Signature,
    Tensors,
    TensorSpec,
)

# curl -d sends the second one where nobody names a type
JSON_TYPES = ("", "application/x-www-form-urlencoded", JSON_TYPE)
ONE_TEXT = ((), (-1,), (1,), (-1, 1), (1, 1))  # shapes that hold it


@dataclass(frozen=True, slots=True)
class Bodies:
    """What /score reads for one model."""

    contract: Contract | None
    signature: Signature
    pictures: tuple[str, ...]  # the inputs that the model decodes
    common: PlainScores | None = None  # for the contract

    @property
    def picture(self) -> str | None:
        """What a picture as the whole body is: a field, or the only input."""
        if self.contract:
            return self.contract.only("image")
        only = len(self.signature.inputs) == len(self.pictures) == 1
        return self.pictures[0] if only else None

    @property
    def text(self) -> str | None:
        """What a text as the whole body is."""
        if self.contract:
            return self.contract.only("text")
        first, *others = self.signature.inputs
        is_text = first.datatype == "BYTES" and first.shape in ONE_TEXT and not others
        return first.name if is_text else None

    @property
    def accepted(self) -> tuple[str, ...]:
        """The media types that are read."""
        tables = () if self.contract else (CSV_TYPE,)
        return (JSON_TYPE, *tables, *(PICTURE_TYPES if self.picture else ()), *((TEXT_TYPE,) if self.text else ()))

    def plain(self, raw: RawRequest) -> Plain | None:
        """The common request in few steps; None where it is another."""
        return self.common.read(raw.body) if self.common and raw.content_type == JSON_TYPE else None

    def score(self, raw: RawRequest) -> Score:
        """What a request asks for; what is wrong with it is raised here."""
        if raw.content_type == JSON_TYPE:  # nearly every one
            return self.of_json(raw.body)
        media = codecs.media_of(raw.content_type)
        if media.kind in JSON_TYPES:
            return self.of_json(raw.body)
        if media.kind not in self.accepted:
            raise UnsupportedMediaType(f"the body is {shown(media.kind)}, want {' or '.join(self.accepted)}")
        if media.kind == CSV_TYPE:
            return codecs.score_csv(self.signature, raw.body, media)
        if media.kind == TEXT_TYPE:
            return self.of_whole(self.text or "", text_of(raw.body, media))
        return self.of_whole(self.picture or "", raw.body)

    def of_json(self, body: bytes) -> Score:
        value = codecs.loads(body)
        return scored(self.contract, value) if self.contract else codecs.score(self.signature, value)

    def of_whole(self, name: str, value: str | bytes) -> Score:
        """One value that is the whole body."""
        if self.contract:
            return scored(self.contract, {name: value})
        [spec] = self.signature.inputs
        loose = isinstance(value, str) and spec.has_free_batch
        array = array_of(value, spec)
        specs = {spec.name: spec for spec in self.signature.outputs}

        def answer(outputs: list[Tensors]) -> Any:
            return {name: tensors.to_json(row(specs[name], array, loose=loose)) for name, array in outputs[0].items()}

        return Score([{name: array}], tuple(specs), answer)


def array_of(value: str | bytes, spec: TensorSpec) -> Array:
    """Bytes as uint8 `[n]`, a text as a tensor of one string."""
    if isinstance(value, bytes):
        return np.frombuffer(value, np.uint8)
    return np.array([value], np.object_).reshape([1] * len(spec.shape))


def row(spec: TensorSpec, array: Array, *, loose: bool) -> Array:
    """An output without the dimension that counts requests, which is one; how many things were found is another."""
    is_counting = spec.shape[:1] == (1,) or (loose and spec.has_free_batch)
    inner: Array = array[0] if is_counting and len(array) == 1 else array
    return inner


def text_of(body: bytes, media: Media) -> str:
    """A body as text; BadRequest where it is no UTF-8."""
    codecs.check_charset(media)
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8") from None
