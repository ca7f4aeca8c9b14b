"""A request into the work it asks for: decode, validate, run, encode, in whichever thread the caller chooses."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from wye_runtime import codecs
from wye_runtime.contract import Contract
from wye_runtime.errors import InvalidInput, ModelNotFound, Offences, UnsupportedMediaType, shown
from wye_runtime.metrics import Metrics
from wye_runtime.model import Model, Run
from wye_runtime.protocol import RawRequest, RawResponse, Tensors
from wye_runtime.service.scores import Score, score
from wye_runtime.settings import Config

# curl -d sends the second one where nobody names a type
JSON_TYPES = ("", "application/x-www-form-urlencoded", "application/json")
# what the event loop may decode: a millisecond or so, a few at worst
LIGHT_BYTES = 8 << 10
LIGHT_VALUES = 4096
VALUES_A_RUN = 8  # what making an instance's own tensors costs, in values


@dataclass(frozen=True, slots=True)
class Job:
    """Work that is decoded and valid: what goes into the model, which outputs are wanted, and the way to the answer."""

    batches: Sequence[Tensors]
    outputs: Sequence[str]
    run: Callable[[Run | None], RawResponse]


@dataclass(slots=True)
class Jobs:
    """Makes jobs for one loaded model."""

    config: Config
    model: Model
    contract: Contract | None
    metrics: Metrics

    def job(self, raw: RawRequest) -> Job:
        """Decodes and validates; what is wrong with the request is raised here."""
        return self.score_job(raw) if raw.model is None else self.infer_job(raw)

    def is_light(self, raw: RawRequest) -> bool:
        """Whether it is decoded and validated in no time, judged by its bytes alone."""
        if len(raw.body) > LIGHT_BYTES:
            return False
        return raw.model is not None or self.values_at_most(raw.body) <= LIGHT_VALUES

    def values_at_most(self, body: bytes) -> int:
        """How many values an instance has, times how many instances the body can hold: `{}` stands for all defaults."""
        signature = self.model.signature
        is_batched = all(spec.has_free_batch for spec in signature.inputs)
        width = len(self.contract.columns) if self.contract else len(signature.inputs)
        begins_instance = b"{" if self.contract or is_batched else b","
        return (1 + body.count(begins_instance)) * (width if is_batched else width + VALUES_A_RUN)

    def check_target(self, raw: RawRequest) -> None:
        """Whether the request names this model."""
        name, version = self.config.model.name, self.config.model.version
        if raw.model not in (None, name):
            raise ModelNotFound(f"there is no model {shown(raw.model)} here; this is {name}")
        if raw.version not in (None, version):
            raise ModelNotFound(f"model {name} has the version {version} here, not {shown(raw.version)}")

    def infer_job(self, raw: RawRequest) -> Job:
        request = codecs.decode(self.model.signature, raw.body, raw.header_length)
        source = self.config.model
        head: dict[str, object] = {"model_name": source.name, "model_version": source.version}

        def run(run: Run | None) -> RawResponse:
            outputs = self.outputs(request.feeds, request.outputs, run)
            return codecs.encode(request, outputs, self.model.datatypes, head)

        return Job([request.feeds], request.outputs, run)

    def score_job(self, raw: RawRequest) -> Job:
        check_media_type(raw.content_type)
        body = codecs.loads(raw.body)
        contract, signature = self.contract, self.model.signature
        return self.scored(by_contract(contract, body) if contract else score(signature, body))

    def scored(self, wanted: Score) -> Job:
        def run(run: Run | None) -> RawResponse:
            outputs = [self.outputs(feeds, wanted.outputs, run) for feeds in wanted.batches]
            return RawResponse(codecs.dumps(wanted.answer(outputs)))

        return Job(wanted.batches, wanted.outputs, run)

    def outputs(self, feeds: Tensors, names: Sequence[str], run: Run | None) -> Tensors:
        """One run of the model, timed."""
        began = time.perf_counter()
        outputs = self.model.run(feeds, names, run)
        self.metrics.run_seconds.observe(time.perf_counter() - began)
        return outputs


def check_media_type(content_type: str | None) -> None:
    media = (content_type or "").split(";")[0].strip().lower()
    if media == "text/csv":
        raise UnsupportedMediaType("text/csv is not served yet: send application/json")
    if media not in JSON_TYPES:
        raise UnsupportedMediaType(f"the body is {shown(media)}, want application/json")


def by_contract(contract: Contract, body: Any) -> Score:
    """One object, or `instances` alone with a list of them."""
    if not isinstance(body, dict):
        raise InvalidInput(f"the body must be a JSON object, got {shown(body)}")
    is_list = "instances" in body
    instances = listed(body) if is_list else [body]
    batches = contract.batches(instances, is_list=is_list)

    def answer(outputs: list[Tensors]) -> Any:
        counts = [len(instances)] if contract.is_batched else [1] * len(outputs)
        rows = [
            row
            for each, count in zip(outputs, counts[: len(outputs)], strict=True)
            for row in contract.answers(each, count)
        ]
        return {"predictions": rows} if is_list else rows[0]

    return Score(batches, contract.tensors, answer)


def listed(body: dict[str, Any]) -> list[Any]:
    message = "is not known beside instances"
    offences = Offences()
    offences.add({"field": name, "message": message} for name in body if name != "instances")
    if offences.count:
        raise InvalidInput("instances stands alone in its object", offences.details)
    if not isinstance(body["instances"], list):
        raise InvalidInput(f"instances must be a list, got {shown(body['instances'])}")
    return body["instances"]
