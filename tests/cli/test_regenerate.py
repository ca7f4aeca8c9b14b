"""`wye keys regenerate`: the key is written, the operator is told, and the command ends when all routers have it."""

from __future__ import annotations

import base64

import pytest

from wye_operator import settings
from wye_operator.plan.auth import keys_version
from wye_operator.plan.world import Keys

from .things import endpoint, secret

OWNED = {"ownerReferences": [{"kind": "Endpoint", "name": "fraud", "uid": "uid-fraud"}], "resourceVersion": "7"}
FOUND = "Secret fraud-keys is yours (the Endpoint did not make it), so nothing was written: put the new "


def keys_in(server, name: str = "fraud-keys") -> Keys:
    data = server.objects["team", "secrets"][name]["data"]
    return Keys(*(base64.b64decode(data[entry]).decode() for entry in ("primaryKey", "secondaryKey")))


@pytest.fixture
def fraud(server):
    """An Endpoint whose operator does its work as soon as it is told."""

    def told(plural, change):
        if plural == "configmaps":
            found["status"]["router"]["authVersion"] = keys_version(keys_in(server), "fraud")

    found, held = endpoint(), secret()
    held["metadata"] |= OWNED
    server.add("mlendpoints", found)
    server.add("secrets", held)
    server.add(
        "configmaps",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fraud-router", "namespace": "team"}},
    )
    server.written = told
    return found


@pytest.mark.parametrize(
    ("key", "kept"), [("primary", "second-key"), ("secondary", "first-key")], ids=["primary", "secondary"]
)
def test_one_key_is_made_anew_and_the_other_stays(fraud, config, wye, server, key, kept):
    assert wye("keys", "regenerate", "fraud", "--key", key) == 0
    keys = keys_in(server)
    fresh, other = (keys.primary, keys.secondary) if key == "primary" else (keys.secondary, keys.primary)
    assert (len(fresh), other) == (43, kept)
    assert wye.out.startswith(f"the new {key} key of fraud: live on 1 router, and the old one is refused (")
    assert wye.err == f"the new {key} key of fraud: in Secret fraud-keys; waiting until every router has it\n"
    assert fresh not in wye.out + wye.err


def test_the_operator_is_told_which_secret_to_read_again(fraud, config, wye, server):
    assert wye("keys", "regenerate", "fraud", "--key", "primary") == 0
    held, files = (server.objects["team", k][n] for k, n in (("secrets", "fraud-keys"), ("configmaps", "fraud-router")))
    assert files["metadata"]["annotations"]["wye.dev/keys-renewed"] == held["metadata"]["resourceVersion"] == "8"
    assert "annotations" not in fraud["metadata"]


def test_whoever_may_not_write_configmaps_waits_for_the_operator(fraud, config, wye, server):
    server.forbidden = {"patch configmaps"}
    server.written = lambda plural, change: fraud["status"]["router"].update(
        authVersion=keys_version(keys_in(server), "fraud")
    )
    assert wye("keys", "regenerate", "fraud", "--key", "primary") == 0
    assert "the operator cannot be told, and reads Secrets every 30 s: " in wye.err
    assert "the ClusterRole edit, bound in namespace team, would allow it" in wye.err


def test_an_endpoint_without_routers_has_nobody_to_hurry(fraud, config, wye, server):
    server.objects["team", "configmaps"].clear()
    server.written = lambda plural, change: fraud["status"]["router"].update(
        authVersion=keys_version(keys_in(server), "fraud")
    )
    assert wye("keys", "regenerate", "fraud", "--key", "primary") == 0
    assert "cannot be told" not in wye.err


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        pytest.param(("RouterBehind", "router fraud-router-1 has not taken the keys"), "RouterBehind: ", id="behind"),
        pytest.param(("Ready", ""), "nobody has looked at it yet; is the operator (or the twin) running?", id="nobody"),
    ],
)
def test_routers_that_do_not_take_it_are_named_and_the_key_stays_written(config, wye, server, condition, why):
    held = secret()
    held["metadata"] |= OWNED
    server.add("mlendpoints", endpoint("fraud", *condition))
    server.add("secrets", held)
    assert wye("keys", "regenerate", "fraud", "--key", "primary", "--timeout", "0.3") == 1
    assert "wye: the new primary key of fraud: in Secret fraud-keys, but after 0.3 s not on every router: " in wye.err
    assert why + condition[1] in wye.err
    assert "wye status fraud -n team says how far" in wye.err
    assert keys_in(server).primary != "first-key"


