"""Where the model server's program is."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from wye_operator.errors import WyeError


def find_runtime() -> tuple[str, ...]:
    """The runtime beside this interpreter, else on PATH. Raises WyeError with a sentence on how to get it."""
    beside = Path(sys.executable).with_name("wye-runtime")
    found = str(beside) if beside.exists() else shutil.which("wye-runtime")
    if found is None:
        raise WyeError("wye-runtime is not installed: pip install 'wye-operator[local]' brings it")
    return (found,)
