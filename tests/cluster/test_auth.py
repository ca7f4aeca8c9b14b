"""Who may call, in the cluster: keys made anew under load, tokens of service accounts, mistakes that change nothing."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from cluster.harness.machine import backend  # noqa: F401  (named by the mark BARE)
from cluster.kube import PATIENCE
from cluster.serving import Served, deployment, endpoint, waited

Figure = Callable[[str], None]
BARE = pytest.mark.skipif("backend().name != 'bare'", reason="the API server is started anew on `bare` only")
WYE = [sys.executable, "-m", "wye_operator.cli.main"]
ROTATIONS = 10
ISSUER = "https://id.example"


def regenerate(served: Served, key: str) -> str:
    """Run `wye keys regenerate`; what it printed."""
    where = ["-n", served.namespace.name, "--kubeconfig", served.namespace.cluster.env["KUBECONFIG"]]
    words = ["keys", "regenerate", "fraud", "--key", key, f"--timeout={PATIENCE}", *where]
    done = subprocess.run([*WYE, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def keys(served: Served) -> dict[str, str]:
    """Both keys, as `wye keys show` prints them."""
    where = ["-n", served.namespace.name, "--kubeconfig", served.namespace.cluster.env["KUBECONFIG"]]
    done = subprocess.run([*WYE, "keys", "show", "fraud", "-o", "json", *where], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def is_told(served: Served, reason: str) -> str:
    """Wait until the Endpoint has this reason; the sentence."""

    def ready() -> dict[str, str]:
        conditions = served.namespace.json("get", "mle", "fraud")["status"]["conditions"]
        return next(each for each in conditions if each["type"] == "Ready")

    waited(lambda: ready()["reason"] == reason)
    return ready()["message"]


def test_keys_made_anew_under_load(served: Served, figure: Figure):
    served.apply(endpoint(router={"replicas": 2}), deployment("blue"))
    written, took, old = of_its_user(served), [], keys(served)["secondaryKey"]
    with served.load() as load:  # with the primary key
        for _ in range(ROTATIONS):
            begun = time.monotonic()
            assert "live on 2 routers, and the old one is refused" in regenerate(served, "secondary")
            took.append(time.monotonic() - begun)
            new = keys(served)["secondaryKey"]
            assert [served.answered(key)[0] for key in (old, new, old, new)] == [401, 200, 401, 200]
            old = new
    figure(f"{ROTATIONS} key rotations, 2 routers: lost {load.lost} of {load.answers.total()}: {dict(load.answers)}")
    figure(f"  `wye keys regenerate` ended after {sum(took) / len(took):.1f} s, at most {max(took):.1f} s")
    assert of_its_user(served) == written  # who keeps it in Git finds it as it was
    served.lost_nothing(load)


def of_its_user(served: Served) -> dict:
    """What its user writes of the Endpoint."""
    found = served.namespace.json("get", "mle", "fraud")
    metadata = {
        name: value for name, value in found["metadata"].items() if name not in ("resourceVersion", "managedFields")
    }
    return {"metadata": metadata, "spec": found["spec"]}


def test_tokens_of_service_accounts(served: Served):
    for name in ("caller", "other"):
        served.namespace.kubectl("create", "serviceaccount", name)
    subject = f"system:serviceaccount:{served.namespace.name}:caller"
    accounts = {"audiences": ["fraud"], "claims": {"sub": [subject]}}
    served.apply(endpoint(authMode="Token", token={"serviceAccounts": accounts}), deployment("blue"))

    def token(account: str, *options: str) -> str:
        return served.namespace.kubectl("create", "token", account, *options).strip()

    asked = {
        "the right one": token("caller", "--audience=fraud"),
        "for another audience": token("caller", "--audience=other"),
        "for the API server": token("caller"),
        "of another account": token("other", "--audience=fraud"),
        "nothing": "",
    }
    assert {name: served.answered(given)[0] for name, given in asked.items()} == {
        "the right one": 200,
        "for another audience": 403,
        "for the API server": 403,
        "of another account": 403,
        "nothing": 401,
    }


@BARE
def test_another_key_of_the_api_server_counts_and_tokens_of_the_one_before_stay_good(served: Served, figure: Figure):
    served.namespace.kubectl("create", "serviceaccount", "caller")
    trusted = endpoint(authMode="Token", token={"serviceAccounts": {"audiences": ["fraud"]}}, router={"replicas": 2})
    served.apply(trusted, deployment("blue"))
    server = served.namespace.cluster.backend

    def token() -> str:
        return served.namespace.kubectl("create", "token", "caller", "--audience=fraud").strip()

    old = token()
    with served.load(old) as load:
        server.stop("kube-apiserver")
        server.sign_anew()
        server.start("kube-apiserver")
        server.up()  # and until it answers
        new = token()
        assert kid(new) != kid(old)
        took = waited(lambda: served.answered(new)[0] == 200)
        everywhere = waited(lambda: {served.answered(new)[0] for _ in range(10)} == {200})
        assert served.answered(old)[0] == 200
    figure(
        f"tokens of another key of the API server: taken {took:.1f} s after it answered, by all {everywhere:.1f} s on"
    )
    figure(f"  lost {load.lost} of {load.answers.total()} with a token of the key before")
    served.lost_nothing(load)


def kid(token: str) -> str:
    """Which key signed it."""
    head = token.partition(".")[0]
    return json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]


def signed(key: ECKey) -> str:
    claims = {"iss": ISSUER, "aud": "fraud", "sub": "alice", "exp": int(time.time()) + 3600}
    return jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key, algorithms=["ES256"])


def test_an_issuers_keys_change_and_wrong_ones_leave_the_last_good_ones_in_force(served: Served, figure: Figure):
    first, second = (ECKey.generate_key("P-256", {"kid": kid}) for kid in ("first", "second"))

    def trusting(text: str) -> dict:
        issuer = {"issuer": ISSUER, "audiences": ["fraud"], "jwks": text}
        return endpoint(authMode="Token", token={"issuers": [issuer]})

    def public(key: ECKey) -> str:
        return json.dumps({"keys": [key.as_dict(private=False)]})

    served.apply(trusting(public(first)), deployment("blue"))
    assert [served.answered(signed(key))[0] for key in (first, second)] == [200, 401]
    served.namespace.apply(trusting(public(second)))
    took = waited(lambda: served.answered(signed(second))[0] == 200)
    figure(f"another key set of an issuer counted after {took:.1f} s")
    assert served.answered(signed(first))[0] == 401
    served.namespace.apply(trusting('{"keys": []}'))
    assert "spec.token.issuers[0].jwks is no key set" in is_told(served, "InvalidDeploymentSpec")
    assert served.answered(signed(second))[0] == 200


def test_a_secret_with_a_mistake_leaves_the_last_good_keys_in_force(served: Served):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mine"}}
    both = {"primaryKey": "first-of-mine", "secondaryKey": "second-of-mine"}
    served.namespace.apply({**secret, "stringData": both})
    served.apply(endpoint(keys={"secretName": "mine"}), deployment("blue"))
    assert served.answered("first-of-mine")[0] == 200
    served.namespace.kubectl(
        "patch", "secret", "mine", "--type=json", '-p=[{"op":"remove","path":"/data/secondaryKey"}]'
    )
    assert "Secret mine has no secondaryKey" in is_told(served, "KeysNotFound")
    assert served.answered("first-of-mine")[0] == 200
    assert served.answered("")[0] == 401
