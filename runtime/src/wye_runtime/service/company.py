"""Decides at load, by measurement, whether rows of several requests share a run: where it pays and changes nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wye_runtime.engine.model import Model
from wye_runtime.errors import ModelError
from wye_runtime.protocol import FLOATS, INTEGERS, Array, Tensors
from wye_runtime.service.batching import fixed_tensor
from wye_runtime.service.measuring import run_seconds
from wye_runtime.settings import BatchingSettings
from wye_runtime.tensors import is_float

SIZES = (2, 8, 32, 64)  # rows of a run that are tried
GAIN = 1.15  # so many times the rows a second, at least
LONGEST = 1e-3  # seconds of a common run: the loop waits for it
LONGEST_IN_THREADS = 0.1  # the slot's next callers wait for it
COMPARED = 8  # rows that run alone and together
ROUNDING = 32  # units in the last place, of the largest value, that another order of adding may make
SEED = 7
BF16_EPSILON = 2.0**-7


@dataclass(frozen=True, slots=True)
class Batching:
    """At most so many rows a run; 1: every request runs alone."""

    rows: int
    why: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What can be measured: a model, a warm-up's input, and how long a common run may take."""

    model: Model
    feeds: Tensors | None
    names: Sequence[str]
    longest: float = LONGEST


def batching(trial: Trial, asked: BatchingSettings) -> Batching:
    """What is asked for, or what measuring says."""
    model, feeds = trial.model, trial.feeds
    if asked.mode == "Never":
        return Batching(1, "batching.mode is Never")
    if model.pictures:
        return Batching(1, "a run decodes one picture")
    fixed = fixed_tensor(model.signature)
    if fixed is not None:
        return Batching(1, f"the first dimension of {fixed} is fixed")
    most = asked.maxBatchSize or SIZES[-1]
    if asked.mode == "Always":
        return Batching(most, "batching.mode is Always")
    if feeds is None:
        return Batching(1, "no warm-up run to measure")
    return measured(trial, {name: array[:1] for name, array in feeds.items()}, most)


def measured(trial: Trial, row: Tensors, most: int) -> Batching:
    """Whether rows stay as they are in company, then whether company pays."""
    model, names = trial.model, trial.names
    alone = run_seconds(model, row, names)
    if alone * SIZES[0] > trial.longest:
        return Batching(1, f"a run of one row takes {alone * 1000:.0f} ms: company would make others wait too long")
    found = compared(model, row, names)
    if isinstance(found, Batching):
        return found
    best, gain = 1, GAIN
    for size in (each for each in SIZES if each <= most):
        taken = seconds_of(model, repeated(row, size), names)
        if taken > trial.longest:
            break
        if size * alone / taken >= gain:
            best, gain = size, size * alone / taken
    if best == 1:
        return Batching(1, f"company does not pay; {found}")
    return Batching(best, f"{best} rows a run are {gain:.1f} times the rows a second; {found}")


def seconds_of(model: Model, rows: Tensors, names: Sequence[str]) -> float:
    """Infinite where so many rows are too many: a GPU's memory may have a bound."""
    try:
        return run_seconds(model, rows, names)
    except ModelError:
        return math.inf


def compared(model: Model, row: Tensors, names: Sequence[str]) -> Batching | str:
    """Different rows, alone and together: what was found, or why nothing is batched."""
    rows = different(model, row, names)
    if rows is None:
        return Batching(1, "no different rows that the model takes are known, so company could not be tried")
    try:
        together = model.run(rows, names)
        alone = [model.run({n: a[at : at + 1] for n, a in rows.items()}, names) for at in range(COMPARED)]
    except ModelError:
        return Batching(1, "the model fails on several rows")
    apart = 0.0
    for name in names:
        one_by_one = np.concatenate([each[name] for each in alone])
        if one_by_one.shape != together[name].shape:
            return Batching(1, f"{name} has not one row for each row that goes in")
        apart = max(apart, distance(one_by_one, together[name]))
    if apart > ROUNDING:
        return Batching(1, "a row's outputs change with the rows beside it (dynamic quantisation, or time)")
    return "rows are the same in company, " + ("bit by bit" if apart == 0 else "but for rounding")


def distance(one: Array, other: Array) -> float:
    """How far apart, in units in the last place of the largest value; infinite where anything else differs."""
    if not is_float(one):
        return 0.0 if np.array_equal(one, other) else math.inf
    a, b = one.astype(np.float64), other.astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return math.inf
    a, b = a[finite], b[finite]
    apart = float(np.abs(a - b).max(initial=0.0))
    largest = float(np.abs([a, b]).max(initial=0.0))
    unit = float(np.finfo(one.dtype).eps) if one.dtype.kind == "f" else BF16_EPSILON
    return apart / (unit * largest) if apart else 0.0


def repeated(row: Tensors, count: int) -> Tensors:
    """Tensors `[1, ...]` as `[count, ...]`: the same row each time."""
    return {name: np.repeat(array, count, axis=0) for name, array in row.items()}


def different(model: Model, row: Tensors, names: Sequence[str]) -> Tensors | None:
    """Rows unlike each other that the model takes: first everything varies, then numbers that are no indices."""
    datatypes = {spec.name: spec.datatype for spec in model.signature.inputs}
    for kinds in (FLOATS | INTEGERS | {"BOOL"}, FLOATS):
        varied = [name for name, datatype in datatypes.items() if datatype in kinds]
        if not varied:
            continue
        rows = repeated(row, COMPARED)
        random = np.random.default_rng(SEED)
        for name in varied:
            rows[name] = VARIED[kind_of(datatypes[name])](rows[name], random)
        try:
            model.run(rows, names)
        except ModelError:
            continue
        return rows
    return None


def kind_of(datatype: str) -> str:
    """How a datatype's values are made up."""
    return "float" if datatype in FLOATS else "bool" if datatype == "BOOL" else "integer"


def floats(array: Array, random: np.random.Generator) -> Array:
    """Each row on a scale of its own, since a scale is what quantisation shares."""
    scale = 4.0 ** np.arange(-2, COMPARED - 2).reshape(-1, *[1] * (array.ndim - 1))
    values = array.astype(np.float64)
    varied: Array = (values + random.normal(size=array.shape) * scale).astype(array.dtype)
    return varied


def integers(array: Array, random: np.random.Generator) -> Array:
    """Small ones, of the array's shape and dtype: they may be indices."""
    varied: Array = random.integers(0, 4, array.shape).astype(array.dtype)
    return varied


def booleans(array: Array, random: np.random.Generator) -> Array:
    """Both, of the array's shape."""
    return random.integers(0, 2, array.shape).astype(np.bool_)


VARIED = {"float": floats, "integer": integers, "bool": booleans}
