"""HTTPS with a real router: versions, ALPN, and certificates that change while requests flow."""

from __future__ import annotations

import http.client
import itertools
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

import certs
import plain
from render import plans
from render.router import Running, serving, wait_for
from render.upstream import Upstream
from wye_operator.plan.record import Cluster
from wye_operator.plan.wanted import Auth, Listener, Pin, RouterPlan, Routes, Share, Sticky, Tls
from wye_operator.plan.world import Certificate, Keys
from wye_operator.render import envoy

KEY = {"api-key": "key-one"}
NUMBERS = itertools.count(1)
KEPT = 16


def tls(of: certs.Pair) -> Tls:
    return Tls(Certificate(of.chain, of.key, 0), f"certificate-{next(NUMBERS)}")


@pytest.fixture(scope="module")
def first() -> certs.Pair:
    return certs.pair("first.test")


@pytest.fixture(scope="module")
def plan(upstreams: dict[str, Upstream], first: certs.Pair) -> RouterPlan:
    return replace(
        plans.EMPTY,
        listener=Listener(10_000, access_log=True, tls=True),
        clusters=(Cluster("blue", "default/fraud-blue"),),
        hosts=(plans.at("blue", upstreams["blue"].port),),
        routes=Routes("Split", (Share("blue", 10_000),), (), (Pin("blue", 5000),), 5000, 1000),
        auth=Auth(open=False, keys=Keys("key-one", "key-two"), version="a"),
        tls=tls(first),
    )


@pytest.fixture
def served(router: Running, plan: RouterPlan) -> Iterator[Running]:
    router.wait_healthy("blue")
    yield router
    show(router, plan, plan.tls)


def show(router: Running, plan: RouterPlan, of: Tls | None) -> None:
    """Another certificate, taken."""
    router.write_auth(envoy.auth_files(replace(plan, tls=of)))
    wait_for(lambda: of is not None and router.taken().certificate == of.version, "the certificate is taken")


def url(router: Running) -> str:
    return router.url.replace("http:", "https:").replace("127.0.0.1", "localhost")


def connected(router: Running, context: ssl.SSLContext, name: str = "localhost") -> ssl.SSLSocket:
    raw = socket.create_connection((router.place.listen.host, router.place.listen.port), 60)
    try:
        return context.wrap_socket(raw, server_hostname=name)
    except BaseException:
        raw.close()
        raise


def test_http_1_and_2_by_alpn_with_the_certificate_that_is_named(served: Running, first: certs.Pair) -> None:
    for http2, version in ((True, "HTTP/2"), (False, "HTTP/1.1")):
        with httpx.Client(http2=http2, verify=first.trust) as client:
            answer = client.post(f"{url(served)}/score", headers=KEY)
        assert (answer.status_code, answer.http_version) == (200, version)
    with connected(served, first.trust) as silent:
        assert silent.selected_alpn_protocol() is None
        silent.sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        assert silent.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_model_and_an_error_see_that_it_was_https(served: Running, first: certs.Pair, upstreams) -> None:  # type: ignore[no-untyped-def]
    upstreams["blue"].seen.clear()
    with httpx.Client(verify=first.trust) as client:
        client.post(f"{url(served)}/score", headers=KEY)
        refused = client.post(f"{url(served)}/score")
    assert upstreams["blue"].seen[0].headers["x-forwarded-proto"] == "https"
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "Unauthorized")


