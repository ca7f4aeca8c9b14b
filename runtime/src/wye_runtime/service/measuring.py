"""Decides at load, by measurement, which runs are so short that a thread hand-over would cost as much as they do."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wye_runtime.model import Model
from wye_runtime.protocol import Tensors

INLINE_BELOW = 50e-6  # seconds: about two thread hand-overs
SAMPLES = 20
SAMPLED_BELOW = 1e-3  # no need to repeat a run that is clearly longer
ROWS = 32


@dataclass(frozen=True, slots=True)
class Placement:
    """Runs of at most so many input elements happen in the event loop; 0: none does."""

    elements: int
    why: str


def placement(model: Model, batches: Sequence[Tensors], names: Sequence[str]) -> Placement:
    """Where runs happen, judged by the warm-up's last input."""
    if not batches:
        return Placement(0, "no warm-up run to measure")
    feeds = batches[0]
    median = median_run(model, feeds, names)
    why = f"a run takes {median * 1e6:.0f} us"
    if median >= INLINE_BELOW:
        return Placement(0, why)
    if model.has_free_duration():
        return Placement(0, f"{why}, but its nodes' time may depend on values (or it is large)")
    rows = repeated(model, feeds)
    if rows and median_run(model, rows, names) < INLINE_BELOW:
        feeds = rows
    return Placement(max(1, elements(feeds)), f"{why} for up to {elements(feeds)} input elements")


def repeated(model: Model, feeds: Tensors) -> Tensors:
    """The same input as a batch of several rows, where the model takes one."""
    if not all(spec.has_free_batch for spec in model.signature.inputs):
        return {}
    return {name: np.repeat(array[:1], ROWS, axis=0) for name, array in feeds.items()}


def elements(feeds: Tensors) -> int:
    return sum(array.size for array in feeds.values())


def median_run(model: Model, feeds: Tensors, names: Sequence[str]) -> float:
    """The model's own time for one run, in seconds."""
    samples: list[float] = []
    while len(samples) < SAMPLES:
        began = time.perf_counter()
        model.run(feeds, names)
        samples.append(time.perf_counter() - began)
        if samples[-1] > SAMPLED_BELOW and len(samples) >= 3:
            break
    return statistics.median(samples)
