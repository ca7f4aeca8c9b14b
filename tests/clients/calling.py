"""A caller with clients that nobody here wrote: `calling.py URL HEADER VALUE` prints what each of them got, as JSON.

Runs in an environment with kserve and tritonclient, and knows nothing of Wye.
"""

import asyncio
import json
import sys
from urllib.parse import urlsplit

import numpy as np
import tritonclient.http as triton
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from tritonclient.utils import InferenceServerException

MODEL = "fraud"
ROWS = np.array([[1, 2, 3, 4, 5, 6, 7]], dtype=np.float32)


def by_triton(url: str, headers: dict[str, str], *, binary: bool) -> list[float]:
    """With the protocol's binary extension, or in JSON."""
    client = triton.InferenceServerClient(urlsplit(url).netloc)
    tensor = triton.InferInput("x", list(ROWS.shape), "FP32")
    tensor.set_data_from_numpy(ROWS, binary_data=binary)
    wanted = [triton.InferRequestedOutput("probability", binary_data=binary)]
    answer = client.infer(MODEL, [tensor], outputs=wanted, headers=dict(headers))  # it writes into them
    return [float(value) for value in answer.as_numpy("probability").ravel()]


async def by_kserve(url: str, headers: dict[str, str]) -> list[float]:
    """KServe's own inference client, over the same protocol."""
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    tensor = InferInput("x", list(ROWS.shape), "FP32")
    tensor.set_data_from_numpy(ROWS, binary_data=False)
    request = InferRequest(model_name=MODEL, infer_inputs=[tensor])
    answer = await client.infer(url, request, model_name=MODEL, headers={"content-type": "application/json", **headers})
    return [float(value) for value in answer.outputs[0].as_numpy().ravel()]


def said(error: Exception) -> str:
    """Its status and words; `str` of tritonclient's error fails where `error` in the answer is no string."""
    if isinstance(error, InferenceServerException):
        return f"{error.status()} {error.message()}"
    return f"{type(error).__name__}: {error}"


def main() -> None:
    url, name, value = sys.argv[1:]
    headers = {name: value} if name else {}
    ways = {
        "tritonclient, binary": lambda: by_triton(url, headers, binary=True),
        "tritonclient, JSON": lambda: by_triton(url, headers, binary=False),
        "kserve": lambda: asyncio.run(by_kserve(url, headers)),
    }
    told = {}
    for way, call in ways.items():
        try:
            told[way] = call()
        except Exception as error:  # noqa: BLE001  each client has errors of its own
            told[way] = said(error)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