def test_a_key_that_somebody_changed_meanwhile_is_told(fraud, config, wye, server):
    def told(plural, change):
        server.objects["team", "secrets"]["fraud-keys"]["data"]["primaryKey"] = "bmV3"

    server.written = told
    assert wye("keys", "regenerate", "fraud", "--key", "primary", "--timeout", "0") == 1
    assert "Secret fraud-keys was changed once more meanwhile; what stands there now counts" in wye.err


def test_two_at_once_do_not_overwrite_each_other(fraud, config, wye, server, monkeypatch):
    def overtaken() -> str:
        server.objects["team", "secrets"]["fraud-keys"]["metadata"]["resourceVersion"] = "9"
        return "never-written"

    monkeypatch.setattr(settings, "fresh_key", overtaken)
    assert wye("keys", "regenerate", "fraud", "--key", "primary") == 1
    assert wye.err == (
        "wye: Secret fraud-keys was changed at this moment, and nothing was written: run the command again\n"
    )
    assert keys_in(server) == Keys("first-key", "second-key")


@pytest.mark.parametrize(
    ("spec", "held", "sentence"),
    [
        pytest.param({"authMode": "None"}, {}, "Endpoint fraud asks for no key: its authMode is None", id="open"),
        pytest.param({"authMode": "Token"}, {}, "Endpoint fraud has no keys: its authMode is Token", id="tokens"),
        pytest.param({}, {}, f"{FOUND}primaryKey there, and the routers follow", id="a Secret that was there before"),
        pytest.param(
            {"keys": {"secretName": "fraud-keys"}},
            OWNED,
            "Secret fraud-keys is yours (the Endpoint names it in keys.secretName), so nothing was written: "
            "put the new primaryKey there, and the routers follow",
            id="a Secret that is named",
        ),
    ],
)
def test_keys_that_are_not_wyes_own_are_left_alone(config, wye, server, spec, held, sentence):
    found = secret()
    found["metadata"] |= held
    server.add("mlendpoints", endpoint(spec=spec))
    server.add("secrets", found)
    assert wye("keys", "regenerate", "fraud", "--key", "primary") == 1
    assert (wye.out, wye.err) == ("", f"wye: {sentence}\n")
    assert keys_in(server) == Keys("first-key", "second-key")


@pytest.mark.parametrize("refused", ["secrets", "patch secrets"])
def test_whoever_may_not_is_told_who_may(fraud, config, wye, server, refused):
    server.forbidden = {refused}
    assert wye("keys", "regenerate", "fraud", "--key", "primary") == 1
    verb = refused.split()[0] if " " in refused else "get"
    assert f'User "me" cannot {verb} resource "secrets"' in wye.err
    assert "the ClusterRole edit, bound in namespace team, would allow it" in wye.err
    assert keys_in(server) == Keys("first-key", "second-key")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        pytest.param(["other", "--key", "primary"], 1, "there is no Endpoint other in namespace team", id="unknown"),
        pytest.param(["fraud"], 2, "the following arguments are required: --key", id="which of the two"),
        pytest.param(["fraud", "--key", "third"], 2, "invalid choice: 'third'", id="no third"),
        pytest.param(["a/nowhere", "--key", "primary"], 1, "there is no folder a/nowhere; must be", id="no folder"),
        pytest.param([".", "--key", "primary"], 1, "no twin is running for .: wye local up .", id="no twin"),
        pytest.param(
            ["a/b", "--key", "primary", "-n", "team"],
            1,
            "with -n it must be an Endpoint of a cluster, and a/b is no Endpoint's name; "
            "for the twin of a folder: wye keys regenerate a/b\n",
            id="a folder with -n",
        ),
        pytest.param(["fraud", "--key", "primary", "--timeout", "soon"], 2, "soon is no time", id="no time"),
    ],
)
def test_mistakes_are_said(fraud, config, wye, arguments, code, sentence):
    assert wye("keys", "regenerate", *arguments) == code
    assert sentence in wye.err


def test_no_fresh_key_begins_as_an_option_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 64 did, and `wye invoke --key KEY` expected an argument."""
    made = iter(["-two", "-three", "four"])
    monkeypatch.setattr(settings.secrets, "token_urlsafe", lambda _: next(made))
    assert settings.fresh_key() == "four"
