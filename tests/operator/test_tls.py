"""The certificate of an Endpoint in a cluster: read by name, checked, handed to the routers, kept while it is good."""

from __future__ import annotations

import base64
import json

import pytest

import certs
from wye_operator.cluster.kinds import CONFIGMAPS, ENDPOINTS, SECRETS, SERVICES, WORKLOADS

from .place import Place, deployment, endpoint

TLS = {"tls": {"secretName": "fraud-tls"}}


@pytest.fixture
def place():
    made = Place()
    made.time = certs.NOW.timestamp()
    return made


def shown(place):
    """The chain and the key that the routers' Secret has; "" where it has none."""
    files = place.api.find(SECRETS, "fraud-router")["data"]
    found = json.loads(base64.b64decode(files["tls.json"]))["resources"]
    pair = found[0]["tls_certificate"] if found else {}
    return tuple(pair.get(half, {}).get("inline_string", "") for half in ("certificate_chain", "private_key"))


def message(place):
    return place.status(ENDPOINTS, "fraud")["conditions"][0]["message"]


async def later(place):
    """Half a minute on: Secrets are read again."""
    place.time += 31
    await place.reads.refresh()
    await place.settle()


async def begin(place, **spec):
    place.api.user(endpoint(**spec))
    place.api.user(deployment())
    await place.settle()


async def test_https_at_port_443_with_the_secrets_certificate(place):
    pair = certs.pair()
    place.api.user(pair.secret())
    await begin(place, **TLS)
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    assert shown(place) == (pair.chain, pair.key)
    [port] = place.api.find(SERVICES, "fraud")["spec"]["ports"]
    assert (port["name"], port["port"], port["appProtocol"]) == ("https", 443, "https")
    assert place.status(ENDPOINTS, "fraud")["scoringUri"] == "https://fraud.default.svc/score"
    assert place.status(ENDPOINTS, "fraud")["grpcTarget"] == "fraud.default.svc:443"
    for kind, name in ((CONFIGMAPS, "fraud-router"), (WORKLOADS, "fraud-router"), (ENDPOINTS, "fraud")):
        assert "PRIVATE KEY" not in json.dumps(place.api.find(kind, name))


async def test_another_certificate_is_live_without_a_restart(place):
    place.api.user(certs.pair().secret())
    await begin(place, **TLS)
    place.api.calls.clear()
    renewed = certs.pair("renewed.test")
    place.api.user(renewed.secret())
    await later(place)
    assert shown(place)[0] == renewed.chain
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    written = {call[1] for call in place.api.writes}
    assert written <= {"secrets", "configmaps", "pods", "mlendpoints"}, "and no Deployment"


BAD = {
    "the Secret goes": (None, "CertificateNotFound", "there is no Secret fraud-tls in namespace default"),
    "another's key": (
        {**certs.pair().entries, "tls.key": certs.pair().entries["tls.key"]},
        "CertificateInvalid",
        "Secret fraud-tls: tls.key does not fit tls.crt: they are of two pairs",
    ),
    "an empty Secret": ({}, "CertificateInvalid", "Secret fraud-tls: it has no tls.crt"),
}


@pytest.mark.parametrize(("entries", "reason", "why"), BAD.values(), ids=BAD)
async def test_what_does_not_fit_leaves_the_last_good_one_in_force(place, entries, reason, why):
    good = certs.pair()
    place.api.user(good.secret())
    await begin(place, **TLS)
    bad = {"data": {name: base64.b64encode(text).decode() for name, text in (entries or {}).items()}}
    place.api.remove(SECRETS, "fraud-tls") if entries is None else place.api.user({**good.secret(), **bad})
    await later(place)
    assert place.ready(ENDPOINTS, "fraud") == ("False", reason)
    assert message(place) == f"{why}; the last good one stays in force"
    assert shown(place) == (good.chain, good.key)
    place.api.user(endpoint(**TLS, limits={"maxRequestBytes": "1Ki"}))  # routers roll, and start with it
    await place.settle()
    assert shown(place) == (good.chain, good.key)
    renewed = certs.pair()
    place.api.user(renewed.secret())
    await later(place)
    assert (place.ready(ENDPOINTS, "fraud"), shown(place)[0]) == (("True", "Ready"), renewed.chain)


async def test_a_new_endpoint_waits_for_its_certificate_and_serves_nobody_without(place):
    await begin(place, **TLS)
    assert place.ready(ENDPOINTS, "fraud") == ("False", "CertificateNotFound")
    assert shown(place) == ("", "")
    assert "DownstreamTlsContext" in place.api.find(CONFIGMAPS, "fraud-router")["data"]["bootstrap.json"]
    place.api.user(certs.pair().secret())
    await later(place)
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")


async def test_one_that_is_served_without_goes_on_until_its_certificate_is_there(place):
    await begin(place)
    place.api.user(endpoint(**TLS))
    await place.settle()
    assert place.ready(ENDPOINTS, "fraud") == ("False", "CertificateNotFound")
    assert place.api.find(SERVICES, "fraud")["spec"]["ports"][0]["port"] == 80
    assert "DownstreamTlsContext" not in place.api.find(CONFIGMAPS, "fraud-router")["data"]["bootstrap.json"]
    place.api.user(certs.pair().secret())
    await later(place)
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    assert place.api.find(SERVICES, "fraud")["spec"]["ports"][0]["port"] == 443


async def test_a_certificate_that_expires_is_said_at_its_hour(place):
    pair = certs.pair(days=(-1, 1 / 24))
    place.api.user(pair.secret())
    await begin(place, **TLS)
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    await place.settle(horizon=3700, seconds=3700)
    assert place.ready(ENDPOINTS, "fraud") == ("False", "CertificateInvalid")
    assert "expired at" in message(place)
    assert shown(place)[0] == pair.chain
