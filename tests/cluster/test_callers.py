"""How callers reach an Endpoint of a real cluster: certificates that change under load, callers that stay, a way in."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

import certs
from cluster.chart import install
from cluster.kube import PATIENCE, Cluster
from cluster.load import CONNECTIONS
from cluster.serving import BODY, Served, deployment, endpoint, waited

Figure = Callable[[str], None]
ROTATIONS = 10
CALLERS = 1000
SHOWN = """
import ssl, sys
print(ssl.get_server_certificate((sys.argv[1], 443), timeout=30))
"""
# one connection; each caller once, by the header or cookie that it has: who served whom, and the cookies that were set
CALL = """
import http.client, json, sys
host, key, callers, body = json.loads(sys.argv[1])
line = http.client.HTTPConnection(host, 80, timeout=30)
told = []
for caller in callers:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **caller}
    line.request("POST", "/score", body, headers)
    answer = line.getresponse()
    answer.read()
    cookie = (answer.headers["set-cookie"] or "").partition(";")[0]
    told.append([answer.status, answer.headers["azureml-model-deployment"], cookie])
print(json.dumps(told))
"""
TLS = {"secretName": "fraud-tls"}
# nobody's own: of the Gateway API only what the API server needs to keep such objects
HTTP_ROUTES = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": "httproutes.gateway.networking.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, testing-only"},
    },
    "spec": {
        "group": "gateway.networking.k8s.io",
        "scope": "Namespaced",
        "names": {"kind": "HTTPRoute", "plural": "httproutes", "singular": "httproute"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


@pytest.fixture(scope="module")
def watched_secrets(operator: str, cluster: Cluster, images: str) -> Iterator[None]:
    """The operator hears of Secrets at once; elsewhere (test_auth.py) it reads them every 30 s."""
    install(cluster, images, operator, "secrets.watch=true")
    yield
    install(cluster, images, operator)


def put(served: Served, pair: certs.Pair) -> None:
    secret = pair.secret()
    served.namespace.apply({**secret, "metadata": {"name": "fraud-tls"}})


def shows(served: Served, host: str, pair: certs.Pair) -> bool:
    """Whether a new connection sees that certificate."""
    told = served.namespace.cluster.run(sys.executable, "-c", SHOWN, host)
    return ssl.PEM_cert_to_DER_cert(told.strip()) == ssl.PEM_cert_to_DER_cert(pair.chain)


def test_certificates_that_change_under_load(watched_secrets: None, served: Served, figure: Figure):
    pairs = [certs.pair(f"number-{n}.test") for n in range(ROTATIONS + 1)]
    put(served, pairs[0])
    served.apply(endpoint(tls=TLS, traffic={"blue": 100}, router={"replicas": 2}), deployment("blue"))
    host = served.url.split("/")[2]
    assert served.url.startswith("https://")
    routers, took = served.pods("router"), []
    with served.load() as load:
        for pair in pairs[1:]:
            begun, before = time.monotonic(), version(served)
            put(served, pair)
            waited(lambda was=before: version(served) != was)
            took.append(time.monotonic() - begun)
            assert all(shows(served, host, pair) for _ in range(6)), "of two routers each has it"
    figure(f"{ROTATIONS} certificates on 2 routers: lost {load.lost} of {load.answers.total()}: {dict(load.answers)}")
    figure(f"  {load.opened} connections made by {CONNECTIONS} callers")
    figure(f"  on every router after {sum(took) / ROTATIONS:.1f} s, at most {max(took):.1f} s")
    served.lost_nothing(load)
    assert (load.opened, served.pods("router")) == (CONNECTIONS, routers)


def version(served: Served) -> str:
    return served.namespace.json("get", "mle", "fraud")["status"]["router"].get("version", "")


def test_a_certificate_that_is_none_is_said_and_the_last_good_one_stays(
    watched_secrets: None, served: Served, figure: Figure
):
    good = certs.pair("good.test")
    put(served, good)
    served.apply(endpoint(tls=TLS, traffic={"blue": 100}), deployment("blue"))
    host = served.url.split("/")[2]
    waited(lambda: shows_or_waits(served, host, good))  # the node knows the Service
    wrong = {**good.entries, "tls.key": certs.pair().entries["tls.key"]}
    patch = json.dumps({"stringData": {name: text.decode() for name, text in wrong.items()}})
    served.namespace.kubectl("patch", "secret", "fraud-tls", "--type=merge", "-p", patch)
    took = waited(lambda: served.reason() == "CertificateInvalid")
    figure(f"a key of another pair is said after {took:.1f} s")
    assert shows(served, host, good)
    assert invoked(served) == 0, "the command speaks HTTPS through its port-forward"
    served.namespace.kubectl("delete", "pod", "-l", "wye.dev/component=router")
    waited(lambda: bool(served.pods("router")) and shows_or_waits(served, host, good))


def invoked(served: Served) -> int:
    """The exit code of `wye invoke`."""
    access = ["-n", served.namespace.name, "--kubeconfig", served.namespace.cluster.env["KUBECONFIG"]]
    words = [sys.executable, "-m", "wye_operator.cli.main", "invoke", "fraud", "-f", "-", *access]
    done = subprocess.run(words, input=BODY, capture_output=True, text=True, timeout=PATIENCE)
    print(done.stderr)
    return done.returncode


def shows_or_waits(served: Served, host: str, pair: certs.Pair) -> bool:
    try:
        return shows(served, host, pair)
    except AssertionError:
        return False


def called(served: Served, callers: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Who served each caller, and the cookie that was set."""
    asked = json.dumps([served.url.split("/")[2], served.key, callers, BODY])
    told = json.loads(served.namespace.cluster.run(sys.executable, "-c", CALL, asked))
    assert {status for status, _, _ in told} == {200}
    return [(name, cookie) for _, name, cookie in told]


