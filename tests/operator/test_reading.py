"""The e2e tests' reader of a cluster: what it gives is what kubectl prints, and where it cannot, kubectl is asked."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cluster.reading import Reader

MANY = {"items": [{"metadata": {"name": "a", "managedFields": []}}], "metadata": {}}
ANSWERS = {
    "/api/v1/namespaces/n/pods?limit=500": MANY,
    "/api/v1/namespaces/n/pods?limit=500&labelSelector=a%3Db": {"items": [], "metadata": {}},
    "/apis/wye.dev/v1alpha1/namespaces/n/mlendpoints?limit=500": MANY,
    "/apis/wye.dev/v1alpha1/namespaces/n/mldeployments?limit=500": MANY,
    "/apis/wye.dev/v1alpha1/namespaces/n/mldeployments/x": {"metadata": {"name": "x", "managedFields": [1]}, "spec": 1},
}


class Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = ANSWERS.get(self.path)
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(json.dumps(found or {"reason": "NotFound", "message": "no"}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def reader(tmp_path):
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever).start()
        where = {"name": "it", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        contexts = [{"name": "it", "context": {"cluster": "it", "user": "it"}}]
        users = [{"name": "it", "user": {"token": "it"}}]
        body = {"apiVersion": "v1", "kind": "Config", "current-context": "it", "clusters": [where]}
        (tmp_path / "config").write_text(json.dumps(body | {"contexts": contexts, "users": users}))
        reader = Reader(tmp_path / "config")
        yield reader
        reader.close()
        server.shutdown()


def test_what_is_known_is_read(reader):
    a = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
    x = {"apiVersion": "wye.dev/v1alpha1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": 1}
    assert reader.read(("-n", "n", "get", "pods")) == {"items": [a]}
    assert reader.read(("-n", "n", "get", "pods", "-l", "a=b")) == {"items": []}
    assert [each["kind"] for each in reader.read(("-n", "n", "get", "wye"))["items"]] == ["Endpoint", "Deployment"]
    assert reader.read(("-n", "n", "get", "mld", "x")) == reader.read(("-n", "n", "get", "mld/x")) == x


@pytest.mark.parametrize(
    "words",
    [
        ("get", "pods"),
        ("-n", "n", "get", "crd"),
        ("-n", "n", "get", "events"),
        ("-n", "n", "get", "pods,crd"),
        ("-n", "n", "get", "wye", "--show-managed-fields"),
        ("-n", "n", "get", "pod", "gone"),
    ],
    ids=" ".join,
)
def test_of_all_else_kubectl_is_asked(reader, words):
    assert reader.read(words) is None
