"""The serving port's HTTP protocol: bounds for every request, and a short way for those that want a run.

A class on top of uvicorn's own, whose internals it leans on; `tests/runtime/test_uvicorn.py` names each of them.
"""

from wye_runtime.fastlane.bounded import BoundedProtocol
from wye_runtime.fastlane.lane import Lane
from wye_runtime.fastlane.protocol import FastProtocol

__all__ = ["BoundedProtocol", "FastProtocol", "Lane"]
