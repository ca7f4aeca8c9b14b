"""Pictures and text as bodies, and the operators of onnxruntime-extensions that read them inside of a model."""

from wye_runtime.media.extensions import library, missing_operator
from wye_runtime.media.graph import picture_inputs
from wye_runtime.media.pictures import MOST_PIXELS, SAMPLE, decodable

__all__ = ["MOST_PIXELS", "SAMPLE", "decodable", "library", "missing_operator", "picture_inputs"]
