"""Who may call: one key follows another without a gap, and issuers keep what was last good."""

from __future__ import annotations

import dataclasses
import json

import pytest
from joserfc.jwk import OKPKey

import make
from make import deployment, settle, world
from wye_operator.api.endpoint import EndpointSpec
from wye_operator.api.validation import understood
from wye_operator.plan.auth import keys_version
from wye_operator.plan.planner import plan
from wye_operator.plan.wanted import Plan
from wye_operator.plan.world import THIS_CLUSTER, Keys, KeySet, RouterSeen, World
from wye_operator.render import envoy
from wye_operator.render.auth import written_key_sets, written_keys, written_open

NEW = Keys("another-primary", "secondary-key")
PUBLIC = json.dumps({"keys": [OKPKey.generate_key("Ed25519", {"kid": "1"}).as_dict(private=False)]})
URI = "https://id.example.com/keys"
ISSUER = {"issuer": "https://id.example.com", "audiences": ["fraud"], "jwksUri": URI}


def written(seen: World, made: Plan) -> World:
    """The world that reads the routers' files back."""
    assert made.router
    if not made.router.auth.version:
        return make.after(seen, made, seconds=0.3)
    files = envoy.auth_files(made.router)
    return dataclasses.replace(
        make.after(seen, made, seconds=0.3), written_keys=written_keys(files), written_open=written_open(files)
    )


def valid(made: Plan) -> dict[str, str]:
    """Key by key, what the routers are told of its bearer."""
    assert made.router
    return {known.key: known.client for known in written_keys(envoy.auth_files(made.router))}


def two_routers() -> World:
    seen = settle(world(deployment("blue"), spec={"traffic": {"blue": 100}}))[0]
    (router,) = seen.routers
    seen = dataclasses.replace(seen, routers=(router, RouterSeen("router-1", ready=True, taken=router.taken)))
    return written(seen, plan(seen))


def test_an_old_key_is_valid_until_every_router_has_the_new_one_and_no_longer() -> None:
    seen = dataclasses.replace(two_routers(), keys=NEW)
    first = plan(seen)
    both = {"another-primary": "primary", "primary-key": "primary", "secondary-key": "secondary"}
    assert valid(first) == both
    half = make.acknowledged(written(seen, first), first, "router-0")
    assert valid(plan(half)) == both
    assert plan(half).look_again == 0.25
    all_have = make.acknowledged(half, plan(half))
    last = plan(all_have)
    assert valid(last) == {"another-primary": "primary", "secondary-key": "secondary"}
    assert last.endpoint_status.router.auth_version != keys_version(NEW, "fraud")
    done = plan(make.acknowledged(written(all_have, last), last))
    assert done.endpoint_status.router.auth_version == keys_version(NEW, "fraud")
    assert valid(done) == valid(last)
    assert done.look_again is None


def test_a_router_that_takes_nothing_keeps_an_old_key_alive_for_ten_seconds() -> None:
    seen = dataclasses.replace(two_routers(), keys=NEW)
    first = plan(seen)
    waiting = written(seen, first)
    assert "primary-key" in valid(plan(dataclasses.replace(waiting, now=seen.now + 9.9)))
    assert "primary-key" not in valid(plan(dataclasses.replace(waiting, now=seen.now + 10.1)))


def test_a_second_rotation_before_the_end_of_the_first_refuses_nobody() -> None:
    seen = dataclasses.replace(two_routers(), keys=NEW)
    seen = written(seen, plan(seen))
    third = plan(dataclasses.replace(seen, keys=Keys("another-primary", "third")))
    assert set(valid(third)) == {"primary-key", "another-primary", "secondary-key", "third"}


def test_without_a_ready_router_nobody_is_waited_for() -> None:
    seen = two_routers()
    gone = dataclasses.replace(seen, keys=NEW, routers=())
    later = written(gone, plan(gone))
    assert set(valid(plan(later))) == {"another-primary", "secondary-key"}


def test_keys_are_in_no_representation() -> None:
    seen = dataclasses.replace(two_routers(), keys=NEW)
    made = plan(seen)
    assert "primary-key" not in repr((seen, made))
    assert "another-primary" not in repr((seen, made))


