"""A caller by gRPC with clients that nobody here wrote: `calling_grpc.py TARGET HEADER VALUE` prints what each got.

Runs in an environment with tritonclient, whose generated messages grpcio uses here, too. It knows nothing of Wye.
"""

import asyncio
import json
import queue
import sys

import grpc
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

MODEL = "fraud"
ROWS = np.array([[1, 2, 3, 4, 5, 6, 7]], dtype=np.float32)
MANY = np.ones((300_000, 7), np.float32)  # 8.4 MB
LIMITS = [(f"grpc.max_{way}_message_length", 1 << 28) for way in ("send", "receive")]


def tensor(of, rows=ROWS):
    made = of.InferInput("x", list(rows.shape), "FP32")
    made.set_data_from_numpy(rows)
    return made


def message(rows=ROWS, model=MODEL):
    made = service_pb2.ModelInferRequest(model_name=model, raw_input_contents=[rows.tobytes()])
    made.inputs.add(name="x", datatype="FP32", shape=rows.shape)
    return made


def values(answer):
    return [round(float(value), 4) for value in answer.as_numpy("probability").ravel()[:1]]


def value_of(answer):
    return [round(float(np.frombuffer(answer.raw_output_contents[0], np.float32)[0]), 4)]


def typed():
    """The other form: values instead of bytes, and so in the answer."""
    made = service_pb2.ModelInferRequest(model_name=MODEL)
    filled = made.inputs.add(name="x", datatype="FP32", shape=ROWS.shape)
    filled.contents.fp32_contents.extend(ROWS.ravel())
    return made


def waited(client, metadata):
    """By callback."""
    told = queue.Queue()
    client.async_infer(
        MODEL, [tensor(triton)], callback=lambda result, error: told.put((result, error)), headers=metadata
    )
    result, error = told.get(timeout=60)
    if error is not None:
        raise error
    return values(result)


def by_triton(target, metadata):
    client = triton.InferenceServerClient(target)
    seven = [tensor(triton)]
    return {
        "live": lambda: client.is_server_live(headers=metadata),
        "ready": lambda: client.is_server_ready(headers=metadata),
        "model ready": lambda: client.is_model_ready(MODEL, headers=metadata),
        "model ready, version": lambda: client.is_model_ready(MODEL, "1", headers=metadata),
        "server": lambda: client.get_server_metadata(headers=metadata).name,
        "model": lambda: [each.name for each in client.get_model_metadata(MODEL, headers=metadata).inputs],
        "infer": lambda: values(client.infer(MODEL, seven, headers=metadata)),
        "infer, named": lambda: values(client.infer(MODEL, seven, request_id="7", timeout=9, headers=metadata)),
        "infer, gzip": lambda: values(client.infer(MODEL, seven, headers=metadata, compression_algorithm="gzip")),
        "infer, deflate": lambda: values(client.infer(MODEL, seven, headers=metadata, compression_algorithm="deflate")),
        "infer, 8 MB": lambda: values(client.infer(MODEL, [tensor(triton, MANY)], headers=metadata)),
        "infer, later": lambda: waited(client, metadata),
        "another model": lambda: client.infer("other", seven, headers=metadata),
        "another version": lambda: client.infer(MODEL, seven, model_version="9", headers=metadata),
        "a wrong shape": lambda: client.infer(MODEL, [tensor(triton, ROWS[:, :3])], headers=metadata),
        "another deployment": lambda: client.infer(
            MODEL, seven, headers={**metadata, "azureml-model-deployment": "nobody"}
        ),
        "no time": lambda: client.infer(MODEL, [tensor(triton, MANY)], headers=metadata, client_timeout=1e-3),
        "a call of Triton's own": lambda: client.get_model_repository_index(headers=metadata),
    }


def by_grpcio(target, metadata):
    stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(target, LIMITS))
    more = {"metadata": list(metadata.items()), "timeout": 30}
    return {
        "infer": lambda: value_of(stub.ModelInfer(message(), **more)),
        "infer, 8 MB": lambda: value_of(stub.ModelInfer(message(MANY), **more)),
        "infer, typed": lambda: [round(stub.ModelInfer(typed(), **more).outputs[0].contents.fp32_contents[0], 4)],
        "infer, gzip": lambda: value_of(stub.ModelInfer(message(), compression=grpc.Compression.Gzip, **more)),
        "infer, later": lambda: value_of(stub.ModelInfer.future(message(), **more).result()),
        "too large": lambda: stub.ModelInfer(message(np.ones((2_400_000, 7), np.float32)), **more),
        "a stream": lambda: next(stub.ModelStreamInfer(iter([message()]), **more)),
    }


async def by_aio(target, metadata):
    told = {}
    async with triton_aio.InferenceServerClient(target) as client, grpc.aio.insecure_channel(target) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        more = {"metadata": list(metadata.items()), "timeout": 30}
        ways = {
            "triton aio: ready": client.is_server_ready(headers=metadata),
            "triton aio: infer": client.infer(MODEL, [tensor(triton_aio)], headers=metadata),
            "triton aio: another model": client.infer("other", [tensor(triton_aio)], headers=metadata),
            "grpcio aio: infer": stub.ModelInfer(message(), **more),
            "grpcio aio: another model": stub.ModelInfer(message(model="other"), **more),
        }
        for way, call in ways.items():
            try:
                answer = await call
                told[way] = values(answer) if "triton aio: infer" in way else answer
                told[way] = value_of(answer) if "grpcio" in way else told[way]
            except (InferenceServerException, grpc.RpcError) as error:
                told[way] = said(error)
    return told


def said(error):
    """Its status and words; of a deadline client and router have other ones, and either may be first."""
    if isinstance(error, InferenceServerException):
        status, words = str(error.status()).removeprefix("StatusCode."), error.message()
    else:
        status, words = error.code().name, error.details()
    return status if status == "DEADLINE_EXCEEDED" else f"{status} {words}"


def main():
    target, name, value = sys.argv[1:]
    metadata = {name: value} if name else {}
    told = {}
    for who, ways in (("triton", by_triton(target, metadata)), ("grpcio", by_grpcio(target, metadata))):
        for way, call in ways.items():
            try:
                told[f"{who}: {way}"] = call()
            except (InferenceServerException, grpc.RpcError) as error:
                told[f"{who}: {way}"] = said(error)
    told |= asyncio.run(by_aio(target, metadata))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
