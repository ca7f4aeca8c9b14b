"""Scoring scripts in our runtime: what the process does around them. What they answer: tests/clients/test_azure.py."""

import concurrent.futures
import hashlib
import itertools
import time
from pathlib import Path

import httpx
import pytest

from runtime.conftest import Server, Servers

GIVES = "def init():\n    pass\n\n\ndef run(data):\n    return data\n"
COUNT = itertools.count()
SLOW = """
import time

def init():
    global told
    told = []

def run(data):
    if data == "told":
        return told
    end = time.monotonic() + float(data)
    while time.monotonic() < end:
        try:
            time.sleep(0.01)
        except Exception:
            pass
    told.append(data)
    return data
"""


def started(servers: Servers, source: str | dict[str, str], environment=None, **config) -> Server:
    """A server of a script, which is not waited for."""
    number = next(COUNT)
    folder = servers.root / f"script-{number}"
    folder.mkdir()
    for name, text in ({"score.py": source} if isinstance(source, str) else source).items():
        (folder / name).write_text(text)
    settings = {"script": {"folder": str(folder), "file": "score.py"}, **config}
    server = Server(servers.root / f"of-script-{number}", settings, environment)
    servers.started.append(server)
    return server


def score(server: Server, body: str) -> httpx.Response:
    return server.http.post("/score", content=body, headers={"content-type": "application/json"})


BROKEN = {
    "no file": ({"other.py": "", "more.py": ""}, "UserScriptImportError", "the code has no file score.py: it has"),
    "a module that is not there": (
        "import no_such_module",
        "UserScriptImportError",
        "No module named 'no_such_module'",
    ),
    "no Python": ("\ndef init(:", "UserScriptImportError", "SyntaxError: invalid syntax (score.py, line 2)"),
    "a model that was not named": (
        "import os\ndef init():\n    os.environ['AZUREML_MODEL_DIR']\ndef run(data): pass",
        "UserScriptInitFailed",
        "KeyError: 'AZUREML_MODEL_DIR': it has no model, as model.uri is not set\n",
    ),
    "an exit at its import": ("import sys; sys.exit(7)", "UserScriptImportError", "SystemExit: 7"),
    "no run": ("def init(): pass", "UserScriptFunctionNotFound", "score.py has no function run()"),
    "no init": ("def run(data): pass", "UserScriptFunctionNotFound", "score.py has no function init()"),
    "run without an argument": (
        "def init(): pass\ndef run(): pass",
        "UserScriptFunctionNotFound",
        "to accept an argument",
    ),
    "run with any arguments": (
        *("def init(): pass\ndef run(*data): pass", "UserScriptFunctionNotFound"),
        "run() cannot accept positional-only arguments, *args, or **kwargs",
    ),
    "both decorators": (
        "from azureml.contrib.services.aml_request import rawhttp\n"
        "from inference_schema.schema_decorators import input_schema\n"
        "from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType\n"
        "def init(): pass\n@rawhttp\n@input_schema('data', StandardPythonParameterType('a'))\ndef run(data): pass",
        "UserScriptFunctionNotFound",
        "both @rawhttp and @input_schema",
    ),
    "init that fails": (
        "def init():\n    open('/no/such/model.pkl')\ndef run(data): pass",
        "UserScriptInitFailed",
        "init() of score.py failed: FileNotFoundError: [Errno 2] No such file or directory: '/no/such/model.pkl'\n",
    ),
    "an exit in init": (
        "import sys\ndef init(): sys.exit(0)\ndef run(data): pass",
        "UserScriptInitFailed",
        "SystemExit",
    ),
}


