"""HTTPS between callers and routers: the certificate comes from a watched file, so another one needs no restart."""

from __future__ import annotations

import json
from collections.abc import Mapping

from wye_operator.plan.wanted import Tls
from wye_operator.plan.world import Certificate, InForce
from wye_operator.render.resources import Json, discovery, extension, typed, watched

NAME = "tls"
FILE = "tls.json"
MESSAGES = "envoy.extensions.transport_sockets.tls.v3"
PROTOCOLS = ("h2", "http/1.1")  # by ALPN; who says nothing speaks HTTP/1.1


def transport_socket(folder: str) -> Json:
    """Of the data port: TLS 1.2 and 1.3 with Envoy's own choice of ciphers."""
    common = {
        "alpn_protocols": list(PROTOCOLS),
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificate_sds_secret_configs": [{"name": NAME, "sds_config": watched(folder, FILE)}],
    }
    return extension("tls", f"{MESSAGES}.DownstreamTlsContext", {"common_tls_context": common})


def certificate_file(tls: Tls) -> bytes:
    """What stands in `tls.json`; without a certificate routers close every connection."""
    return discovery(tls.version, *([_secret(tls.certificate)] if tls.certificate else []))


def _secret(certificate: Certificate) -> Json:
    pair = {
        "certificate_chain": {"inline_string": certificate.chain},
        "private_key": {"inline_string": certificate.key},
    }
    return typed(f"{MESSAGES}.Secret", {"name": NAME, "tls_certificate": pair})


def in_force(files: Mapping[str, bytes]) -> InForce:
    """What the routers' secret files say of TLS now; what Wye did not write so holds no certificate."""
    if not files:
        return "nothing"
    if FILE not in files:
        return "plain"
    try:
        return "certificate" if json.loads(files[FILE])["resources"] else "placeholder"
    except (KeyError, TypeError, ValueError):
        return "placeholder"
