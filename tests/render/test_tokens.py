"""Tokens at the real Envoy: who is let in, who is 401 and who 403, what the model hears, and how issuers change."""

from __future__ import annotations

import base64
import http.client
import json
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

import plain
from render import plans
from render.router import Running, wait_for
from render.upstream import Request, Upstream
from wye_operator.api.jwks import public_keys
from wye_operator.plan.wanted import Auth, RouterPlan, Trusted
from wye_operator.plan.world import Keys
from wye_operator.render import envoy

RSA, OTHER = RSAKey.generate_key(2048, {"kid": "r"}), RSAKey.generate_key(2048, {"kid": "r"})
EC, BIG = ECKey.generate_key("P-256", {"kid": "e"}), ECKey.generate_key("P-384", {"kid": "b"})
HUGE, ED = ECKey.generate_key("P-521", {"kid": "h"}), OKPKey.generate_key("Ed25519", {"kid": "o"})
ALICE, STRICT = "https://alice.test", "https://strict.test"


def key_set(*keys: Any) -> str:
    return public_keys(json.dumps({"keys": [key.as_dict(private=False) for key in keys]}))


ISSUERS = (
    Trusted("https://alice.test/keys", ALICE, ("fraud", "api"), key_set(RSA, EC, BIG, HUGE, ED)),
    Trusted("", STRICT, ("fraud",), key_set(RSA), {"team": ("fraud", "risk"), "scope": ("score",), "staff": ("true",)}),
)
TOKENS = Auth(open=False, keys=None, version="t-first", issuers=ISSUERS)
STAFF = {"iss": STRICT, "team": ["risk", "x"], "scope": "read score", "staff": True}


def token(key: Any = RSA, alg: str = "RS256", *, without: str = "", **claims: Any) -> str:
    """A token that is right but for what is said."""
    now = int(time.time())
    body = {"iss": ALICE, "aud": "fraud", "sub": "alice", "iat": now, "exp": now + 600, **claims}
    body.pop(without, None)
    return jwt.encode({"alg": alg, "kid": key.kid}, body, key, algorithms=[alg])


def pasted(header: dict[str, Any], signature: str = "", **claims: Any) -> str:
    """A token put together by hand."""
    now = int(time.time())
    body = {"iss": ALICE, "aud": "fraud", "sub": "alice", "exp": now + 600, **claims}
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, body))
    return ".".join((*parts, signature))


@pytest.fixture(scope="module")
def plan(upstreams: dict[str, Upstream]) -> RouterPlan:
    return plans.to_blue(upstreams["blue"].port, TOKENS)


@pytest.fixture
def blue(router: Running, plan: RouterPlan, upstreams: dict[str, Upstream]) -> Iterator[list[Request]]:
    """What reaches the model, from a router that has the module's plan again."""
    router.put(plan)
    router.wait_healthy("blue")
    upstreams["blue"].seen.clear()
    return upstreams["blue"].seen


