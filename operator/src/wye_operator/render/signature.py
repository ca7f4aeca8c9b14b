"""What a model server says of its model on its inner port, read back (docs/concepts/wire.md)."""

from __future__ import annotations

import json
from typing import Any

from wye_operator.plan.world import Signature, TensorSeen


def signature(text: str) -> Signature:
    """The page `/signature`. Raises ValueError, KeyError or TypeError when it is none."""
    model = json.loads(text)["model"]
    return Signature(
        name=str(model["name"]),
        version=str(model["version"]),
        sha256=str(model["sha256"]),
        size_bytes=int(model["sizeBytes"]),
        inputs=tuple(_tensor(tensor) for tensor in model["inputs"]),
        outputs=tuple(_tensor(tensor) for tensor in model["outputs"]),
    )


def _tensor(tensor: dict[str, Any]) -> TensorSeen:
    return TensorSeen(str(tensor["name"]), str(tensor["datatype"]), tuple(int(d) for d in tensor["shape"]))
