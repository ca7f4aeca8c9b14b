"""What NVIDIA's driver says of this machine, asked by its own library: which GPUs it has, or why none can be used.

Called where a provider on a GPU is asked for. ONNX Runtime writes its reasons into its log alone, and goes on without.
"""

import ctypes
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

DRIVER = "libcuda.so.1"
PROCESSORS = 16  # cuDeviceGetAttribute: of streams; a MIG slice has fewer
NOTHING = "this container has no NVIDIA driver (libcuda.so.1)"
TODO = "does resources.limits ask for a GPU, and does the node start its containers by NVIDIA's runtime?"
MISSING = re.compile(r"(\S+): cannot open shared object file")
Load = Callable[..., Any]


class NoDriver(Exception):
    """Why there is none, in a few words."""


def driver(load: Load = ctypes.CDLL) -> Any:
    """The driver's library, ready to be asked."""
    try:
        library = load(DRIVER)
    except OSError:
        raise NoDriver(f"{NOTHING}: {TODO}") from None
    code = library.cuInit(0)
    if code:
        raise NoDriver(f"NVIDIA's driver says {error_name(library, code)}: {TODO}")
    return library


def error_name(library: Any, code: int) -> str:
    """CUDA_ERROR_NO_DEVICE and its like."""
    name = ctypes.c_char_p()
    library.cuGetErrorName(code, ctypes.byref(name))
    return (name.value or b"error %d" % code).decode()


def asked(function: Callable[..., int], kind: Any, *words: Any) -> Any:
    """What one of the driver's functions writes into its first argument; 0 where it says no."""
    found = kind()
    function(ctypes.byref(found), *words)
    return found.value


def cuda_of(library: Any) -> tuple[int, int]:
    """The newest CUDA that the driver can run, such as (13, 0)."""
    number = asked(library.cuDriverGetVersion, ctypes.c_int)
    return number // 1000, number % 1000 // 10


def gpus(load: Load = ctypes.CDLL, version: Path = Path("/proc/driver/nvidia/version")) -> list[str]:
    """Each GPU that this process may use by kind, memory and processors, and the driver; [] where there is none."""
    try:
        library = driver(load)
    except NoDriver:
        return []
    count = asked(library.cuDeviceGetCount, ctypes.c_int)
    kinds = sorted(described(library, number) for number in range(count))
    return [*kinds, *(version.read_text().splitlines()[:1] if version.exists() else ())]


def described(library: Any, number: int) -> str:
    """A slice (MIG) has a name, memory and processors of its own."""
    device = asked(library.cuDeviceGet, ctypes.c_int, number)
    name = ctypes.create_string_buffer(256)
    library.cuDeviceGetName(name, len(name), device)
    memory = asked(library.cuDeviceTotalMem_v2, ctypes.c_size_t, device)
    processors = asked(library.cuDeviceGetAttribute, ctypes.c_int, PROCESSORS, device)
    return f"{name.value.decode()}, {memory >> 20} MiB, {processors} processors"


def why_away(provider: Path, cuda: str, load: Load = ctypes.CDLL) -> str:
    """Why a provider's library, made for this CUDA, cannot start here, as far as can be seen from outside."""
    try:
        library = driver(load)
    except NoDriver as why:
        return str(why)
    if not asked(library.cuDeviceGetCount, ctypes.c_int):
        return f"NVIDIA's driver sees no GPU: {TODO}"
    has, wanted = cuda_of(library), int(cuda.partition(".")[0] or 0)
    if has[0] < wanted:
        return (
            f"the node's driver runs CUDA {has[0]}.{has[1]} and older, this image wants CUDA {wanted}: renew the driver"
        )
    missing = missing_library(provider, load)
    if missing:
        return f"{missing} is not in this image, and {provider.name} needs it"
    return f"{', '.join(gpus(load))} is there, and ONNX Runtime does not say why"


def missing_library(provider: Path, load: Load) -> str:
    """The first library that a provider's own cannot find; "" where it can be loaded."""
    try:
        load(str(provider.with_name("libonnxruntime_providers_shared.so")), ctypes.RTLD_GLOBAL)
        load(str(provider))
    except OSError as error:
        found = MISSING.search(str(error))
        return found[1] if found else ""
    return ""