def ask(router: Running, authorization: str | None = None, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if authorization is not None:
        named["authorization"] = authorization
    return plain.post(f"{router.url}/score", headers=named, content=b"{}")


@pytest.mark.parametrize(
    "good",
    [
        pytest.param(lambda: token(), id="RS256"),
        pytest.param(lambda: token(alg="PS512"), id="PS512"),
        pytest.param(lambda: token(EC, "ES256"), id="ES256"),
        pytest.param(lambda: token(BIG, "ES384"), id="ES384"),
        pytest.param(lambda: token(HUGE, "ES512"), id="ES512"),
        pytest.param(lambda: token(ED, "EdDSA"), id="Ed25519", marks=pytest.mark.filterwarnings("ignore:EdDSA")),
        pytest.param(lambda: token(aud=["x", "api"]), id="one of several audiences"),
        pytest.param(lambda: token(exp=int(time.time()) - 30), id="a clock that is half a minute off"),
        pytest.param(lambda: token(**STAFF), id="all claims, in a list, in words and as a boolean"),
        pytest.param(lambda: token(**(STAFF | {"team": "fraud", "scope": ["score"]})), id="all claims as texts"),
    ],
)
def test_a_right_token_is_let_in_and_the_model_hears_the_subject_alone(router, blue, good) -> None:
    answer = ask(router, f"Bearer {good()}", x_client_id="somebody else", api_key="a key of before")
    assert answer.status_code == 200, answer.text
    (request,) = blue
    assert request.headers["x-client-id"] == "alice"
    assert not {"authorization", "api-key"} & set(request.headers)


REFUSED = {
    "nothing": (401, lambda: None),
    "dots": (401, lambda: "Bearer .."),
    "no Bearer": (401, lambda: token()),
    "another scheme": (401, lambda: f"Basic {token()}"),
    "no token": (401, lambda: "Bearer first-primary"),
    "half a token": (401, lambda: f"Bearer {token().rpartition('.')[0]}"),
    "a token that was changed": (401, lambda: f"Bearer {token()[:-8]}AAAAAAAA"),
    "two tokens": (401, lambda: f"Bearer {token()}, Bearer {token()}"),
    "alg none": (401, lambda: f"Bearer {pasted({'alg': 'none'})}"),
    "alg None": (401, lambda: f"Bearer {pasted({'alg': 'None', 'typ': 'JWT'})}"),
    "no alg": (401, lambda: f"Bearer {pasted({'typ': 'JWT'})}"),
    "HMAC with the public key as secret": (401, lambda: f"Bearer {hmac_token(key_set(RSA))}"),
    "HMAC with the modulus as secret": (401, lambda: f"Bearer {hmac_token(RSA.as_dict(private=False)['n'])}"),
    "a key that the token brings": (401, lambda: f"Bearer {token_with_key()}"),
    "somebody else's key of the same id": (401, lambda: f"Bearer {token(OTHER)}"),
    "another issuer": (401, lambda: f"Bearer {token(iss='https://mallory.test')}"),
    "no issuer": (401, lambda: f"Bearer {token(without='iss')}"),
    "over": (401, lambda: f"Bearer {token(exp=int(time.time()) - 120)}"),
    "not begun": (401, lambda: f"Bearer {token(nbf=int(time.time()) + 120)}"),
    "without an end": (401, lambda: f"Bearer {token(without='exp')}"),
    "for somebody else": (403, lambda: f"Bearer {token(aud='other')}"),
    "for nobody": (403, lambda: f"Bearer {token(without='aud')}"),
    "for an audience of another issuer": (403, lambda: f"Bearer {token(**(STAFF | {'aud': 'api'}))}"),
    "no claim": (403, lambda: f"Bearer {token(iss=STRICT)}"),
    "one claim missing": (403, lambda: f"Bearer {token(**STAFF, without='scope')}"),
    "a claim of another value": (403, lambda: f"Bearer {token(**(STAFF | {'team': 'sales'}))}"),
    "a claim that only begins so": (403, lambda: f"Bearer {token(**(STAFF | {'scope': 'scores'}))}"),
    "a claim that is false": (403, lambda: f"Bearer {token(**(STAFF | {'staff': False}))}"),
    "no subject": (403, lambda: f"Bearer {token(without='sub')}"),
    "an empty subject": (403, lambda: f"Bearer {token(sub='')}"),
    "a subject with a header in it": (403, lambda: f"Bearer {subject('a' + chr(13) + chr(10) + 'x-wye-mirrored: 1')}"),
    "a subject that no header carries": (403, lambda: f"Bearer {subject('a' + chr(0))}"),
}


def subject(text: str) -> str:
    return token(sub=text)


def hmac_token(secret: str) -> str:
    key = OctKey.import_key(secret, {"kid": "r"})
    now = int(time.time())
    return jwt.encode({"alg": "HS256", "kid": "r"}, {"iss": ALICE, "aud": "fraud", "sub": "a", "exp": now + 60}, key)


def token_with_key() -> str:
    now = int(time.time())
    header = {"alg": "RS256", "jwk": OTHER.as_dict(private=False), "jku": "https://mallory.test/keys"}
    return jwt.encode(header, {"iss": ALICE, "aud": "fraud", "sub": "a", "exp": now + 60}, OTHER)


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_token_is_refused_the_same_each_time_and_reaches_nobody(router, blue, case) -> None:
    status, made = REFUSED[case]
    given = made()
    for _ in range(2):
        answer = ask(router, given)
        assert (answer.status_code, answer.json()["error"]["code"]) == (
            status,
            {401: "Unauthorized", 403: "Forbidden"}[status],
        )
    assert blue == []


NEEDED = "a valid token is needed: Authorization: Bearer TOKEN"
SAID = {
    "nothing": NEEDED,
    "no token": NEEDED,
    "over": NEEDED,
    "for somebody else": "the token is for somebody else: its aud is none that is taken here",
    "for nobody": "the token is for somebody else: its aud is none that is taken here",
    "no subject": "the token's claim sub is missing, or has no value that is taken here",
    "a subject that no header carries": "the token's claim sub is missing, or has no value that is taken here",
    "one claim missing": "the token's claim scope is missing, or has no value that is taken here",
    "a claim of another value": "the token's claim team is missing, or has no value that is taken here",
    "a claim that is false": "the token's claim staff is missing, or has no value that is taken here",
}


@pytest.mark.parametrize("case", SAID)
def test_a_refusal_says_what_is_wrong_with_the_token_and_no_value(router, blue, case) -> None:
    """Of several claims the first by name; never an api-key, which counts for nothing here."""
    assert ask(router, REFUSED[case][1]()).json()["error"]["message"] == SAID[case]


def test_a_claim_is_named_as_it_stands_in_the_manifest_also_to_grpc(router, plan, blue) -> None:
    odd = 'https://corp.test/"role" %REQ(authorization)% é'
    issuer = replace(ISSUERS[0], claims={odd: ("x",), "zone": ("y",)})
    router.put(replace(plan, auth=replace(TOKENS, version="t-odd", issuers=(issuer,))))
    said = f"the token's claim {odd} is missing, or has no value that is taken here"
    bearer = f"Bearer {token(zone='y')}"
    assert ask(router, bearer).json()["error"]["message"] == said
    call = ask(router, bearer, content_type="application/grpc")
    assert call.headers["grpc-status"] == "7"
    assert urllib.parse.unquote(call.headers["grpc-message"]) == said


@pytest.mark.parametrize(
    "send",
    [
        pytest.param(lambda r: plain.post(f"{r.url}/score?access_token={token()}"), id="in the query"),
        pytest.param(lambda r: ask(r, api_key=token()), id="as api-key"),
        pytest.param(lambda r: ask(r, cookie=f"access_token={token()}"), id="as a cookie"),
        pytest.param(lambda r: plain.options(f"{r.url}/score"), id="OPTIONS"),
        pytest.param(lambda r: plain.get(f"{r.url}/healthz/"), id="health with a slash"),
    ],
)
def test_a_token_counts_in_its_header_only(router, blue, send) -> None:
    assert send(router).status_code == 401
    assert blue == []


def test_health_needs_no_token(router, blue) -> None:
    assert plain.get(f"{router.url}/healthz").status_code == 200


def test_no_token_is_in_a_log_and_the_reason_is(router, blue) -> None:
    given = token(exp=int(time.time()) - 120)
    request_id = ask(router, f"Bearer {given}").headers["x-request-id"]
    record = router.record(request_id)
    assert record["details"] == "jwt_authn_access_denied{Jwt_is_expired}"
    assert given not in router.access_log() + router.log()
    good = token()
    request_id = ask(router, f"Bearer {good}").headers["x-request-id"]
    assert router.record(request_id)["client"] == "alice"
    assert good not in router.access_log() + router.log()


class Kept:
    """One connection that is never opened again."""

    def __init__(self, router: Running) -> None:
        self.connection = http.client.HTTPConnection(router.place.listen.host, router.place.listen.port, 15)
        self.connection.connect()
        self.connection.auto_open = 0

    def get(self, bearer: str) -> int:
        self.connection.request("GET", "/v2", None, {"authorization": f"Bearer {bearer}"})
        answer = self.connection.getresponse()
        answer.read()
        return answer.status


@pytest.fixture
def kept(router, blue) -> Iterator[Kept]:
    opened = Kept(router)
    yield opened
    opened.connection.close()


def test_modes_issuers_and_claims_change_on_an_open_connection(router, plan, kept) -> None:
    staff, plain = token(**STAFF), token()

    def statuses() -> list[int]:
        return [kept.get(bearer) for bearer in (plain, staff, "first-primary")]

    def put(version: str, *issuers: Trusted, keys: Keys | None = None) -> None:
        router.put(replace(plan, auth=Auth(open=False, keys=keys, version=version, issuers=issuers)))

    assert statuses() == [200, 200, 401]
    put("t-one", ISSUERS[1])
    assert statuses() == [401, 200, 401]
    put("t-other-claims", replace(ISSUERS[1], claims={"team": ("sales",)}))
    assert statuses() == [401, 403, 401]
    put("t-other-keys", replace(ISSUERS[1], keys=key_set(OTHER)))
    assert statuses() == [401, 401, 401]
    put("a-keys", keys=plans.FIRST)
    assert statuses() == [401, 401, 200]
    put("t-again", *ISSUERS)
    assert statuses() == [200, 200, 401]
    assert router.rejected() == 0


def test_claims_of_a_new_issuer_count_from_its_first_request_on(router, plan, kept) -> None:
    """Issuer and claims come in one step: in no moment is a token taken for which they do not hold."""
    wrong = token(**(STAFF | {"team": "sales"}))
    found: set[int] = set()

    def is_taken(version: str) -> bool:
        found.add(kept.get(wrong))
        return router.taken().auth == version

    for turn in range(20):
        auth = replace(TOKENS, version=f"t-{turn}", issuers=ISSUERS if turn % 2 else ISSUERS[:1])
        router.write_auth(envoy.auth_files(replace(plan, auth=auth)))
        wait_for(lambda version=auth.version: is_taken(version), f"{auth.version} is taken: {router.log()[-500:]}")
    assert found == {401, 403}
