"""Contracts: one made of the Endpoint's and the Deployment's halves, and whether two of them agree.

Agree means that no caller notices which one answered: every request that is valid for the reference is valid here,
and every output of the reference is given. Tensor names, indices and thresholds may differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from pydantic import ValidationError

from wye_operator.api.contract import Contract, InputField, OutputField
from wye_operator.plan.world import Signature, TensorSeen

# what is wanted, and what takes all of it: a text may come as the whole body, which a string may not
WIDER = (("integer", "number"), ("string", "text"))


class ContractsDoNotFit(ValueError):
    """The Endpoint's and the Deployment's halves make no valid contract together."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What one side promises its callers: fields where there is a contract, else the model's tensors.

    `model_name` "" promises no name; `signature` None is not known (or an own server's, which agrees with all but
    another name).
    """

    model_name: str
    contract: Contract | None
    signature: Signature | None
    own: bool = False


def merged(endpoint: Contract | None, deployment: Contract | None) -> Contract | None:
    """The Endpoint's fields with what the Deployment adds to each, then the Deployment's own fields.

    Raises ContractsDoNotFit when the two together break a rule of contracts.
    """
    if endpoint is None and deployment is None:
        return None
    whole = _one_of(endpoint or Contract(), deployment or Contract())
    missing = "; ".join([*_strangers(endpoint, deployment), *_gaps(whole)])
    if missing:
        raise ContractsDoNotFit(missing)
    return whole


def _one_of(endpoint: Contract, deployment: Contract) -> Contract:
    data = {
        "inputs": _overlaid(endpoint.inputs, deployment.inputs),
        "outputs": _overlaid(endpoint.outputs, deployment.outputs),
        "unknownFields": deployment.unknown_fields or endpoint.unknown_fields,
    }
    try:
        return Contract.model_validate({k: v for k, v in data.items() if v})
    except ValidationError as error:
        raise ContractsDoNotFit(_broken_rules(error)) from error


def _strangers(endpoint: Contract | None, deployment: Contract | None) -> Iterator[str]:
    """Fields of the Deployment that the Endpoint does not promise, and that cannot be meant so."""
    if endpoint is None or deployment is None:
        return
    inputs = {field.name for field in endpoint.inputs or ()}
    for field in deployment.inputs or ():
        if inputs and field.name not in inputs and field.default is None:
            yield f"input {field.name} is no field of the Endpoint's contract{_meant(field.name, inputs)}"
    outputs = {output.name for output in endpoint.outputs or ()}
    for output in deployment.outputs or ():
        if output.name not in outputs and _meant(output.name, outputs):
            yield f"output {output.name} is no field of the Endpoint's contract{_meant(output.name, outputs)}"


def _meant(name: str, known: set[str]) -> str:
    close = get_close_matches(name, sorted(known), n=1, cutoff=0.75)
    return f"; did you mean {close[0]}?" if close else ""


def _gaps(whole: Contract) -> Iterator[str]:
    """What each half may leave to the other, and the two together may not."""
    for side, fields in (("inputs", whole.inputs), ("outputs", whole.outputs)):
        if not fields:
            yield f"the contract has no {side}"
    for output in whole.outputs or ():
        if output.labels is None and (output.threshold is not None or output.thresholds is not None):
            yield f"output {output.name} has a threshold and no labels to choose from"
    for field in whole.inputs or ():
        if field.type is None and isinstance(field.default, bool | str):
            yield f"input {field.name} is a number, for it has no type, and its default is not"


def _broken_rules(error: ValidationError) -> str:
    broken = [rule for e in error.errors() for rule in e.get("ctx", {}).get("broken", ())]
    return "; ".join(f"{field} {sentence}" for field, sentence in broken) or str(error)


def _overlaid(
    base: list[InputField] | list[OutputField] | None,
    over: list[InputField] | list[OutputField] | None,
) -> list[dict[str, object]]:
    fields = {field.name: _said(field) for field in base or ()}
    for field in over or ():
        fields[field.name] = {**fields.get(field.name, {}), **_said(field)}
    return list(fields.values())


def _said(field: InputField | OutputField) -> dict[str, object]:
    return field.model_dump(by_alias=True, exclude_none=True)


def settings_of(contract: Contract | None) -> dict[str, object] | None:
    """The contract as the runtime reads it (docs/concepts/wire.md): every input has its type."""
    if contract is None:
        return None
    return {
        "inputs": [{"type": "number", **_said(field)} for field in contract.inputs or ()],
        "outputs": [_said(field) for field in contract.outputs or ()],
        "unknownFields": contract.unknown_fields or "error",
    }


def disagreement(reference: Promise, candidate: Promise) -> str:
    """How the candidate breaks the reference's promise, in one sentence; "" when it agrees."""
    return "; ".join(_differences(reference, candidate))


