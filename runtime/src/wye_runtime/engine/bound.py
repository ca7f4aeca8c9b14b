"""Runs by CUDA graphs: tensors that stay where they are on the device, and one recording for each shape of inputs.

ONNX Runtime records what a run does on the GPU and plays it again without asking the processor, which wants the same
addresses and shapes. A recording belongs to the thread that made it, and the memory that it computes in to no other run
meanwhile: so all runs of such a model happen in one thread, one after the other. IOBinding is what fixes the addresses;
by itself it gains nothing for tensors that come from callers and go back to them (docs/guides/gpu.md).
"""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]

from wye_runtime.engine.refusals import first_line
from wye_runtime.engine.sessions import ORT_ERRORS
from wye_runtime.protocol import Array, Tensors

RECORDING, NONE = "gpu_graph_id", "-1"  # of a run
MOST = 32  # shapes that are recorded; others run without
SWITCHES = ("enable_cuda_graph", "trt_cuda_graph_enable")
log = logging.getLogger("wye")


class Key(NamedTuple):
    """What a recording is good for."""

    names: tuple[str, ...]
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Device:
    """Where tensors stay."""

    kind: str = "cuda"
    number: int = 0


def device_of(options: Mapping[str, str]) -> Device | None:
    """The device whose runs a provider's options want recorded; None where they do not."""
    if not any(options.get(name) in ("1", "true", "True") for name in SWITCHES):
        return None
    return Device("cuda", int(options.get("device_id", "0")))


class Kept:
    """The tensors of one shape, at their places, and the number of what was recorded with them."""

    def __init__(self, session: ort.InferenceSession, device: Device, number: int, feeds: Tensors) -> None:
        self.session, self.device = session, device
        self.options = options_with(str(number))
        self.binding = session.io_binding()
        self.given = {name: placed(array, device) for name, array in feeds.items()}
        self.taken: list[ort.OrtValue] = []
        for name, value in self.given.items():
            self.binding.bind_ortvalue_input(name, value)

    def take(self, names: Sequence[str], outputs: Sequence[Array]) -> None:
        """Makes room for outputs like these."""
        where = (self.device.kind, self.device.number)
        for name, array in zip(names, outputs, strict=True):
            value = ort.OrtValue.ortvalue_from_shape_and_type(array.shape, array.dtype, *where)
            self.taken.append(value)
            self.binding.bind_ortvalue_output(name, value)

    def run(self, feeds: Tensors) -> list[Array]:
        """Inputs in, the recorded run, outputs out: as arrays of their own, since the next run writes over these."""
        for name, array in feeds.items():
            self.given[name].update_inplace(array)
        self.session.run_with_iobinding(self.binding, self.options)
        outputs = [value.numpy() for value in self.taken]
        return [each.copy() for each in outputs] if self.device.kind == "cpu" else outputs


class Bound:
    """Runs a session by recordings where the shapes allow it, else as ever."""

    def __init__(self, session: ort.InferenceSession, device: Device, most: int = MOST) -> None:
        self.session, self.device, self.most = session, device, most
        self.kept: dict[Key, Kept | None] = {}
        self.plain = options_with(NONE)
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="graph")

    def run(self, names: Sequence[str], feeds: Tensors) -> list[Array]:
        """The outputs of these names; blocks, in whichever thread."""
        return self.thread.submit(self.run_here, list(names), feeds).result()

    def run_here(self, names: list[str], feeds: Tensors) -> list[Array]:
        """In the one thread."""
        key = key_of(names, feeds)
        kept = self.kept.get(key)
        if kept is not None:
            return kept.run(feeds)
        outputs: list[Array] = self.session.run(names, feeds, self.plain)
        if key in self.kept or len(self.kept) >= self.most:
            return outputs
        self.kept[key] = None  # whatever happens now, it is tried once
        if can_stay([*feeds.values(), *outputs]):
            self.record(key, feeds, outputs)
        return outputs

    def record(self, key: Key, feeds: Tensors, outputs: Sequence[Array]) -> None:
        """For the next run of the shape. What cannot be recorded at all is an error, which load tells; where others
        were, as for want of memory, this shape runs without: its request has its answer, and need not fail.
        """
        try:
            kept = Kept(self.session, self.device, len(self.kept), feeds)
            kept.take(key.names, outputs)
            kept.run(feeds)
        except ORT_ERRORS as error:
            if not self.recordings:
                raise
            log.warning("a shape is served without a recording", extra={"why": first_line(error)})
        else:
            self.kept[key] = kept

    @property
    def recordings(self) -> int:
        """How many shapes are recorded."""
        return sum(each is not None for each in self.kept.values())


def key_of(names: Sequence[str], feeds: Tensors) -> Key:
    """Of these outputs and inputs."""
    return Key(tuple(names), tuple((name, array.dtype.str, array.shape) for name, array in sorted(feeds.items())))


def can_stay(arrays: Sequence[Array]) -> bool:
    """Strings have no place on a device, and nothing needs none."""
    return all(array.size and not array.dtype.hasobject for array in arrays)


def placed(array: Array, device: Device) -> ort.OrtValue:
    """A tensor on the device, of memory of its own."""
    return ort.OrtValue.ortvalue_from_numpy(np.array(array, order="C"), device.kind, device.number)


def options_with(recording: str) -> ort.RunOptions:
    """A run of this recording; its errors reach the caller, and not the log twice."""
    options = ort.RunOptions()
    options.log_severity_level = 4
    options.add_run_config_entry(RECORDING, recording)
    return options
