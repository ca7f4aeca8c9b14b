"""Callers' fields over a model's tensors: declared in the configuration, bound to the model at load."""

from wye_runtime.contract.binding import bound
from wye_runtime.contract.contract import Contract
from wye_runtime.contract.declared import Declared, Field, Output, parse
from wye_runtime.contract.plain import PlainScores
from wye_runtime.contract.scoring import scored

__all__ = ["Contract", "Declared", "Field", "Output", "PlainScores", "bound", "parse", "scored"]
