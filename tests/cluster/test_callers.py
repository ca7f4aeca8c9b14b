"""How callers reach an Endpoint of a real cluster: certificates that change under load, callers that stay, a way in."""

from __future__ import annotations

import json
import ssl
import sys
import time
from collections.abc import Callable, Iterator

import pytest

import certs
from cluster.chart import install
from cluster.kube import Cluster
from cluster.load import CONNECTIONS
from cluster.serving import BODY, Served, deployment, endpoint, waited

Figure = Callable[[str], None]
ROTATIONS = 10
CALLERS = 1000
SHOWN = """
import ssl, sys
print(ssl.get_server_certificate((sys.argv[1], 443), timeout=5))
"""
# one connection; each caller once, by the header or cookie that it has: who served whom, and the cookies that were set
CALL = """
import http.client, json, sys
host, key, callers, body = json.loads(sys.argv[1])
line = http.client.HTTPConnection(host, 80, timeout=10)
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


@pytest.fixture
def watched_secrets(operator: str, cluster: Cluster, images: str) -> Iterator[None]:
    """The operator hears of Secrets at once; for this module's test of many."""
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


def test_certificates_that_change_under_load(served: Served, watched_secrets: None, figure: Figure):
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
            waited(lambda was=before: version(served) != was, 60)
            took.append(time.monotonic() - begun)
            assert all(shows(served, host, pair) for _ in range(6)), "of two routers each has it"
    figure(f"{ROTATIONS} certificates on 2 routers: lost {load.lost} of {load.answers.total()}: {dict(load.answers)}")
    figure(f"  {load.opened} connections made by {CONNECTIONS} callers")
    figure(f"  on every router after {sum(took) / ROTATIONS:.1f} s, at most {max(took):.1f} s")
    served.lost_nothing(load)
    assert (load.opened, served.pods("router")) == (CONNECTIONS, routers)


def version(served: Served) -> str:
    return served.namespace.json("get", "mle", "fraud")["status"]["router"].get("version", "")


def test_a_certificate_that_is_none_is_said_and_the_last_good_one_stays(served: Served, figure: Figure):
    good = certs.pair("good.test")
    put(served, good)
    served.apply(endpoint(tls=TLS, traffic={"blue": 100}), deployment("blue"))
    host = served.url.split("/")[2]
    wrong = {**good.entries, "tls.key": certs.pair().entries["tls.key"]}
    patch = json.dumps({"stringData": {name: text.decode() for name, text in wrong.items()}})
    served.namespace.kubectl("patch", "secret", "fraud-tls", "--type=merge", "-p", patch)
    took = waited(lambda: reason(served) == "CertificateInvalid", 60)
    figure(f"a key of another pair is said after {took:.1f} s (read every 30 s)")
    assert shows(served, host, good)
    served.namespace.kubectl("delete", "pod", "-l", "wye.dev/component=router")
    waited(lambda: bool(served.pods("router")) and shows_or_waits(served, host, good), 60)


def shows_or_waits(served: Served, host: str, pair: certs.Pair) -> bool:
    try:
        return shows(served, host, pair)
    except AssertionError:
        return False


def reason(served: Served) -> str:
    return served.namespace.json("get", "mle", "fraud")["status"]["conditions"][0]["reason"]


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


def test_a_way_in_from_outside(served: Served):
    """No controller serves it here: the API server takes it, and the status says where callers go."""
    expose = {"ingress": {"className": "none", "host": "fraud.test", "tlsSecretName": "public"}}
    served.apply(endpoint(traffic={"blue": 100}, expose=expose), deployment("blue"))
    found = served.namespace.json("get", "ingress", "fraud")
    [rule] = found["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"] == {"name": "fraud", "port": {"name": "http"}}
    assert served.namespace.json("get", "mle", "fraud")["status"]["scoringUri"] == "https://fraud.test/score"
    route = {"httpRoute": {"parentRefs": [{"name": "gateway"}], "hostnames": ["fraud.test"]}}
    served.namespace.apply(endpoint(traffic={"blue": 100}, expose=route))
    waited(lambda: reason(served) == "GatewayApiMissing", 30)
    assert served.namespace.json("get", "ingress")["items"] == []
    served.apply(endpoint(traffic={"blue": 100}))
