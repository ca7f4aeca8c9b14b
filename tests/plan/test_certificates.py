"""What a Secret may hold as a certificate, and what is said of each that routers could not use."""

from __future__ import annotations

import re

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

import certs
from wye_operator.plan.certificates import certificate_in

ONE, OTHER = certs.pair("one"), certs.pair("other")
NOW = certs.NOW.timestamp()

FIT = {
    "P-256": ONE.entries,
    "P-384": certs.pair(key=ec.generate_private_key(ec.SECP384R1())).entries,
    "P-521": certs.pair(key=ec.generate_private_key(ec.SECP521R1())).entries,
    "RSA": certs.pair(key=rsa.generate_private_key(65537, 2048)).entries,
    "Ed25519": certs.pair(key=ed25519.Ed25519PrivateKey.generate()).entries,
    "with those of its issuers": {**ONE.entries, "tls.crt": (ONE.chain + OTHER.chain).encode()},
    "with what people write around it": {
        **ONE.entries,
        "tls.crt": b"subject=one\n" + ONE.entries["tls.crt"] + b"\n\n",
        "ca.crt": b"?",
    },
    "a key in the old form": {**ONE.entries, "tls.key": certs.in_old_form(ONE)},
}


@pytest.mark.parametrize("entries", FIT.values(), ids=FIT)
def test_what_fits_is_taken_in_one_form(entries: dict[str, bytes]) -> None:
    found, obstacle = certificate_in("fraud-tls", entries, NOW)
    assert (obstacle, found is not None) == (None, True)
    assert found
    assert found.chain.startswith("-----BEGIN CERTIFICATE-----\n")
    assert found.key.startswith("-----BEGIN PRIVATE KEY-----\n")
    assert found.until == certs.NOW.replace(microsecond=0).timestamp() + 30 * 86_400
    assert found.key not in repr(found)


UNFIT = {
    "nothing in it": ({}, "it has no tls.crt"),
    "no key": ({"tls.crt": ONE.entries["tls.crt"]}, "it has no tls.key"),
    "an empty certificate": ({**ONE.entries, "tls.crt": b" \n"}, "it has no tls.crt"),
    "no certificate but text": ({**ONE.entries, "tls.crt": b"hello"}, "tls.crt is not a certificate in PEM"),
    "a torn certificate": (
        {**ONE.entries, "tls.crt": ONE.entries["tls.crt"][:200]},
        "tls.crt is not a certificate in PEM",
    ),
    "DER": ({**ONE.entries, "tls.crt": b"\x30\x82\x01"}, "tls.crt is not a certificate in PEM"),
    "the two changed places": (
        {"tls.crt": ONE.entries["tls.key"], "tls.key": ONE.entries["tls.crt"]},
        "tls.crt is not a certificate in PEM",
    ),
    "no key but text": ({**ONE.entries, "tls.key": b"hello"}, "tls.key is not a private key in PEM"),
    "a key with a password": (
        {**ONE.entries, "tls.key": certs.encrypted(ONE)},
        "tls.key is encrypted, and nobody could say its password: store it without one",
    ),
    "another's key": (
        {**ONE.entries, "tls.key": OTHER.entries["tls.key"]},
        "tls.key does not fit tls.crt: they are of two pairs",
    ),
    "the issuer's first": (
        {**ONE.entries, "tls.crt": (OTHER.chain + ONE.chain).encode()},
        "tls.key fits certificate 2 of tls.crt: the Endpoint's own must come first",
    ),
    "a short RSA key": (
        certs.pair(key=rsa.generate_private_key(65537, 1024)).entries,
        "its RSA key has 1024 bits; routers need 2048 or more",
    ),
    "a curve of other uses": (
        certs.pair(key=ec.generate_private_key(ec.SECP256K1())).entries,
        "its key is on the curve secp256k1; routers know P-256, P-384 and P-521",
    ),
    "DSA": (
        certs.pair(key=dsa.generate_private_key(2048)).entries,
        "its key is of a kind that routers do not know: RSA, P-256, P-384, P-521 or Ed25519",
    ),
    "expired": (certs.pair(days=(-9, -2)).entries, "the certificate expired at TIME: renew it"),
    "of tomorrow": (certs.pair(days=(1, 9)).entries, "the certificate is valid from TIME on, not yet"),
}


@pytest.mark.parametrize(("entries", "sentence"), UNFIT.values(), ids=UNFIT)
def test_what_does_not_fit_is_said(entries: dict[str, bytes], sentence: str) -> None:
    found, obstacle = certificate_in("fraud-tls", entries, NOW)
    assert found is None
    assert obstacle
    told = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", obstacle.message)
    assert (obstacle.reason, told) == ("CertificateInvalid", f"Secret fraud-tls: {sentence}")


def test_a_certificate_ends_at_its_time_to_the_second() -> None:
    until = certs.NOW.replace(microsecond=0).timestamp() + 30 * 86_400
    assert certificate_in("s", ONE.entries, until - 1)[1] is None
    assert certificate_in("s", ONE.entries, until)[0] is None
