"""Thousands of raw requests at the real Envoy of a twin, with keys and with tokens; the models' logs are witness.

`make test` sends 2,600 with each, twice: every odd way of asking, by somebody without a credential and by somebody
with a wrong one; and 700 gRPC calls. `make e2e` (WYE_E2E=1) sends 6,000 and 3,000, with several odd ways at once. That
a sweep can fail is shown with routers that are wrong on purpose.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import hpack
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

import toys
from ports import free_port
from render import plans
from render.router import Running, serving, wait_for
from render.upstream import Upstream
from sweep.calls import call_odds
from sweep.judging import breaches, differences, served, summary
from sweep.odd import odds
from sweep.probes import PREFACE, Credential, frame, probes
from sweep.sending import send_all
from sweep.wrong import WRONG, Json
from wye_operator.local.twin import Options, Twin
from wye_operator.plan.wanted import Auth, Pin, RouterPlan, Routes, Share
from wye_operator.plan.world import Keys
from wye_operator.render import envoy

MANY, CALLS = (6000, 3000) if os.environ.get("WYE_E2E") else (2600, 700)
PRIMARY, SECONDARY = "8fJ3kLq0-primary_Zx7", "m2Vb9TtR-secondary_Yw4"
ISSUER, AUDIENCE = "https://id.example", "fraud"
SIGNER, OTHER = RSAKey.generate_key(2048, {"kid": "r"}), RSAKey.generate_key(2048, {"kid": "r"})
PUBLIC = json.dumps({"keys": [SIGNER.as_dict(private=False)]})


def bearer(value: str, *, right: bool | None = False, name: str = "") -> Credential:
    return Credential(name or f"Bearer {value[:24]!r}", right, (("authorization", f"Bearer {value}"),))


def header(name: str, value: str, *, right: bool | None = False) -> Credential:
    return Credential(f"{name} {value[:24]!r}", right, ((name, value),))


def elsewhere(right: str) -> list[Credential]:
    """A right credential where nobody looks for one."""
    places = (
        "x-api-key",
        "api_key",
        "apikey",
        "proxy-authorization",
        "x-authorization",
        "authorization2",
        "www-authenticate",
    )
    more = (
        "x-forwarded-authorization",
        "x-access-token",
        "cookie",
        "x-client-id",
        "sec-websocket-protocol",
        "ocp-apim-subscription-key",
    )
    named = [header(name, f"Bearer {right}") for name in (*places, *more)]
    asked = [
        Credential(f"?{name}=…", right=False, query=f"{name}={right}")
        for name in ("api-key", "access_token", "key", "authorization")
    ]
    behind = [
        Credential(f"{name} in trailers", right=False, trailers=((name, value),))
        for name, value in (("api-key", right), ("authorization", f"Bearer {right}"), ("x-client-id", "primary"))
    ]
    return [*named, *asked, *behind]


def hollow() -> list[Credential]:
    """Nothing, or as good as nothing."""
    values = (
        "",
        "Bearer",
        "Bearer ",
        "Bearer null",
        "Bearer undefined",
        "Basic YTpi",
        "Digest x",
        "Negotiate a",
        "\x7f",
        "Bearer \u00ff",
    )
    keys = ("", "null", "primary", "primaryKey", "*", "' or 1=1 --", "../", "%00", "a" * 40_000)
    two = Credential(
        "two wrong ones",
        right=False,
        headers=(("authorization", "Bearer a"), ("authorization", "Bearer b"), ("api-key", "c")),
    )
    return [
        Credential("nobody", right=False),
        two,
        *(header("authorization", v) for v in values),
        *(header("api-key", k) for k in keys),
    ]


def keys() -> list[Credential]:
    wrong = (
        PRIMARY[:-1],
        PRIMARY + "x",
        PRIMARY.swapcase(),
        PRIMARY[1:],
        PRIMARY + SECONDARY,
        f"{PRIMARY},{SECONDARY}",
        "a" * 43,
    )
    basic = base64.b64encode(f"user:{PRIMARY}".encode()).decode()
    two = (
        ("authorization", f"Bearer {PRIMARY}"),
        ("authorization", "Bearer wrong"),
        ("api-key", PRIMARY),
        ("api-key", "wrong"),
    )
    return [
        *hollow(),
        *(bearer(value) for value in wrong),
        *(header("api-key", value) for value in wrong),
        header("authorization", f"Basic {basic}"),
        *elsewhere(PRIMARY),
        *(bearer(key, right=True) for key in (PRIMARY, SECONDARY)),
        *(header("api-key", key, right=True) for key in (PRIMARY, SECONDARY)),
        *(Credential(f"{a}, {b}", None, (a, b)) for a in two for b in two if a != b),
        header("authorization", f"bearer {PRIMARY}", right=None),
        header("authorization", f"Bearer  {PRIMARY} ", right=None),
        header("authorization", PRIMARY, right=None),
    ]


def signed(key: RSAKey | OctKey = SIGNER, alg: str = "RS256", **claims: object) -> str:
    now = int(time.time())
    body = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": now + 3600, **claims}
    return jwt.encode({"alg": alg, "kid": "r"}, body, key, algorithms=[alg])


def tokens() -> list[Credential]:
    right, past = signed(), int(time.time()) - 3600
    head, body, mark = right.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    admin = (
        base64.urlsafe_b64encode(json.dumps({"iss": ISSUER, "aud": AUDIENCE, "sub": "root", "exp": 2**40}).encode())
        .rstrip(b"=")
        .decode()
    )
    hmac = signed(OctKey.import_key(PUBLIC.encode()), "HS256")
    wrong = (
        *(
            f"{none}.{body}.",
            f"{none}.{body}",
            f"{none}.{admin}.{mark}",
            f"{head}.{admin}.{mark}",
            f"{head}.{body}.",
            f"{head}.{body}",
            hmac,
        ),
        *(
            signed(OTHER),
            signed(exp=past),
            signed(nbf=2**40),
            signed(iss="https://other"),
            signed(aud="other"),
            signed(sub=""),
        ),
        *("..", "a.b.c", right[:-6], right[1:], f"{right}.{mark}", "e30.e30.e30"),
    )
    two = ("authorization", f"Bearer {right}"), ("authorization", f"Bearer {hmac}"), ("api-key", right)
    return [
        *hollow(),
        *(bearer(value, name=f"wrong token {n}") for n, value in enumerate(wrong)),
        header("api-key", right),
        *elsewhere(right),
        bearer(right, right=True, name="the right token"),
        bearer(signed(aud=["a", AUDIENCE], sub="bob"), right=True, name="another right token"),
        *(
            Credential(f"two: {a[0]} {n}, {b[0]} {m}", None, (a, b))
            for n, a in enumerate(two)
            for m, b in enumerate(two)
            if a != b
        ),
        bearer(right.replace(".", ".."), right=None, name="a right token with empty parts"),  # Envoy skips them
        Credential("a lower-case bearer", None, (("authorization", f"bearer {right}"),)),
        Credential("no Bearer", None, (("authorization", right),)),
    ]


TOKEN = {"authMode": "Token", "token": {"issuers": [{"issuer": ISSUER, "audiences": [AUDIENCE], "jwks": PUBLIC}]}}
MODES = {"keys": ({}, keys), "tokens": (TOKEN, tokens)}


class Served:
    """A twin of two real models, one of which gets a copy of everything, and what they say of themselves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "model.onnx").write_bytes(toys.linear().SerializeToString())

    def write(self, **endpoint: object) -> None:
        self._object(
            "endpoint", "Endpoint", "fraud", {"traffic": {"blue": 100}, "mirrorTraffic": {"violet": 100}, **endpoint}
        )
        for name in ("blue", "violet"):
            spec = {"endpointName": "fraud", "name": name, "model": {"uri": "file://model.onnx"}}
            self._object(name, "Deployment", f"fraud-{name}", {**spec, "environmentVariables": {"WYE_LOG_SAMPLE": "1"}})
        data = {"primaryKey": PRIMARY, "secondaryKey": SECONDARY}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "fraud-keys"}, "stringData": data}
        (self.folder / "keys.yaml").write_text(json.dumps(secret))

    def _object(self, file: str, kind: str, name: str, spec: dict[str, object]) -> None:
        body = {"apiVersion": "wye.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        (self.folder / f"{file}.yaml").write_text(json.dumps(body))

    def passed_on(self) -> list[dict[str, object]]:
        """The lines of the router's access log about requests that it sent to a model."""
        (log,) = (self.folder / ".wye" / "logs" / "routers").glob("*.requests.log")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return [line for line in lines if line["upstream"]]

    def logged(self) -> set[str]:
        """The ids of the requests that the models logged."""
        lines = [
            line
            for log in (self.folder / ".wye" / "logs" / "models").iterdir()
            for line in log.read_text().splitlines()
        ]
        return {str(json.loads(line).get("requestId")) for line in lines if line.startswith("{")}


WAYS = {"requests": (odds, MANY), "calls": (call_odds, CALLS)}


@pytest.mark.parametrize("what", WAYS)
@pytest.mark.parametrize("mode", MODES)
async def test_without_a_right_credential_nothing_reaches_a_model_and_every_answer_is_definite(
    mode, what, tmp_path, capsys
) -> None:
    ways, many = WAYS[what]
    spec, credentials = MODES[mode]
    place = Served(tmp_path)
    place.write(cors={"allowOrigins": ["https://app.example"]}, **spec)
    asked = probes(credentials(), many, ways())
    async with Twin(tmp_path, Options(port=free_port())) as twin:
        await twin.wait_for(lambda s: s.ready and s.settled and s.endpoints["fraud"].mirror_text == "violet=100", 60)
        port = int(twin.url("fraud").rpartition(":")[2])
        began = time.perf_counter()
        first = await send_all(port, asked)
        second = await send_all(port, asked)
        seconds = time.perf_counter() - began
    with capsys.disabled():
        print(f"\nsweep with {mode}: {len(asked)} {what} twice in {seconds:.1f} s: {summary(first)}")
    assert len(asked) >= many
    assert breaches(asked, first, place.logged())[:20] == []
    assert differences(first, second)[:20] == []
    assert served(first) > 15
    assert [line for line in place.passed_on() if not line["client"]] == []
    assert len(place.passed_on()) >= served(first) + served(second)


PLAN = replace(
    plans.EMPTY,
    clusters=(plans.BLUE,),
    clusters_version="c-sweep",
    routes=Routes("Split", (Share("blue", 10_000),), (), (Pin("blue", 5000),), 5000, 1_048_576),
    auth=Auth(open=False, keys=Keys(PRIMARY, SECONDARY), version="a-sweep"),
)


@pytest.fixture(scope="module")
def blue() -> Iterator[Upstream]:
    model = Upstream("blue")
    yield model
    model.stop()


@pytest.fixture(scope="module")
def router(blue, tmp_path_factory) -> Iterator[Running]:
    """A right one, which the tests below spoil."""
    plan = replace(PLAN, hosts=(plans.at("blue", blue.port),))
    with serving(plan, tmp_path_factory.mktemp("sweep"), "blue") as running:
        yield running


def spoil(router: Running, plan: RouterPlan, file: str, how: Callable[[Json], None]) -> None:
    """Let the router take a file that is wrong."""
    files = {**envoy.route_files(plan, router.place), **envoy.auth_files(plan)}
    body = json.loads(files[file])
    how(body)
    body["version_info"] = f"wrong-{router.generation}"
    files[file] = json.dumps(body).encode()
    router.write_routes({name: data for name, data in files.items() if name != "auth.json"})
    router.write_auth({"auth.json": files["auth.json"]})
    wait_for(lambda: body["version_info"] in (router.taken().routes, router.taken().auth), "the wrong file is taken")


async def found_by(router: Running, blue: Upstream, word: str) -> list[str]:
    """The breaches that the probes with this word in their names find, and that all of these were sent."""
    blue.seen.clear()
    chosen = [probe for probe in probes(keys(), 0) if word in probe.name and not probe.last]
    outcomes = await send_all(router.place.listen.port, chosen)
    return breaches(chosen, outcomes, {request.headers.get("x-request-id", "") for request in blue.seen})


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_router_that_is_wrong_is_found(router, blue, wrong) -> None:
    plan = replace(PLAN, hosts=(plans.at("blue", blue.port),))
    file, how, word = WRONG[wrong]
    router.put(plan)
    router.wait_healthy("blue")
    assert await found_by(router, blue, word) == []
    spoil(router, plan, file, how)
    found = await found_by(router, blue, word)
    assert any(line.startswith("a model got it: ") for line in found)
    assert any(line.startswith("let through, ") for line in found)


async def test_a_router_that_is_open_is_found_at_once(router, blue) -> None:
    plan = replace(PLAN, hosts=(plans.at("blue", blue.port),), auth=Auth(open=True, keys=None, version="a-open"))
    router.put(plan)
    router.wait_healthy("blue")
    assert len(await found_by(router, blue, "plain")) > 50


def test_a_malformed_request_ends_its_own_stream_and_not_the_connection_of_others(router) -> None:
    """An Ingress puts the requests of many callers on one connection."""
    encoder, get = (
        hpack.Encoder(),
        [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/healthz")],
    )
    bad = frame(1, 5, 1, encoder.encode([*get, ("te", "gzip")]))
    good = frame(1, 5, 3, encoder.encode(get))
    with socket.create_connection(("127.0.0.1", router.place.listen.port), timeout=120) as line:
        line.sendall(PREFACE + bad + good)
        stream = line.makefile("rb")
        kinds: list[tuple[int, int]] = []
        while (1, 3) not in kinds:
            head = stream.read(9)
            assert head, f"the connection was closed after {kinds}"
            stream.read(int.from_bytes(head[:3], "big"))
            kinds.append((head[3], int.from_bytes(head[5:], "big")))
