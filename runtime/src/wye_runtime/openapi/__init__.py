"""The endpoint's description as OpenAPI 3.1, made from the contract or, without one, from the model's tensors."""

from wye_runtime.openapi.document import document

__all__ = ["document"]
