"""`wye invoke` against a cluster: through a port-forward of the real client to what stands in for a router."""

from __future__ import annotations

import http.server
import json
import threading

import pytest

from .things import endpoint, pod, router, secret


class Router(http.server.BaseHTTPRequestHandler):
    """Answers with what it was sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        key = self.headers.get("authorization", "")
        told = {"path": self.path, "key": key, "size": len(body), "type": self.headers["content-type"]}
        answer = json.dumps(told | ({"echo": "x" * len(body)} if len(body) > 100 else {})).encode()
        self.send_response(401 if key == "Bearer wrong" else 200)
        self.send_header("content-length", str(len(answer)))
        self.send_header("azureml-model-deployment", self.headers.get("azureml-model-deployment", "blue"))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def fraud(server, home):
    server.add("mlendpoints", endpoint())
    server.add("secrets", secret())
    server.add("pods", router(suffix="0", ready=False), router(), pod("fraud-blue"))
    (home / "request.json").write_text('{"x": 1}')
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Router) as behind:
        thread = threading.Thread(target=behind.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        server.target = behind.server_address[:2]
        yield
        behind.shutdown()
        thread.join()


def test_it_goes_with_the_primary_key_to_a_router_that_is_ready(fraud, config, wye, server):
    assert wye("invoke", "fraud", "-f", "request.json") == 0
    assert wye.data == {"path": "/score", "key": "Bearer first-key", "size": 8, "type": "application/json"}
    assert wye.err == "200 OK from blue (Endpoint fraud, namespace team, context dev)\n"
    assert server.asked[-1] == ("/api/v1/namespaces/team/pods/fraud-router-1/portforward", {"ports": "8080"})


def test_deployment_path_and_key_are_those_that_are_named(fraud, config, wye, server, monkeypatch):
    options = ["--deployment", "green", "--path", "/v2/models/fraud/infer", "--key", "second-key"]
    assert wye("invoke", "fraud", "-n", "team", "-f", "request.json", *options) == 0
    assert (wye.data["path"], wye.data["key"]) == ("/v2/models/fraud/infer", "Bearer second-key")
    assert wye.err.startswith("200 OK from green (")
    assert not [path for path, _ in server.asked if "secrets" in path]
    monkeypatch.setenv("WYE_KEY", "of-the-environment")
    assert wye("invoke", "fraud", "-f", "request.json") == 0
    assert wye.data["key"] == "Bearer of-the-environment"


def test_a_refusal_is_shown_and_is_a_failure(fraud, config, wye):
    assert wye("invoke", "fraud", "-f", "request.json", "--key", "wrong") == 1
    assert wye.data["key"] == "Bearer wrong"
    assert wye.err.startswith("401 Unauthorized from blue")


def test_an_open_endpoint_is_asked_without_a_key(fraud, config, wye, server):
    server.add("mlendpoints", endpoint(spec={"authMode": "None"}))
    assert wye("invoke", "fraud", "-f", "request.json") == 0
    assert wye.data["key"] == ""


def test_a_large_body_goes_and_a_large_answer_comes(fraud, config, wye, home):
    (home / "request.json").write_text(json.dumps("y" * 5_000_000))
    assert wye("invoke", "fraud", "-f", "request.json") == 0
    assert wye.data["size"] == len(wye.data["echo"]) == 5_000_002


@pytest.mark.parametrize(
    ("pods", "why"),
    [
        pytest.param([], "it has no router, so nobody answers", id="none"),
        pytest.param([router(ready=False)], "its router is not ready", id="one that is not ready"),
        pytest.param(
            [router(suffix=s, ready=False) for s in "12"], "none of its 2 routers is ready", id="two that are not ready"
        ),
    ],
)
def test_without_a_router_that_is_ready_it_says_so(config, wye, home, server, pods, why):
    (home / "request.json").write_text("{}")
    server.add("mlendpoints", endpoint())
    server.add("secrets", secret())
    server.add("pods", *pods)
    assert wye("invoke", "fraud", "-f", "request.json") == 1
    assert wye.err == f"wye: Endpoint fraud cannot be asked: {why}; wye status fraud says more\n"


def test_a_router_that_does_not_listen_is_told_in_kubelets_words(fraud, config, wye, server):
    server.target = None
    assert wye("invoke", "fraud", "-f", "request.json") == 1
    assert wye.err.startswith("wye: fraud-router-1 could not be asked through the API server: failed to connect to")
    assert "connection refused" in wye.err


def test_a_mistake_in_the_file_is_told_before_anything_is_asked(fraud, config, wye, home, server):
    (home / "request.json").write_text("{")
    assert wye("invoke", "fraud", "-f", "request.json") == 1
    assert wye.err.startswith("wye: request.json is not JSON: ")
    assert server.asked == []


def test_an_endpoint_that_is_not_there_is_told_with_those_that_are(fraud, config, wye):
    assert wye("invoke", "fruad", "-f", "request.json") == 1
    assert wye.err == "wye: there is no Endpoint fruad in namespace team of context dev; there is: fraud\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(
            ["http://x", "-n", "team"], "with -n it must be an Endpoint of a cluster, and http://x is a URL", id="a URL"
        ),
        pytest.param(
            ["http://x", "--state", "y"],
            "with --state it must be the folder of a twin (wye invoke DIR), and http://x is a URL",
            id="a URL and a twin's option",
        ),
        pytest.param(
            ["a/nowhere"],
            "there is no folder a/nowhere; must be the folder of a twin, or an Endpoint's name "
            "(lower-case letters, digits and '-')",
            id="a folder that is not there",
        ),
        pytest.param(
            ["fraud"],
            "there is no kubeconfig at ~/.kube/config; name a kubeconfig with --kubeconfig or $KUBECONFIG; "
            "for the twin of a folder: wye invoke DIR",
            id="no cluster",
        ),
    ],
)
def test_what_cannot_be_is_said_with_what_would_be_right(home, wye, arguments, sentence):
    (home / "request.json").write_text("{}")
    assert wye("invoke", *arguments, "-f", "request.json") == 1
    assert wye.err == f"wye: {sentence}\n"
