"""The body of /score with a contract: one object, or `instances` with a list of them, into tensors and back."""

from typing import Any

from wye_runtime.codecs import Score
from wye_runtime.contract.contract import Contract
from wye_runtime.contract.declared import RESERVED
from wye_runtime.errors import InvalidInput, Offences, shown
from wye_runtime.protocol import Tensors


def scored(contract: Contract, body: Any) -> Score:
    """One object, or `instances` alone with a list of them."""
    if not isinstance(body, dict):
        raise InvalidInput(f"the body must be a JSON object, got {shown(body)}")
    is_list = "instances" in body
    if not is_list and body.keys().isdisjoint(contract.known):
        refuse_other_forms(body)
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


def refuse_other_forms(body: dict[str, Any]) -> None:
    """What models without a contract take is said to be that, before any field that is missing."""
    message = 'with a contract the body is its object, or {"instances": [one object or several]}, and nothing else'
    for key in RESERVED:
        if key in body:
            raise InvalidInput(f"{key}: {message}", [{"field": key, "message": message}])


def listed(body: dict[str, Any]) -> list[Any]:
    """The instances, which nothing may stand beside."""
    message = "is not known beside instances"
    offences = Offences()
    offences.add({"field": name, "message": message} for name in body if name != "instances")
    if offences.count:
        raise InvalidInput("instances stands alone in its object", offences.details)
    if not isinstance(body["instances"], list):
        raise InvalidInput(f"instances must be a list, got {shown(body['instances'])}")
    return body["instances"]
