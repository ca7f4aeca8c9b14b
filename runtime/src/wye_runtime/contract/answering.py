"""A model's output tensor into the values of one answered field, a value for each instance."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wye_runtime import tensors
from wye_runtime.contract.declared import Output
from wye_runtime.errors import ModelError, ModelInvalid
from wye_runtime.protocol import DTYPES, FLOATS, INTEGERS, Array, TensorSpec

Values = Callable[[Array], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class BoundOutput:
    """One answered field and how it is made from its tensor's rows."""

    output: Output
    spec: TensorSpec
    values: Values
    is_list: bool = False  # the rows are what was found in one instance, any number of things

    def of(self, array: Array, count: int) -> Sequence[Any]:
        """A value for each of the instances of one run."""
        if self.is_list:
            return [list(self.values(array))]
        return self.values(rows_of(self.spec, array, count))


def rows_of(spec: TensorSpec, array: Array, count: int) -> Array:
    """The output with one row for each instance."""
    if array.ndim == 0:
        array = array.reshape(1)
    if len(array) != count:
        raise ModelError(f"the model's output {spec.name} has the shape {list(array.shape)} for {count} instances")
    return array


def bound_output(output: Output, spec: TensorSpec, *, finds: bool = False) -> BoundOutput:
    """Decides once, at load, how the field is made; what cannot be made is a ModelInvalid."""
    is_list = finds and spec.has_free_batch
    if output.thresholds is not None:
        return BoundOutput(output, spec, scale(output, spec), is_list)
    if output.labels is not None:
        return BoundOutput(output, spec, classes(output, spec), is_list)
    pick = picked(output, spec)
    return BoundOutput(output, spec, lambda rows: tensors.listed(pick(rows)), is_list)


def width(spec: TensorSpec) -> int:
    """How many values an instance has; -1 when only a run can tell."""
    return 1 if len(spec.shape) < 2 else spec.shape[1] if len(spec.shape) == 2 else -1


def picked(output: Output, spec: TensorSpec) -> Callable[[Array], Array]:
    """The rows of a tensor down to what the field shows."""
    index = output.index
    if index is not None and len(spec.shape) > 2:
        raise wrong(output, spec, "index needs a tensor of shape [N, k]")
    if index is not None and 0 <= width(spec) <= index:
        raise wrong(output, spec, f"index {index} is outside of it")
    if index is None and width(spec) != 1:
        return lambda rows: rows
    return lambda rows: rows if rows.ndim == 1 else column(rows, index or 0)


def column(rows: Array, index: int) -> Array:
    """One column of an output `[n, k]`, or a ModelError where the model gave something else."""
    if rows.ndim != 2 or index >= rows.shape[1]:
        raise ModelError(f"the model gave {list(rows.shape)}, the contract wants column {index}")
    return rows[:, index]


def scale(output: Output, spec: TensorSpec) -> Values:
    """Labels by thresholds, compared in the tensor's own precision; no label for NaN."""
    if spec.datatype not in FLOATS | INTEGERS:
        raise wrong(output, spec, "thresholds need numbers")
    if output.index is None and width(spec) != 1:
        raise wrong(output, spec, "thresholds need one number an instance: name the index")
    pick, labels = picked(output, spec), output.labels or ()
    is_float = spec.datatype in FLOATS
    exact = np.array(output.thresholds).astype(DTYPES[spec.datatype] if is_float else np.float64)
    edges = exact.astype(np.float64).tolist()

    def values(rows: Array) -> list[str | None]:
        numbers = pick(rows).astype(np.float64).tolist()
        return [labels[bisect_right(edges, number)] if number == number else None for number in numbers]

    return values


def classes(output: Output, spec: TensorSpec) -> Values:
    """The label of the highest score, or of an index that the model gives."""
    if spec.datatype in INTEGERS and width(spec) == 1:
        return by_index(output, spec)
    if spec.datatype not in FLOATS | INTEGERS or len(spec.shape) != 2 or output.index is not None:
        raise wrong(output, spec, "labels alone need a score for each label, or one integer")
    labels = output.labels or ()
    if width(spec) not in (-1, len(labels)):
        raise wrong(output, spec, f"it has {width(spec)} scores for {len(labels)} labels")
    return lambda rows: [labels[at] for at in best(rows, len(labels))]


def best(rows: Array, count: int) -> Array:
    """For each row where the highest of its scores is; there must be one for each label."""
    if rows.ndim != 2 or rows.shape[1] != count:
        raise ModelError(f"the model gave {list(rows.shape)}, the contract has {count} labels")
    highest: Array = np.argmax(rows.astype(np.float64), axis=1)
    return highest


def by_index(output: Output, spec: TensorSpec) -> Values:
    """The label whose place the model names."""
    pick, labels = picked(output, spec), output.labels or ()

    def values(rows: Array) -> list[str]:
        classes = [int(each) for each in pick(rows)]
        if any(not 0 <= each < len(labels) for each in classes):
            raise ModelError(f"the model gave a class outside of the {len(labels)} labels")
        return [labels[each] for each in classes]

    return values


def wrong(output: Output, spec: TensorSpec, why: str) -> ModelInvalid:
    """What is said at load of an output that its tensor cannot give."""
    return ModelInvalid(
        f"the contract's output {output.name} does not fit the model's tensor {spec.name} "
        f"({spec.datatype} {list(spec.shape)}): {why}"
    )