def _differences(reference: Promise, candidate: Promise) -> Iterator[str]:
    named = candidate.model_name or not candidate.own
    if reference.model_name and named and candidate.model_name != reference.model_name:
        yield f"its model is called {candidate.model_name}, want {reference.model_name}"
    if candidate.own:
        return
    if reference.contract is not None:
        yield from _contract_differences(reference.contract, candidate.contract)
    elif candidate.contract is not None:
        yield "it has a contract and the reference has none: its /score takes other fields"
    elif reference.signature is not None and candidate.signature is not None:
        yield from _tensor_differences(reference.signature, candidate.signature)


def _contract_differences(reference: Contract, candidate: Contract | None) -> Iterator[str]:
    if candidate is None:
        yield "it has no contract: give it one with the same fields"
        return
    yield from _input_differences(reference, candidate)
    yield from _output_differences(reference, candidate)
    if reference.unknown_fields == "drop" and candidate.unknown_fields != "drop":
        yield "it refuses unknown fields, the reference drops them"


def _input_differences(reference: Contract, candidate: Contract) -> Iterator[str]:
    ours = {field.name: field for field in candidate.inputs or ()}
    promised = {field.name for field in reference.inputs or ()}
    for field in reference.inputs or ():
        if field.name not in ours:
            if candidate.unknown_fields != "drop":
                yield f"it has no input {field.name}"
        else:
            yield from _narrowings(field, ours[field.name])
    for name, field in ours.items():
        if name in promised:
            continue
        if reference.unknown_fields == "drop":
            yield f"it reads the field {name}, which callers may send as they like: the reference drops it"
        elif field.default is None:
            yield f"it needs an input {name} that callers do not send: give it a default"


def _narrowings(promised: InputField, ours: InputField) -> Iterator[str]:
    wants, takes = promised.type or "number", ours.type or "number"
    if wants != takes and (wants, takes) not in WIDER:
        yield f"input {promised.name} is {takes}, want {wants}"
        return
    if ours.minimum is not None and (promised.minimum is None or promised.minimum < ours.minimum):
        yield f"input {promised.name} starts at {ours.minimum:g}, want {_bound(promised.minimum)}"
    if ours.maximum is not None and (promised.maximum is None or promised.maximum > ours.maximum):
        yield f"input {promised.name} ends at {ours.maximum:g}, want {_bound(promised.maximum)}"
    yield from _missing_values(promised, ours)
    if promised.default is not None and ours.default is None:
        yield f"input {promised.name} is required, want it optional: give it a default"


def _missing_values(promised: InputField, ours: InputField) -> Iterator[str]:
    if ours.values is None:
        return
    if promised.values is None:
        yield f"input {promised.name} takes only {', '.join(ours.values)}, want any string"
        return
    missing = [value for value in promised.values if value not in ours.values]
    if missing:
        yield f"input {promised.name} does not take {', '.join(missing)}"


def _bound(value: float | None) -> str:
    return "no bound" if value is None else f"{value:g}"


def _output_differences(reference: Contract, candidate: Contract) -> Iterator[str]:
    ours = {field.name: field for field in candidate.outputs or ()}
    for field in reference.outputs or ():
        if field.name not in ours:
            yield f"it gives no output {field.name}"
        elif sorted(field.labels or ()) != sorted(ours[field.name].labels or ()):
            yield (f"output {field.name} is {_kind(ours[field.name])}, want {_kind(field)}")


def _kind(field: OutputField) -> str:
    return "a number" if field.labels is None else "one of " + ", ".join(field.labels)


def _tensor_differences(reference: Signature, candidate: Signature) -> Iterator[str]:
    ours = {tensor.name: tensor for tensor in candidate.inputs}
    for tensor in reference.inputs:
        yield from _tensor_narrowing("input", tensor, ours.pop(tensor.name, None))
    for name in ours:
        yield f"it needs an input {name} that callers do not send"
    given = {tensor.name: tensor for tensor in candidate.outputs}
    for tensor in reference.outputs:
        yield from _tensor_narrowing("output", tensor, given.get(tensor.name))


def _tensor_narrowing(kind: str, promised: TensorSeen, ours: TensorSeen | None) -> Iterator[str]:
    if ours is None:
        yield f"it has no {kind} {promised.name}"
    elif ours.datatype != promised.datatype:
        yield f"{kind} {promised.name} is {ours.datatype}, want {promised.datatype}"
    elif not _takes_shape(promised.shape, ours.shape):
        yield f"{kind} {promised.name} has shape {list(ours.shape)}, want {list(promised.shape)}"


def _takes_shape(promised: tuple[int, ...], ours: tuple[int, ...]) -> bool:
    return len(promised) == len(ours) and all(own in (-1, want) for want, own in zip(promised, ours, strict=True))
