"""A request into the work it asks for: what to run and how to answer, in whichever thread the caller chooses."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from wye_runtime import codecs
from wye_runtime.codecs import InferCodec, Score
from wye_runtime.codecs.calls import CallCodec, inflated, parsed
from wye_runtime.codecs.plain import Plain
from wye_runtime.contract import Contract
from wye_runtime.engine.model import Model
from wye_runtime.errors import ModelNotFound, UnsupportedMediaType, shown
from wye_runtime.protocol import RawRequest, RawResponse, Tensors
from wye_runtime.service.batching import elements, rows_of, shapes_of
from wye_runtime.service.bodies import Bodies
from wye_runtime.settings import Config

# what the event loop may decode: a millisecond or so, a few at worst
LIGHT_BYTES = 8 << 10
LIGHT_VALUES = 4096
INLINE_RUNS = 4
VALUES_A_RUN = 8  # what making an instance's own tensors costs, in values


class WholeJob(NamedTuple):
    """Work that is decoded and valid: what goes into the model, which outputs are wanted, and the way to the answer."""

    batches: Sequence[Tensors]
    outputs: tuple[str, ...]
    answer: Callable[[list[Tensors]], RawResponse]

    def is_short(self, most: int) -> bool:
        """Whether its runs are few and have no more input elements each than were measured."""
        if len(self.batches) == 1:
            return elements(self.batches[0]) <= most
        return len(self.batches) <= INLINE_RUNS and all(elements(feeds) <= most for feeds in self.batches)

    @property
    def rows(self) -> int:
        """That may be joined with others' in a run; 0: none."""
        return rows_of(self.batches[0]) if len(self.batches) == 1 else 0

    @property
    def row_shapes(self) -> Hashable:
        """Without the same ones requests cannot be joined."""
        return shapes_of(self.batches[0]) if len(self.batches) == 1 else ()


Job = WholeJob | Plain


@dataclass
class Jobs:
    """Makes jobs for one loaded model."""

    config: Config
    model: Model
    contract: Contract | None
    codec: InferCodec
    calls: CallCodec
    bodies: Bodies

    def job(self, raw: RawRequest) -> Job:
        """Decodes and validates; what is wrong with the request is raised here."""
        if raw.is_call:
            return self.call_job(raw)
        if raw.content_encoding is not None:
            check_encoding(raw.content_encoding)
        if raw.model is None:
            return self.bodies.plain(raw) or score_job(self.bodies.score(raw))
        plain = self.codec.plain.read(raw.body) if raw.header_length is None else None
        return self.infer_job(raw) if plain is None else plain

    def is_light(self, raw: RawRequest) -> bool:
        """Whether it is decoded and validated in no time, judged by its bytes alone."""
        if len(raw.body) > LIGHT_BYTES or (raw.is_call and raw.content_encoding) or self.model.pictures:
            return False
        return raw.is_call or raw.model is not None or self.values_at_most(raw.body) <= LIGHT_VALUES

    def values_at_most(self, body: bytes) -> int:
        """How many values an instance has, times how many instances the body can hold: `{}` stands for all defaults."""
        begins_instance, values = self.instance
        return (1 + body.count(begins_instance)) * values

    @cached_property
    def instance(self) -> tuple[bytes, int]:
        """What each begins with, and how many values it has."""
        signature = self.model.signature
        is_batched = all(spec.has_free_batch for spec in signature.inputs)
        width = len(self.contract.columns) if self.contract else len(signature.inputs)
        return b"{" if self.contract or is_batched else b",", width if is_batched else width + VALUES_A_RUN

    def check_target(self, raw: RawRequest) -> None:
        """Whether the request names this model."""
        name, version = self.config.model.name, self.config.model.version
        if raw.model is not None and raw.model != name:
            raise ModelNotFound(f"there is no model {shown(raw.model)} here; this is {name}")
        if raw.version is not None and raw.version != version:
            raise ModelNotFound(f"model {name} has the version {version} here, not {shown(raw.version)}")

    def infer_job(self, raw: RawRequest) -> Job:
        request = self.codec.decode_whole(raw.body, raw.header_length)
        return WholeJob([request.feeds], request.outputs, lambda outputs: self.codec.encode(request, outputs[0]))

    def call_job(self, raw: RawRequest) -> Job:
        encoding, body = raw.content_encoding, raw.body
        if encoding is not None:
            body = inflated(body, encoding, self.config.max_request_bytes)
        elif (plain := self.calls.plain.read(body)) is not None:
            return plain
        message = parsed("ModelInferRequest", body)
        self.check_target(raw._replace(model=message.model_name, version=message.model_version or None))
        request = self.calls.decode(message)
        self.calls.plain.learn(body, message)
        return WholeJob([request.feeds], request.outputs, lambda outputs: self.calls.encode(request, outputs[0]))


def score_job(score: Score) -> Job:
    """A /score request as a job."""

    def answer(outputs: list[Tensors]) -> RawResponse:
        return RawResponse(codecs.dumps(score.answer(outputs)))

    return WholeJob(score.batches, score.outputs, answer)


def check_encoding(content_encoding: str) -> None:
    """Read as it stands, a compressed body is nonsense at best."""
    given = content_encoding.strip().lower()
    if given not in ("", "identity"):
        raise UnsupportedMediaType(f"the body has the Content-Encoding {shown(given)}: send it uncompressed")