def with_tokens(sets: dict[str, KeySet], **token) -> Plan:
    spec = {"traffic": {"blue": 100}, "authMode": "Token", "token": token or {"issuers": [ISSUER]}}
    return settle(world(deployment("blue"), spec=spec, key_sets=sets))[1]


def test_an_issuer_without_keys_lets_nobody_in_and_leaves_what_is_in_force() -> None:
    made = with_tokens({URI: KeySet(problem="it answers 500")})
    assert made.router
    assert (made.router.auth.version, made.router.auth.open) == ("", False)
    assert make.condition(made, "Ready") == ("False", "TokenKeysNotFound")


@pytest.mark.parametrize(
    "closing",
    [
        pytest.param({"authMode": "Key", "keys": {"secretName": "absent"}}, id="keys that are not there"),
        pytest.param({"authMode": "Token", "token": {"issuers": [ISSUER]}}, id="an issuer that does not answer"),
    ],
)
def test_an_endpoint_that_was_open_is_closed_though_nobody_can_be_let_in_yet(closing) -> None:
    seen, made = settle(world(deployment("blue"), spec={"traffic": {"blue": 100}, "authMode": "None"}))
    seen = written(seen, made)
    spec = EndpointSpec.model_validate({"traffic": {"blue": 100}, **closing})
    shut = dataclasses.replace(seen, endpoint=dataclasses.replace(seen.endpoint, spec=spec), keys=None)
    made = plan(shut)
    assert made.router
    assert (made.router.auth.version, made.router.auth.open) == ("closed", False)
    assert valid(made) == {}
    again = plan(written(shut, made))
    assert again.router
    assert again.router.auth.version == ""


def test_keys_that_were_read_before_stay_in_force_and_the_message_says_so() -> None:
    made = with_tokens({URI: KeySet(PUBLIC, "it answers 500")})
    assert made.router
    assert [(of.issuer, of.keys) for of in made.router.auth.issuers] == [("https://id.example.com", PUBLIC)]
    assert make.message(made) == (
        "the keys of issuer https://id.example.com: it answers 500; those that were read last stay in force"
    )


def test_one_issuer_that_does_not_answer_does_not_shut_out_the_others() -> None:
    other = {"issuer": "https://other", "audiences": ["fraud"], "jwks": PUBLIC}
    made = with_tokens({URI: KeySet(problem="it answers 500")}, issuers=[ISSUER, other])
    assert made.router
    assert [of.issuer for of in made.router.auth.issuers] == ["https://other"]


def test_this_cluster_is_an_issuer_under_its_own_name() -> None:
    own = KeySet(PUBLIC, issuer="https://kubernetes.default.svc")
    made = with_tokens({THIS_CLUSTER: own}, serviceAccounts={"audiences": ["fraud"], "claims": {"sub": ["a"]}})
    assert made.router
    (issuer,) = made.router.auth.issuers
    assert (issuer.issuer, issuer.audiences, issuer.claims) == (own.issuer, ("fraud",), {"sub": ("a",)})
    assert make.condition(made, "Ready") == ("True", "Ready")


def test_what_was_read_is_read_back_from_the_routers_files() -> None:
    made = with_tokens({URI: KeySet(PUBLIC)})
    assert made.router
    assert written_key_sets(envoy.auth_files(made.router)) == {
        URI: KeySet(PUBLIC, issuer="https://id.example.com"),
    }


def test_keys_in_the_manifest_that_are_none_are_said_where_no_api_server_could() -> None:
    issuer = {"issuer": "https://a", "audiences": ["x"], "jwks": "none"}
    spec, misfit = understood(EndpointSpec, {"authMode": "Token", "token": {"issuers": [issuer]}})
    assert misfit == ""
    seen = world(deployment("blue"))
    seen = dataclasses.replace(seen, endpoint=dataclasses.replace(seen.endpoint, spec=spec))
    made = settle(seen)[1]
    assert make.condition(made, "Ready") == ("False", "InvalidDeploymentSpec")
    assert "spec.token.issuers[0].jwks is no key set that tokens could be checked with: it is not JSON" in (
        make.message(made)
    )
