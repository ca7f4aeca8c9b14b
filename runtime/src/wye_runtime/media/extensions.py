"""Where the library with the operators of onnxruntime-extensions is; whether an engine's refusal asks for it."""

import re
from importlib.util import find_spec
from pathlib import Path

DOMAINS = ("ai.onnx.contrib", "com.microsoft.extensions")
UNKNOWN = re.compile(rf"({'|'.join(map(re.escape, DOMAINS))}):(\w+)\(-?\d+\) is not a registered function/op")
PATTERNS = ("_extensions_pydll*.so", "_extensions_pydll*.pyd")


def missing_operator(said: str) -> str | None:
    """The operator that ONNX Runtime does not know and the library may have."""
    found = UNKNOWN.search(said)
    return f"{found[1]}:{found[2]}" if found else None


def library() -> Path | None:
    """The library, without importing its package, which would only bring tools for making models."""
    spec = find_spec("onnxruntime_extensions")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for pattern in PATTERNS:
            for found in Path(folder).glob(pattern):
                return found
    return None
