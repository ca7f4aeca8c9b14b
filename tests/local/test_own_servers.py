"""Other servers in the twin: their command as a process, on free ports, with the model in the environment."""

from __future__ import annotations

import json

from local.load import Caller

SERVER = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args): pass

    def do_GET(self):
        if self.path == "/alive":
            return self.answer({})
        model = os.environ.get("WYE_MODEL_PATH", "")
        told = {name: os.environ.get(name, "") for name in ("WYE_MODEL_NAME", "WYE_DEPLOYMENT", "FOLDER")}
        self.answer({"path": self.path, "words": sys.argv[2:], "model": model and open(model).read(), **told})

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def answer(self, said):
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

ThreadingHTTPServer.request_queue_size = 128
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def environment(*command: str, **more) -> dict:
    asked = {"path": "/alive", "port": 8000}
    routes = {"livenessRoute": asked, "readinessRoute": asked, "scoringRoute": {"path": "/predict", "port": 8000}}
    words = {"args": ["$(WYE_SCORING_PORT)", "--from=$(AZUREML_MODEL_DIR)/own.txt", "$$(HOME)", "$(NOBODY)"]}
    return {"image": "example/server:1", "command": list(command), "inferenceConfig": routes, **words, **more}


def own(manifests, name: str, *command: str, **spec) -> None:
    (manifests.folder / "server.py").write_text(SERVER)
    values = {"environment": environment(*command), "environmentVariables": {"FOLDER": "$(AZUREML_MODEL_DIR)"}}
    values = {key: value for key, value in (values | spec).items() if value is not None}
    base = {"endpointName": "fraud", "name": name}
    manifests.write(f"{name}.yaml", manifests.object("Deployment", f"fraud-{name}", base | values))


async def test_a_command_that_is_here_serves_beside_a_model_of_ours(manifests, up):
    manifests.endpoint(traffic={"green": 100})
    (manifests.folder / "own.txt").write_text("weights")
    own(manifests, "green", "python3", "server.py", instanceCount=2, model={"uri": "file://own.txt", "name": "card"})
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("green=100")
        async with Caller(run.port, run.key) as caller:
            answer = await caller.call(body=b"{}")
        told = json.loads(answer.body)
        assert (answer.status, answer.deployment, told["path"]) == (200, "green", "/predict")
        assert (told["model"], told["WYE_MODEL_NAME"], told["WYE_DEPLOYMENT"]) == (
            "weights",
            "card",
            "default/fraud-green",
        )
        assert told["words"] == [f"--from={told['FOLDER']}/own.txt", "$(HOME)", "$(NOBODY)"]
        assert len({instance.address for instance in run.target().groups["fraud-green"].instances}) == 2
        assert set(run.twin.inner_urls("fraud")) == {"fraud-router-1", "fraud-blue-1"}
        model = run.twin.status().deployments["fraud-green"].model
        assert (model.uri, model.sha256) == ("file://own.txt", None)
        await an_edit_loses_nothing(manifests, run)


async def an_edit_loses_nothing(manifests, run) -> None:
    async with run.lossless():
        changed = {
            "environment": environment(
                "python3",
                "server.py",
            )
        }
        changed["environment"]["args"] = ["$(WYE_SCORING_PORT)", "edited"]
        own(manifests, "green", "python3", "server.py", **changed)
        await run.until(lambda s: s.deployments["fraud-green"].model is None and s.ready and s.settled)


async def test_what_cannot_run_here_says_so_and_the_others_serve(manifests, up):
    manifests.endpoint(traffic={"blue": 100})
    manifests.deployment("blue")
    own(manifests, "green", "a-server-that-nobody-has")
    own(manifests, "violet", environment={**environment(), "command": None})
    async with up() as run:
        await run.until(lambda s: s.endpoints["fraud"].traffic_text == "blue=100" and "fraud-violet" in s.deployments)
        for name, words in (("green", "a-server-that-nobody-has is not on the PATH"), ("violet", "there is none")):
            condition = run.twin.status().deployments[f"fraud-{name}"].conditions[0]
            assert (condition.status, condition.reason) == ("False", "EnvironmentUnsupported")
            assert words in condition.message
        own(manifests, "green", "python3", "server.py", environmentVariables=None)
        await run.until(lambda s: s.deployments["fraud-green"].conditions[0].status == "True")


async def test_one_that_ends_is_a_failure_with_its_last_words(manifests, up):
    manifests.endpoint(traffic={"green": 100})
    own(manifests, "green", "python3", environment=environment("python3", "-c", "raise SystemExit('no licence')"))
    async with up() as run:
        await run.until(lambda s: s.deployments["fraud-green"].last_failure is not None)
        failure = run.twin.status().deployments["fraud-green"].last_failure
        assert (failure.exit_code, failure.log) == (1, "no licence")
