"""The body of /score without a contract, by its first known key, or CSV: into tensors and back."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wye_runtime import tensors
from wye_runtime.codecs.media import Media
from wye_runtime.codecs.tables import csv_instances, frame
from wye_runtime.errors import Detail, InvalidInput, Misfit, ModelError, Offences, refused, shown
from wye_runtime.protocol import DTYPES, Array, Signature, Tensors, TensorSpec

Answer = Callable[[list[Tensors]], Any]


@dataclass(frozen=True, slots=True)
class Score:
    """What to run, which outputs to ask for, and how the answer is made of them."""

    batches: list[Tensors]
    outputs: tuple[str, ...]
    answer: Answer


def score(signature: Signature, body: Any) -> Score:
    """A decoded body by its first known key."""
    if not isinstance(body, dict):
        raise InvalidInput(f"the body must be a JSON object, got {shown(body)}")
    names = tuple(spec.name for spec in signature.outputs)
    if "instances" in body:
        batches, values = rows(signature, alone(body, "instances"))
        return Score(batches, names, lambda outputs: {"predictions": values(outputs)})
    for key in ("input_data", "data"):
        if key in body:
            given = alone(body, key)
            is_frame = key == "input_data" and isinstance(given, dict)
            return listed(signature, frame(signature, given) if is_frame else given, key)
    batches, answer = named(signature, body)
    return Score(batches, names, answer)


def score_csv(signature: Signature, body: bytes, media: Media) -> Score:
    """The lines of a CSV body; the answer is a bare list."""
    return listed(signature, csv_instances(signature, body, media))


def listed(signature: Signature, given: Any, key: str = "data") -> Score:
    """What is answered by a bare list."""
    batches, values = rows(signature, given, key)
    return Score(batches, tuple(spec.name for spec in signature.outputs), values)


def alone(body: dict[str, Any], key: str) -> Any:
    """The value of a key that nothing stands beside."""
    offences = Offences()
    offences.add({"field": name, "message": f"is not known beside {key}"} for name in body if name != key)
    if offences.count:
        raise refused(offences)
    return body[key]


def rows(
    signature: Signature, given: Any, key: str = "instances"
) -> tuple[list[Tensors], Callable[[list[Tensors]], list[Any]]]:
    """A list of instances: rows for a model with one input, else objects by input names."""
    if not isinstance(given, list):
        forms = "a list, or an object with columns and data" if key == "input_data" else "a list"
        raise InvalidInput(f"{key} must be {forms}, got {shown(given)}")
    columns = by_input(signature, given)
    if not given:
        return [], lambda _: []
    if all(spec.has_free_batch for spec in signature.inputs):
        feeds = collected(signature, lambda spec: stacked(spec, columns[spec.name]))
        return [feeds], lambda outputs: split(signature, outputs[0], len(given))
    batches = [one(signature, columns, at) for at in range(len(given))]
    return batches, lambda outputs: [unbatched(signature, each) for each in outputs]


def one(signature: Signature, columns: dict[str, list[Any]], at: int) -> Tensors:
    """The tensors of one instance, for a model that takes them one by one."""
    return collected(signature, lambda spec: single(spec, columns[spec.name][at]), at)


def by_input(signature: Signature, given: list[Any]) -> dict[str, list[Any]]:
    """The values of each input over all instances."""
    names = [spec.name for spec in signature.inputs]
    if len(names) == 1 and not any(isinstance(each, dict) for each in given):
        return {names[0]: given}
    if signature.columns and not all(isinstance(each, dict) and set(each) == set(names) for each in given):
        names = list(signature.columns)
    offences = Offences()
    for at, each in enumerate(given):
        if offences.is_full:
            offences.is_partial = True
            break
        offences.add({"instance": at, **detail} for detail in name_details(names, each))
    if offences.count:
        raise refused(offences)
    if len(signature.inputs) == 1 and signature.columns == tuple(names):
        return {signature.inputs[0].name: [[each[name] for name in names] for each in given]}
    return {name: [each[name] for each in given] for name in names}


def name_details(names: Sequence[str], value: Any) -> Iterator[Detail]:
    """What is wrong with the keys of one object by input names."""
    if not isinstance(value, dict):
        yield {"message": f"expected an object with {', '.join(names)}, got {shown(value)}"}
        return
    yield from ({"field": name, "message": "is missing"} for name in names if name not in value)
    message = f"is not an input of the model, which has {', '.join(names)}"
    yield from ({"field": name, "message": message} for name in value if name not in names)


def collected(signature: Signature, made: Callable[[TensorSpec], Array], instance: int | None = None) -> Tensors:
    """The arrays of all inputs, or one InvalidInput with every offence."""
    where = {} if instance is None else {"instance": instance}
    feeds: Tensors = {}
    offences = Offences()
    for spec in signature.inputs:
        try:
            feeds[spec.name] = made(spec)
        except Misfit as misfit:
            offences.add([detail_of(misfit, spec, where)])
    if offences.count:
        raise refused(offences)
    return feeds


class Uneven(Misfit):
    """A misfit of one instance among several; its position is the instance's."""


