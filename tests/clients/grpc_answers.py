"""What `calling_grpc.py` must get: with the right key or token, and without."""

from __future__ import annotations

RIGHT = [0.5695]
MANY = [0.5175]  # of a row of ones
ANSWERS = {
    **dict.fromkeys(("triton: live", "triton: ready", "triton: model ready", "triton: model ready, version"), True),
    **{"triton: server": "wye-runtime", "triton: model": ["x"], "triton aio: ready": True},
    **dict.fromkeys((f"triton: infer{way}" for way in ("", ", named", ", gzip", ", deflate", ", later")), RIGHT),
    **dict.fromkeys((f"grpcio: infer{way}" for way in ("", ", typed", ", gzip", ", later")), RIGHT),
    **{
        "triton: infer, 8 MB": MANY,
        "grpcio: infer, 8 MB": MANY,
        "triton aio: infer": RIGHT,
        "grpcio aio: infer": RIGHT,
    },
}
NO_MODEL = 'NOT_FOUND there is no model "other" here; this is fraud'
ERRORS = {
    **dict.fromkeys(("triton: another model", "triton aio: another model", "grpcio aio: another model"), NO_MODEL),
    "triton: another version": 'NOT_FOUND model fraud has the version 1 here, not "9"',
    "triton: a wrong shape": (
        'INVALID_ARGUMENT wrong inputs: "x" shape is [1, 3], the model wants [-1, 7] (-1: any size)'
    ),
    "triton: another deployment": "NOT_FOUND no deployment has the name in azureml-model-deployment",
    "triton: no time": "DEADLINE_EXCEEDED",
    "triton: a call of Triton's own": (
        'UNIMPLEMENTED there is no call "/inference.GRPCInferenceService/RepositoryIndex" here'
    ),
    "grpcio: too large": "RESOURCE_EXHAUSTED the request body is larger than limits.maxRequestBytes",
    "grpcio: a stream": 'UNIMPLEMENTED there is no call "/inference.GRPCInferenceService/ModelStreamInfer" here',
}
NEEDED = {
    "Key": "UNAUTHENTICATED a valid key or token is needed: Authorization: Bearer KEY-OR-TOKEN, or api-key: KEY",
    "Token": "UNAUTHENTICATED a valid token is needed: Authorization: Bearer TOKEN",
}
EARLIER = {"triton: no time"}  # may be over before anybody asks for a key
