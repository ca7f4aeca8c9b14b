"""Decides at load, by measurement, which runs are so short that a thread hand-over would cost as much as they do."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wye_runtime.engine.model import Model
from wye_runtime.protocol import Tensors
from wye_runtime.service.batching import elements

INLINE_BELOW = 50e-6  # seconds: about two thread hand-overs
SAMPLES = 20
SAMPLED_BELOW = 1e-3  # no need to repeat a run that is clearly longer
ROWS = 32
INLINE_LIMIT = 5e-3  # seconds of the loop's thread; an inline answer that takes longer is a long one
INLINE_NEVER = 0.1  # one that takes this long is the last one
LONG_SHARE = 100  # one long answer in so many is a pause of the machine or of the collector; more is the model
LONG_RUNS = 3  # that many more than their share, and runs move to threads


@dataclass(frozen=True, slots=True)
class Placement:
    """Runs of at most so many input elements happen in the event loop; 0: none does."""

    elements: int
    why: str


@dataclass(slots=True)
class Patience:
    """Watches what inline answers really take, since a run's time may depend on values that load never saw.

    The thread's own time costs two system calls a run: it is asked for only after a run that was long by the clock.
    """

    strikes: int = 0
    alert: int = 0  # runs that are still to be measured

    def heard(self, seconds: float) -> None:
        """A run was so long by the clock, which counts what others did to this machine meanwhile."""
        if seconds > INLINE_LIMIT:
            self.alert = LONG_SHARE
        elif self.alert:
            self.alert -= 1

    def is_over(self, seconds: float) -> bool:
        """Whether an answer that took so long, after those before it, is one too many."""
        if seconds > INLINE_LIMIT:
            self.strikes += LONG_SHARE
        else:
            self.strikes = max(0, self.strikes - 1)
        return seconds > INLINE_NEVER or self.strikes > LONG_SHARE * LONG_RUNS


def placement(model: Model, batches: Sequence[Tensors], names: Sequence[str]) -> Placement:
    """Where runs happen, judged by the warm-up's last input."""
    if not batches:
        return Placement(0, "no warm-up run to measure")
    feeds = batches[0]
    taken = run_seconds(model, feeds, names)
    why = f"a run takes {taken * 1e6:.0f} us"
    if taken >= INLINE_BELOW:
        return Placement(0, why)
    if model.has_free_duration():
        return Placement(0, f"{why}, but its nodes' time may depend on values (or it is large)")
    rows = repeated(model, feeds)
    if rows and run_seconds(model, rows, names) < INLINE_BELOW:
        feeds = rows
    return Placement(max(1, elements(feeds)), f"{why} for up to {elements(feeds)} input elements")


def repeated(model: Model, feeds: Tensors) -> Tensors:
    """The same input as a batch of several rows, where the model takes one."""
    if not all(spec.has_free_batch for spec in model.signature.inputs):
        return {}
    return {name: np.repeat(array[:1], ROWS, axis=0) for name, array in feeds.items()}


def run_seconds(model: Model, feeds: Tensors, names: Sequence[str]) -> float:
    """The model's own time for one run: the least of several, since whatever else a machine does only adds to it."""
    samples: list[float] = []
    while len(samples) < SAMPLES:
        began = time.perf_counter()
        model.run(feeds, names)
        samples.append(time.perf_counter() - began)
        if samples[-1] > SAMPLED_BELOW and len(samples) >= 3:
            break
    return min(samples)
