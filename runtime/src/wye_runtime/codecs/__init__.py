"""Bodies into tensors and back, without transport or model: the protocol's, and /score's without a contract."""

from wye_runtime.codecs.bodies import dumps, loads
from wye_runtime.codecs.infer import InferCodec, InferRequest
from wye_runtime.codecs.scores import Score, example, score

__all__ = ["InferCodec", "InferRequest", "Score", "dumps", "example", "loads", "score"]