VERSIONS = {
    "TLS 1.0": (ssl.TLSVersion.TLSv1, None),
    "TLS 1.1": (ssl.TLSVersion.TLSv1_1, None),
    "TLS 1.2": (ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
    "TLS 1.3": (ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
}


@pytest.mark.parametrize(("version", "spoken"), VERSIONS.values(), ids=VERSIONS)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_are_refused(
    served: Running, first: certs.Pair, version: ssl.TLSVersion, spoken: str | None
) -> None:
    context = first.trust
    context.set_ciphers("ALL:@SECLEVEL=0")  # this side would speak it
    context.minimum_version = context.maximum_version = version
    if spoken is None:
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            connected(served, context)
    else:
        with connected(served, context) as made:
            assert made.version() == spoken


def test_who_speaks_without_tls_gets_nothing(served: Running) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        plain.get(f"{served.url}/healthz")


class Kept:
    """One connection that calls until told to stop; whatever goes wrong on it is in `failed`."""

    def __init__(self, port: int, trust: ssl.SSLContext, stop: threading.Event) -> None:
        self.line = http.client.HTTPSConnection("localhost", port, context=trust, timeout=60)
        self.stop, self.answered, self.failed = stop, 0, ""
        self.thread = threading.Thread(target=self.keep_calling)
        self.thread.start()

    def keep_calling(self) -> None:
        try:
            self.line.connect()
            kept = self.line.sock
            while not self.stop.is_set():
                self.line.request("POST", "/score", b"{}", KEY)
                answer = self.line.getresponse()
                answer.read()
                assert (answer.status, self.line.sock) == (200, kept), "another status, or another connection"
                self.answered += 1
        except Exception as error:  # noqa: BLE001  the test tells
            self.failed = repr(error)
        finally:
            self.line.close()


def test_ten_certificates_under_load_lose_no_request_and_no_connection(served: Running, plan: RouterPlan) -> None:
    """Connections go on; new ones see the new certificate."""
    pairs = [certs.pair(f"number-{n}.test") for n in range(11)]
    show(served, plan, tls(pairs[0]))
    stop = threading.Event()
    kept = [Kept(served.place.listen.port, pairs[0].trust, stop) for _ in range(KEPT)]
    for pair in pairs[1:]:
        wait_for_more(kept)
        show(served, plan, tls(pair))
        with connected(served, pair.trust), pytest.raises(ssl.SSLCertVerificationError):
            connected(served, pairs[0].trust)
    wait_for_more(kept)
    stop.set()
    for one in kept:
        one.thread.join()
    print(f"{sum(one.answered for one in kept)} requests on {KEPT} connections, 10 certificates")
    assert [one.failed for one in kept if one.failed] == []


def wait_for_more(kept: list[Kept]) -> None:
    """Until each was answered once more."""
    before = [one.answered for one in kept]
    wait_for(
        lambda: all(one.failed or one.answered > was for one, was in zip(kept, before, strict=True)),
        "all go on",
    )


def test_what_envoy_refuses_leaves_the_last_good_one_in_force(served: Running, plan: RouterPlan) -> None:
    one, other = certs.pair("one.test"), certs.pair("other.test")
    show(served, plan, tls(one))
    wrong = Tls(Certificate(one.chain, other.key, 0), "wrong")
    before = served.rejected()
    served.write_auth(envoy.auth_files(replace(plan, tls=wrong)))
    wait_for(lambda: served.rejected() > before, "it is refused")
    with connected(served, one.trust):
        assert served.taken().certificate != "wrong"
    assert "PRIVATE KEY" not in served.log()


def test_without_a_certificate_nobody_is_served_until_there_is_one(
    plan: RouterPlan, first: certs.Pair, tmp_path: Path
) -> None:
    with serving(replace(plan, tls=Tls(None, "")), tmp_path) as running:
        for speak in (lambda: plain.get(f"{running.url}/healthz"), lambda: connected(running, first.trust)):
            with pytest.raises((httpx.TransportError, OSError)):
                speak()
        assert not [line for line in running.log().splitlines() if envoy.refused(line)]
        show(running, plan, plan.tls)
        with connected(running, first.trust):
            pass


def test_the_cookie_of_sticky_callers_goes_by_https_only(served: Running, plan: RouterPlan, first: certs.Pair) -> None:
    served.put(replace(plan, routes=replace(plan.routes, sticky=Sticky(cookie="who", secure=True))))
    with httpx.Client(verify=first.trust) as client:
        answer = client.post(f"{url(served)}/score", headers=KEY)
    assert answer.headers["set-cookie"].endswith("; Path=/; HttpOnly; SameSite=Lax; Secure")
    served.put(plan)


def test_a_handshake_that_does_not_end_is_given_up(served: Running) -> None:
    with socket.create_connection((served.place.listen.host, served.place.listen.port), timeout=60) as silent:
        silent.sendall(b"\x16\x03\x01")  # a ClientHello begins so
        assert silent.recv(1) == b""  # after 10 s, as for headers that do not end