@pytest.mark.parametrize("way", ["header", "cookie"])
def test_callers_stay_and_move_only_to_the_share_that_grows(served: Served, figure: Figure, way: str):
    sticky = {"header": "x-customer"} if way == "header" else {"cookie": "who"}
    spec = {"sticky": sticky, "router": {"replicas": 2}}
    served.apply(endpoint(traffic={"blue": 90, "green": 10}, **spec), deployment("blue"), deployment("green"))
    served.answered(served.key)  # the node knows the Service
    callers = [{"x-customer": f"customer {n}"} for n in range(CALLERS)]
    if way == "cookie":
        callers = [{"Cookie": cookie} for _, cookie in called(served, [{} for _ in range(CALLERS)])]
    before = [name for name, _ in called(served, callers)]
    assert [name for name, _ in called(served, callers)] == before, "nobody moves while shares stand"
    served.apply(endpoint(traffic={"blue": 80, "green": 20}, **spec))
    after = [name for name, _ in called(served, callers)]
    moved = {pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]}
    figure(f"sticky by {way}: green had {before.count('green')} of {CALLERS} at 10 %, {after.count('green')} at 20 %")
    assert moved == {("blue", "green")}


@pytest.fixture
def gateway_api(cluster: Cluster) -> Iterator[Callable[[], None]]:
    """Installs HTTPRoutes, as far as Wye has to do with them; they are gone afterwards."""
    yield lambda: str(cluster.apply(HTTP_ROUTES))
    cluster.kubectl("delete", "crd", HTTP_ROUTES["metadata"]["name"], "--ignore-not-found", f"--timeout={PATIENCE}s")


def foreign(kind: str, version: str, spec: dict) -> dict:
    """Somebody else's object, under the Endpoint's name."""
    return {"apiVersion": f"{version}/v1", "kind": kind, "metadata": {"name": "fraud"}, "spec": spec}


def scoring(served: Served) -> str:
    return served.namespace.json("get", "mle", "fraud")["status"]["scoringUri"]


def test_an_ingress(served: Served):
    """No controller serves it here: the API server takes it, and the status says where callers go."""
    others = foreign(
        "Ingress", "networking.k8s.io", {"defaultBackend": {"service": {"name": "x", "port": {"number": 1}}}}
    )
    served.namespace.apply(others)
    expose = {"ingress": {"className": "none", "host": "fraud.test", "tlsSecretName": "public"}}
    served.namespace.apply(endpoint(traffic={"blue": 100}, expose=expose), deployment("blue"))
    waited(lambda: served.reason() == "NameTaken")
    served.namespace.kubectl("delete", "ingress", "fraud")
    served.ready()
    [rule] = served.namespace.json("get", "ingress", "fraud")["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"] == {"name": "fraud", "port": {"name": "http"}}
    assert scoring(served) == "https://fraud.test/score"
    served.apply(endpoint(traffic={"blue": 100}, expose={"ingress": {"host": "other.test"}}))
    assert scoring(served) == "http://other.test/score"
    served.apply(endpoint(traffic={"blue": 100}))
    assert served.namespace.json("get", "ingress")["items"] == []


def test_a_route_waits_for_the_gateway_api(served: Served, gateway_api: Callable[[], None], figure: Figure):
    """It is installed while the Endpoint asks for it, and removed again; no controller serves the route here."""
    route = {"httpRoute": {"parentRefs": [{"name": "gateway", "port": 443}], "hostnames": ["fraud.test"]}}
    served.namespace.apply(endpoint(traffic={"blue": 100}, expose=route), deployment("blue"))
    waited(lambda: served.reason() == "GatewayApiMissing")
    waited(lambda: served.ask(served.key)[0] == 200)  # callers inside the cluster are served all the same
    with served.load() as load:
        gateway_api()
        waited(lambda: served.namespace.attempt("get", "httproute").returncode == 0)
        served.namespace.apply(foreign("HTTPRoute", "gateway.networking.k8s.io", {"hostnames": ["x"]}))
        took = waited(lambda: served.reason() == "NameTaken")
        served.namespace.kubectl("delete", "httproute", "fraud")
        served.ready()
        assert scoring(served) == "https://fraud.test/score"
        [rule] = served.namespace.json("get", "httproute", "fraud")["spec"]["rules"]
        assert rule["backendRefs"][0]["name"] == "fraud"
        served.apply(endpoint(traffic={"blue": 100}))
        waited(lambda: served.namespace.json("get", "httproute")["items"] == [])
    figure(
        f"the Gateway API was noticed {took:.0f} s after it was installed; lost {load.lost} of {load.answers.total()}"
    )
    served.lost_nothing(load)
