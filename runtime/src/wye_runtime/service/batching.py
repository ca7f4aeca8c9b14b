"""Rows of several requests as one, and the outputs as each request's own again: never across shapes."""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from wye_runtime.protocol import DYNAMIC, Signature, Tensors


class Unsplittable(Exception):
    """The outputs of a joined run have not one row for each row that went in."""


def fixed_tensor(signature: Signature) -> str | None:
    """The first tensor whose first dimension is fixed; None where rows of several requests may be joined."""
    tensors = (*signature.inputs, *signature.outputs)
    return next((spec.name for spec in tensors if not spec.has_free_batch), None)


def elements(feeds: Tensors) -> int:
    """How many values all tensors have."""
    if len(feeds) == 1:
        [array] = feeds.values()
        return int(array.size)
    return sum(array.size for array in feeds.values())


def shapes_of(feeds: Tensors) -> Hashable:
    """Requests may be joined whose rows have the same shapes."""
    return tuple((name, array.shape[1:]) for name, array in feeds.items())


def has_one_kind(signature: Signature) -> bool:
    """Whether all rows are of the same shape, so that requests differ in the outputs that they ask for at most."""
    return all(DYNAMIC not in spec.shape[1:] for spec in signature.inputs)


def rows_of(feeds: Tensors) -> int:
    """How many rows a request has; 0 where its tensors do not agree, or one is a scalar, or there are none."""
    if len(feeds) == 1:
        [array] = feeds.values()
        return len(array) if array.ndim else 0
    if not feeds:
        return 0
    counts = {len(array) if array.ndim else 0 for array in feeds.values()}
    return counts.pop() if len(counts) == 1 else 0


def joined(each: Sequence[Tensors]) -> Tensors:
    """The rows of several requests, one behind the other: arrays `[n, ...]` become one `[N, ...]` for each input."""
    return {name: np.concatenate([feeds[name] for feeds in each]) for name in each[0]}


def check_rows(outputs: Tensors, counts: Sequence[int]) -> None:
    """Whether a joined run gave as many rows as went in."""
    total = sum(counts)
    if any([array.ndim == 0 or len(array) != total for array in outputs.values()]):
        raise Unsplittable


def parted(outputs: Tensors, counts: Sequence[int]) -> Iterator[Tensors]:
    """The outputs of each request, in the order in which they were joined."""
    check_rows(outputs, counts)
    begin = 0
    for count in counts:
        yield {name: array[begin : begin + count] for name, array in outputs.items()}
        begin += count
