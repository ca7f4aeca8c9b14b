"""Bodies into tensors and back, without transport or model: the protocol's, and /score's without a contract."""

from wye_runtime.codecs.bodies import dumps, loads
from wye_runtime.codecs.infer import InferCodec, InferRequest
from wye_runtime.codecs.media import Media, check_charset, media_of
from wye_runtime.codecs.scores import Score, example, score, score_csv

__all__ = [
    "InferCodec",
    "InferRequest",
    "Media",
    "Score",
    "check_charset",
    "dumps",
    "example",
    "loads",
    "media_of",
    "score",
    "score_csv",
]
