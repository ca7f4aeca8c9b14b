"""An example request for an Endpoint, made from its contract, and the `curl` line that sends it."""

from __future__ import annotations

import json
import shlex

from wye_operator.api.contract import Contract, InputField
from wye_operator.plan.wanted import Auth
from wye_operator.plan.world import Signature

# a grey square of 64 x 64, as PNG
PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAAS0lEQVR42u3PMQ0AAAwDoDqv9UrYvQQckD4XAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
    "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAYHLANtV0Vq+zpWkAAAAAElFTkSuQmCC"
)
WORDS: dict[str, object] = {"boolean": False, "string": "text", "text": "some words", "image": PICTURE}
ZERO: dict[str, object] = {"BOOL": False, "BYTES": ""}


def example(contract: Contract | None, signature: Signature | None) -> object:
    """A body of `/score` that is valid: from the contract, else from the model's own inputs."""
    if contract is not None and contract.inputs:
        return {field.name: _value(field) for field in contract.inputs}
    if signature is not None:
        return {tensor.name: _zeros(ZERO.get(tensor.datatype, 0), tensor.shape) for tensor in signature.inputs}
    return {}


def _value(field: InputField) -> object:
    if field.default is not None:
        return field.default
    if field.values:
        return field.values[0]
    if field.type in WORDS:
        return WORDS[field.type]
    number = max(1.0, field.minimum) if field.minimum is not None else 1.0
    number = min(number, field.maximum) if field.maximum is not None else number
    return int(number) if number == int(number) else number


def _zeros(value: object, shape: tuple[int, ...]) -> object:
    for dimension in reversed(shape):
        value = [value] * (dimension if dimension >= 0 else 1)
    return value


def bearer(auth: Auth | None) -> str | None:
    """The key to call with; TOKEN where callers must bring one of an issuer's, None where nobody asks."""
    if auth is None or auth.open:
        return None
    return auth.keys.primary if auth.keys else "TOKEN"


def curl(url: str, bearer: str | None, body: object) -> str:
    """One line to copy into a shell."""
    words = ["curl", "-s", url]
    if url.startswith("https:"):
        words.insert(1, "-k")  # a certificate names the Endpoint's host, hardly this machine
    if bearer is not None:
        words += ["-H", f"Authorization: Bearer {bearer}"]
    return shlex.join([*words, "-d", json.dumps(body, ensure_ascii=False)])
