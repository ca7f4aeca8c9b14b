"""Run by the environment of tests/clients: calls a model by tritonclient, over HTTP (JSON and binary) and over gRPC.

    python calling.py HTTP_ADDRESS GRPC_ADDRESS FEEDS.npz ANSWERS.npz

The answers are named WAY/OUTPUT; the feeds are of our own making, so that they may be pickled (strings are objects).
"""

import sys

import numpy as np
import tritonclient.grpc as by_grpc
import tritonclient.http as by_http

MODEL = "toy"


def inputs(client, feeds, **how):
    made = []
    for name, array in feeds.items():
        kind = "BYTES" if array.dtype == object else client.np_to_triton_dtype(array.dtype)
        made.append(client.InferInput(name, list(array.shape), kind))
        made[-1].set_data_from_numpy(array, **how)
    return made


def main(http, grpc, feeds_file, answers_file):
    feeds = dict(np.load(feeds_file, allow_pickle=True))
    web, call = by_http.InferenceServerClient(http), by_grpc.InferenceServerClient(grpc)
    names = [each["name"] for each in web.get_model_metadata(MODEL)["outputs"]]
    assert names == [each.name for each in call.get_model_metadata(MODEL).outputs]
    answers = {}
    for way, is_binary in (("binary", True), ("json", False)):
        asked = [by_http.InferRequestedOutput(name, binary_data=is_binary) for name in names]
        got = web.infer(MODEL, inputs(by_http, feeds, binary_data=is_binary), outputs=asked)
        answers.update({f"{way}/{name}": got.as_numpy(name) for name in names})
    got = call.infer(MODEL, inputs(by_grpc, feeds))
    answers.update({f"grpc/{name}": got.as_numpy(name) for name in names})
    np.savez(answers_file, **answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