@pytest.mark.parametrize(("source", "reason", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_a_script_that_cannot_serve(servers: Servers, source, reason: str, words: str):
    server = started(servers, source)
    assert server.ended() == 3
    told = server.last_words()
    assert told["reason"] == reason
    assert words in told["message"]


def test_the_last_words_end_with_where_it_happened(servers: Servers):
    server = started(servers, "def deep():\n    raise ValueError('so')\ndef init():\n    deep()\ndef run(data): pass")
    assert server.ended() == 3
    first, *traced = server.last_words()["message"].splitlines()
    assert first == "init() of score.py failed: ValueError: so"
    assert [line.strip() for line in traced][1::2] == ["deep()", "raise ValueError('so')"]


WRONG = {
    "a contract": ({"contract": {"inputs": [], "outputs": []}}, "contract cannot stand beside script"),
    "a file outside": ({"script": {"folder": "/tmp", "file": "../score.py"}}, "script.file is"),
    "no file": ({"script": {"folder": "/tmp"}}, "want script.folder and script.file"),
    "another key": ({"script": {"folder": "/tmp", "file": "a.py", "main": "b"}}, "script has unknown keys main"),
}


@pytest.mark.parametrize(("config", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_configuration_that_is_wrong(servers: Servers, config: dict, words: str):
    server = started(servers, GIVES, **config)
    assert server.ended() == 2
    assert words in server.last_words()["message"]


def test_a_wrong_variable(servers: Servers):
    server = started(servers, GIVES, {"SCORING_TIMEOUT_MS": "soon"})
    assert server.ended() == 2
    assert server.last_words()["message"].startswith("SCORING_TIMEOUT_MS is")


@pytest.fixture(scope="module")
def slow(servers: Servers) -> Server:
    settings = {"requestTimeoutMs": 500, "maxQueueWaitMs": 100}
    return started(servers, SLOW, requestSettings=settings, deployment="default/slow").ready()


def test_one_at_a_time(slow: Server):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        statuses = sorted(answer.status_code for answer in pool.map(lambda _: score(slow, "0.3"), range(4)))
    assert statuses == [200, 429, 429, 429]


def test_a_run_that_is_late_is_ended_and_leaves_its_place(slow: Server):
    answer = score(slow, "60")
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "RequestTimeout")
    deadline = time.monotonic() + 20
    while score(slow, "told").status_code != 200:
        assert time.monotonic() < deadline, "the place is still taken"
    assert slow.load()["active"] == 0
    assert slow.metric('wye_requests_dropped_total{reason="timeout"}') == 1


def test_several_at_once_where_asked(servers: Servers):
    settings = {"maxConcurrentRequestsPerInstance": 3, "maxQueueWaitMs": 0}
    server = started(servers, SLOW, requestSettings=settings).ready()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert [answer.status_code for answer in pool.map(lambda _: score(server, "0.3"), range(3))] == [200] * 3


def test_azures_own_time_out(servers: Servers):
    server = started(servers, SLOW, {"SCORING_TIMEOUT_MS": "200"}).ready()
    answer = score(server, "60")
    assert (answer.status_code, answer.json()) == (500, {"message": "Scoring timeout after 200 ms"})
    assert answer.headers["x-ms-run-function-failed"] == "True"


def test_a_drain_waits_for_a_run(servers: Servers, wait_until):
    server = started(servers, SLOW).ready()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(score, server, "0.5")
        wait_until(lambda: server.load()["active"], "the run did not begin")
        server.tell()
        assert answer.result().status_code == 200
    assert server.ended() == 0


def test_the_operators_questions(slow: Server):
    page = slow.inner.get("/signature").json()
    assert (page["script"], page["model"]["inputs"], page["model"]["sha256"]) == ("score.py", [], "")
    assert slow.inner.get("/load").json()["capacity"] == 1
    asked = [
        slow.http.get("/v2/health/ready", headers=of).status_code for of in ({}, named("default/slow"), named("a/b"))
    ]
    assert asked == [200, 200, 503]
    assert slow.http.get("/healthz").text == "Healthy"
    assert slow.http.get("/openapi.json").json()["openapi"] == "3.1.0"
    assert 'route="/score"' in slow.inner.get("/metrics").text


def named(deployment: str) -> dict[str, str]:
    return {"x-wye-deployment": deployment}


LOUD = """
import logging, os, sys
import beside

def init():
    print("to", "stdout")
    print("to stderr", file=sys.stderr)
    logging.info("by logging")

def run(data):
    if data:
        raise ValueError("secret")
    return [os.environ["AZUREML_MODEL_DIR"], os.listdir(os.environ["AZUREML_MODEL_DIR"]), os.getcwd(), beside.WORD]
"""


@pytest.fixture(scope="module")
def loud(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> tuple[Server, Path]:
    model = tmp_path_factory.mktemp("models") / "model.pkl"
    model.write_bytes(b"bytes")
    source = {"path": str(model), "sha256": hashlib.sha256(b"bytes").hexdigest()}
    return started(servers, {"score.py": LOUD, "beside.py": "WORD = 'word'"}, model=source).ready(), model


def test_the_folders_of_the_model_and_of_the_code(loud: tuple[Server, Path]):
    server, model = loud
    where, names, here, word = score(server, "").json()
    assert (where, names, word) == (str(model.parent), ["model.pkl"], "word")
    assert here.startswith(str(server.folder.parent / "script-"))
    assert server.inner.get("/signature").json()["model"]["sizeBytes"] == 5


def test_a_script_that_gives_up_takes_nobody_along(servers: Servers):
    server = started(
        servers, "import sys\n\ndef init(): pass\n\ndef run(data):\n    return data or sys.exit(7)"
    ).ready()
    assert [score(server, body).status_code for body in ("", "1")] == [500, 200]
    assert server.line("run() failed")["exception"].endswith("SystemExit: 7")


NAMES = {
    "a file that is called otherwise": ("model.pkl", "file://models/churn.pkl", "churn.pkl"),
    "a file that was fetched": ("model.onnx", "https://host/models/churn.pkl?version=3", "churn.pkl"),
    "a folder that was fetched": ("", "s3://bucket/models/churn", "churn"),
    "a repository's file": ("model.onnx", "hf://org/repo/churn.pkl@main", "churn.pkl"),
}


@pytest.mark.parametrize(("file", "uri", "name"), NAMES.values(), ids=NAMES.keys())
def test_the_model_has_the_name_that_its_owner_gave_it(servers: Servers, tmp_path: Path, file, uri: str, name: str):
    (tmp_path / "model.onnx").write_bytes(b"")
    (tmp_path / "model.pkl").write_bytes(b"")
    source = LOUD.replace("import beside", "class beside: WORD = 1")
    server = started(
        servers, source, {"WYE_CACHE": str(tmp_path / "c")}, model={"path": str(tmp_path / file), "uri": uri}
    )
    assert score(server.ready(), "").json()[1] == [name]


def test_what_it_prints_is_in_the_log_and_not_in_answers(loud: tuple[Server, Path], wait_until):
    server, _ = loud
    for message in ("to stdout", "to stderr", "by logging"):
        assert server.line(message), message
    answer = score(server, "boom")
    assert "secret" not in answer.text
    line = wait_until(lambda: server.line("run() failed"))
    assert line["exception"].endswith("ValueError: secret")
    assert line["requestId"] == answer.headers["x-request-id"]


def test_another_model_never_starts(servers: Servers, tmp_path: Path):
    (tmp_path / "model.pkl").write_bytes(b"other")
    server = started(servers, GIVES, model={"path": str(tmp_path / "model.pkl"), "sha256": "0" * 64})
    assert server.ended() == 3
    assert server.last_words()["reason"] == "ModelDigestMismatch"


STREAM = """
import time
from azureml.contrib.services.aml_request import rawhttp
from azureml.contrib.services.aml_response import AMLResponse

def init():
    pass

def parts(path):
    yield "first"
    while not open(path).read():
        time.sleep(0.01)
    yield "last"

@rawhttp
def run(request):
    return AMLResponse(parts(request.args["path"]), 200)
"""


def test_an_answer_goes_out_as_it_is_made(servers: Servers, tmp_path: Path):
    gate = tmp_path / "gate"
    gate.write_text("")
    server = started(servers, STREAM).ready()
    with server.http.stream("POST", "/score", params={"path": str(gate)}) as answer:
        parts = answer.iter_text()
        assert next(parts) == "first"
        gate.write_text("open")
        assert "".join(parts) == "last"
