"""The URL that `expose` makes."""

from __future__ import annotations

from typing import Any

import pytest

from make import endpoint_spec
from wye_operator.plan.exposure import exposed_url

HOSTS = ["fraud.test", "other.test"]
URLS = {
    "nothing": ({}, True, ""),
    "an Ingress": ({"ingress": {"host": "fraud.test"}}, False, "http://fraud.test"),
    "an Ingress with a certificate": (
        {"ingress": {"host": "fraud.test", "tlsSecretName": "fraud-tls"}},
        False,
        "https://fraud.test",
    ),
    "an HTTPRoute": ({"httpRoute": {"parentRefs": [{"name": "g"}], "hostnames": HOSTS}}, True, "http://fraud.test"),
    "an HTTPRoute on a listener that says HTTPS": (
        {"httpRoute": {"parentRefs": [{"name": "g", "sectionName": "https-public"}], "hostnames": HOSTS}},
        True,
        "https://fraud.test",
    ),
    "an HTTPRoute on port 443": (
        {"httpRoute": {"parentRefs": [{"name": "g"}, {"name": "h", "port": 443}], "hostnames": HOSTS}},
        True,
        "https://fraud.test",
    ),
    "an HTTPRoute without the Gateway API": (
        {"httpRoute": {"parentRefs": [{"name": "g"}], "hostnames": HOSTS}},
        False,
        "",
    ),
}


@pytest.mark.parametrize(("expose", "has", "url"), URLS.values(), ids=URLS)
def test_urls(expose: dict[str, Any], has: bool, url: str) -> None:  # noqa: FBT001  of a table
    spec = endpoint_spec(**({"expose": expose} if expose else {}))
    assert exposed_url(spec, has_gateway_api=has) == url
