"""Tokens and keys in a cluster in memory: what is read, what routers are told, what a restart remembers."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json

import pytest
from joserfc.jwk import RSAKey

from wye_operator.api.jwks import public_keys
from wye_operator.cluster.identity import DISCOVERY, KEYS
from wye_operator.cluster.kinds import CONFIGMAPS, ENDPOINTS, SECRETS
from wye_operator.issuers import KeySets
from wye_operator.plan.names import RENEWED
from wye_operator.plan.world import KeySet

from .place import Place, deployment, endpoint

URI = "https://id.example.com/keys"
TOKENS = {"issuers": [{"issuer": "https://id.example.com", "audiences": ["fraud"], "jwksUri": URI}]}


def key_set(kid: str) -> str:
    return public_keys(json.dumps({"keys": [RSAKey.generate_key(2048, {"kid": kid}).as_dict(private=False)]}))


FIRST, SECOND = key_set("first"), key_set("second")


async def served(place: Place, **spec) -> None:
    place.api.user(endpoint(**spec))
    place.api.user(deployment())
    await settle(place)


async def settle(place: Place) -> None:
    """Passes, and what is read beside them, until nothing changes."""
    await place.settle()
    for _ in range(3):
        await place.key_sets.refresh()
        await place.settle()


def auth(place: Place) -> str:
    return base64.b64decode(place.api.find(SECRETS, "fraud-router")["data"]["auth.json"]).decode()


def message(place: Place) -> str:
    return next(c["message"] for c in place.status(ENDPOINTS, "fraud")["conditions"] if c["type"] == "Ready")


@pytest.fixture
def place() -> Place:
    place = Place()
    place.issuers[URI] = KeySet(FIRST)
    return place


async def test_the_routers_get_the_keys_of_an_issuer_and_no_key_of_their_own(place: Place) -> None:
    await served(place, authMode="Token", token=TOKENS)
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    assert "first" in auth(place)
    assert place.api.names(SECRETS) == ["fraud-router"]
    assert not place.failures


async def test_an_issuer_that_rotates_is_followed_within_a_minute(place: Place) -> None:
    await served(place, authMode="Token", token=TOKENS)
    place.issuers[URI] = KeySet(SECOND)
    place.time += 61
    await settle(place)
    assert "second" in auth(place)
    assert "first" not in auth(place)


async def test_an_issuer_that_falls_silent_keeps_its_keys_and_is_named(place: Place) -> None:
    await served(place, authMode="Token", token=TOKENS)
    place.issuers[URI] = "https://id.example.com/keys answers 500"
    for seconds in (61, 2, 3):
        place.time += seconds
        await settle(place)
    assert "first" in auth(place)
    assert place.ready(ENDPOINTS, "fraud") == ("False", "TokenKeysNotFound")
    assert "answers 500; those that were read last stay in force" in message(place)
    place.issuers[URI] = KeySet(FIRST)
    place.time += 61
    await settle(place)
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")


async def test_a_new_operator_goes_on_with_the_keys_that_are_written(place: Place) -> None:
    await served(place, authMode="Token", token=TOKENS)
    before = auth(place)
    place.issuers[URI] = "it does not answer"
    place.restart()
    await settle(place)
    assert auth(place) == before
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")


async def test_keys_stay_in_force_while_no_issuer_can_be_read(place: Place) -> None:
    await served(place)
    before = auth(place)
    place.issuers[URI] = "it does not answer"
    place.api.user(endpoint(authMode="Token", token=TOKENS))
    await settle(place)
    assert auth(place) == before
    place.issuers[URI] = KeySet(FIRST)
    place.time += 61
    await settle(place)
    assert "first" in auth(place)
    assert "api_key_auth" not in auth(place)


async def test_an_open_endpoint_is_closed_before_its_keys_are_there(place: Place) -> None:
    await served(place, authMode="None")
    assert "RBAC" in auth(place)
    place.api.user(endpoint(keys={"secretName": "absent"}))
    await settle(place)
    assert '"credentials":[]' in auth(place)
    assert place.ready(ENDPOINTS, "fraud") == ("False", "KeysNotFound")


async def test_the_api_server_says_who_this_cluster_is(place: Place) -> None:
    place.api.pages = {
        DISCOVERY: json.dumps({"issuer": "https://kubernetes.default.svc", "jwks_uri": "https://elsewhere"}).encode(),
        KEYS: FIRST.encode(),
    }
    await served(place, authMode="Token", token={"serviceAccounts": {"audiences": ["fraud"]}})
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    assert "https://kubernetes.default.svc" in auth(place)
    place.api.pages[KEYS] = SECOND.encode()
    place.time += 61
    await settle(place)
    assert "second" in auth(place)


async def test_an_api_server_that_does_not_say_it_is_a_condition_with_what_to_do(place: Place) -> None:
    await served(place, authMode="Token", token={"serviceAccounts": {"audiences": ["fraud"]}})
    assert place.ready(ENDPOINTS, "fraud") == ("False", "TokenKeysNotFound")
    assert "system:service-account-issuer-discovery" in message(place)


async def test_one_reading_serves_all_endpoints_and_ends_with_the_last(place: Place) -> None:
    read: list[str] = []
    inner = place.key_sets._read

    async def counted(source: str) -> KeySet:
        read.append(source)
        return await inner(source)

    place.key_sets._read = counted
    for name in ("fraud", "other"):
        place.api.user(endpoint(name, authMode="Token", token=TOKENS))
    await settle(place)
    assert read == [URI]
    for name in ("fraud", "other"):
        place.api.remove(ENDPOINTS, name)
    place.time += 61
    await settle(place)
    assert read == [URI]


async def test_issuers_that_do_not_answer_keep_nobody_elses_keys_waiting(monkeypatch) -> None:
    monkeypatch.setattr("wye_operator.issuers.EVERY", 0.01)
    answers, woken, never = itertools.count(), asyncio.Queue(), asyncio.Event()

    async def read(source: str) -> KeySet:
        if source != "good":
            await never.wait()
        return KeySet(str(next(answers)))

    key_sets = KeySets(read, woken.put_nowait, asyncio.get_running_loop().time)
    key_sets.of("one", ["good"], {})
    async with asyncio.timeout(10):
        reading = asyncio.create_task(key_sets.run())
        assert await woken.get() == "one"
        key_sets.of("another", [f"dead-{number}" for number in range(200)], {})
        assert [await woken.get() for _ in range(3)] == ["one"] * 3
        reading.cancel()


async def test_a_key_that_is_replaced_goes_through_every_router_before_the_old_one_ends(place: Place) -> None:
    await served(place, router={"replicas": 2})
    secret = place.api.find(SECRETS, "fraud-keys")
    old = base64.b64decode(secret["data"]["primaryKey"]).decode()
    told: list[str] = []
    place.api.heard.append(lambda kind, event, body: told.append(body) if kind == SECRETS else None)
    changed = {**secret["data"], "primaryKey": base64.b64encode(b"new-primary").decode()}
    place.api.user({**secret, "data": changed})
    told.clear()
    place.time += 31
    await place.reads.refresh()
    await settle(place)
    files = [base64.b64decode(body["data"]["auth.json"]).decode() for body in told]
    assert [("new-primary" in text, old in text) for text in files] == [(True, True), (True, False), (True, False)]
    assert "last-good-auth.json" not in told[-1]["data"], "no key outlives the change"
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")


async def test_a_key_made_anew_is_read_at_once_when_the_routers_files_say_so(place: Place) -> None:
    await served(place)
    secret = place.api.find(SECRETS, "fraud-keys")
    place.api.user({**secret, "data": {**secret["data"], "primaryKey": base64.b64encode(b"fresh").decode()}})
    await place.settle()
    assert "fresh" not in auth(place)
    files = place.api.find(CONFIGMAPS, "fraud-router")
    marks = {**files["metadata"]["annotations"], RENEWED: "8"}
    place.api.user({**files, "metadata": {**files["metadata"], "annotations": marks}})
    await place.settle()
    assert "fresh" in auth(place)
    reads = len([call for call in place.api.calls if call[:3] == ("get", "secrets", "fraud-keys")])
    await place.settle(horizon=20)
    assert len([call for call in place.api.calls if call[:3] == ("get", "secrets", "fraud-keys")]) == reads