def detail_of(misfit: Misfit, spec: TensorSpec, where: dict[str, Any]) -> Detail:
    """What is said of a value that does not fit, and where it stands."""
    if isinstance(misfit, Uneven):
        return {"instance": misfit.position, "field": spec.name, "message": misfit.message}
    return misfit.detail(**where, field=spec.name)


def stacked(spec: TensorSpec, values: list[Any]) -> Array:
    """One tensor over all instances; a bare value may stand for a row of one."""
    shapes = [shape_of(value) for value in values]
    is_bare = shapes[0] == [] and spec.shape[1:] in ((1,), (-1,))
    shape = [len(values), 1] if is_bare else [len(values), *shapes[0]]
    odd = next((at for at, each in enumerate(shapes) if each != shapes[0]), None)
    if odd is not None:
        raise Uneven(f"has the shape {shapes[odd]}, the first instance has {shapes[0]}", odd)
    sizes = tensors.checked_shape(spec, shape)
    try:
        return tensors.from_json(spec.datatype, sizes, values)
    except Misfit as misfit:
        if misfit.position is None:
            raise
        each = max(1, math.prod(sizes[1:]))
        raise Uneven(misfit.message, misfit.position // each) from None


def single(spec: TensorSpec, value: Any) -> Array:
    """One instance's tensor; a first dimension of 1 is added where the model has one."""
    shape = shape_of(value)
    if len(shape) == len(spec.shape) - 1 and spec.shape[0] in (-1, 1):
        return from_value(spec, [1, *shape], [value])
    return from_value(spec, shape, value)


def from_value(spec: TensorSpec, shape: list[int], value: Any) -> Array:
    """An array of this shape and of the input's datatype; a single value stands for a tensor of one."""
    sizes = tensors.checked_shape(spec, shape)
    return tensors.from_json(spec.datatype, sizes, value if shape else [value])


def shape_of(value: Any) -> list[int]:
    """The shape of a nested list as its first elements tell it."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def named(signature: Signature, body: dict[str, Any]) -> tuple[list[Tensors], Answer]:
    """One request by input names: whole tensors, or one instance without the batch dimension."""
    offences = Offences()
    offences.add(name_details([spec.name for spec in signature.inputs], body))
    if offences.count:
        raise refused(offences)
    is_single = all(lacks_batch(spec, body[spec.name]) for spec in signature.inputs)
    feeds = collected(
        signature,
        lambda spec: (
            single(spec, body[spec.name]) if is_single else from_value(spec, shape_of(body[spec.name]), body[spec.name])
        ),
    )

    def answer(outputs: list[Tensors]) -> Any:
        strip = strip_batch if is_single else whole
        return {name: tensors.to_json(strip(array)) for name, array in outputs[0].items()}

    return [feeds], answer


def lacks_batch(spec: TensorSpec, value: Any) -> bool:
    """Whether a value is one instance of a tensor with a batch dimension."""
    has_batch = bool(spec.shape) and spec.shape[0] in (-1, 1)
    return has_batch and len(shape_of(value)) == len(spec.shape) - 1


def whole(array: Array) -> Array:
    """An output as it is."""
    return array


def strip_batch(array: Array) -> Array:
    """An output `[1, ...]` without its first dimension."""
    return array[0] if array.ndim and len(array) == 1 else array


def split(signature: Signature, outputs: Tensors, count: int) -> list[Any]:
    """The outputs of one run, an entry for each instance."""
    for name, array in outputs.items():
        if array.ndim == 0 or len(array) != count:
            raise ModelError(
                f"the model's output {name} has the shape {list(array.shape)}, not a row for each of "
                f"the {count} instances: send the tensors by their names"
            )
    columns = {name: tensors.listed(array) for name, array in outputs.items()}
    if len(signature.outputs) == 1:
        return next(iter(columns.values()))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def unbatched(signature: Signature, outputs: Tensors) -> Any:
    """The outputs of one run of one instance."""
    has_batch = any(spec.shape and spec.shape[0] == 1 for spec in signature.inputs)
    strip = strip_batch if has_batch else whole
    values = {name: tensors.to_json(strip(array)) for name, array in outputs.items()}
    return next(iter(values.values())) if len(values) == 1 else values


def example(spec: TensorSpec) -> Array:
    """The plainest tensor that fits: zeros or empty strings, one where any size may be."""
    shape = [max(1, size) if size < 0 else size for size in spec.shape]
    fill: Any = "" if spec.datatype == "BYTES" else 0
    return np.full(shape, fill, DTYPES[spec.datatype])
