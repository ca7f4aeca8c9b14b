"""The endpoint's own description, made from the contract and the model's tensors."""

from wye_runtime.openapi.document import document
from wye_runtime.openapi.fields import Schema
from wye_runtime.openapi.older import as_20, as_30

__all__ = ["Schema", "as_20", "as_30", "document"]
