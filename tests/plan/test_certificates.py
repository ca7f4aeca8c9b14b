"""What a Secret may hold as a certificate, and what is said of each that routers could not use."""

from __future__ import annotations

import base64
import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

import certs
from wye_operator.plan.certificates import certificate_in

ONE, OTHER = certs.pair("one"), certs.pair("other")


def bent(before: str, after: str, of: certs.Pair = ONE) -> bytes:
    """The certificate with other bytes in it, as hex: it is read as one, and not all of it can be."""
    der = x509.load_pem_x509_certificate(of.chain.encode()).public_bytes(Encoding.DER)
    assert bytes.fromhex(before) in der
    text = base64.encodebytes(der.replace(bytes.fromhex(before), bytes.fromhex(after)))
    return b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"


def stapled() -> bytes:
    """The certificate, for servers that bring an OCSP answer."""
    first = x509.load_pem_x509_certificate(ONE.chain.encode())
    asks = x509.TLSFeature([x509.TLSFeatureType.status_request])
    made = (
        x509.CertificateBuilder(first.issuer, first.subject, first.public_key(), first.serial_number)
        .not_valid_before(first.not_valid_before_utc)
        .not_valid_after(first.not_valid_after_utc)
        .add_extension(asks, critical=False)
    )
    return made.sign(ONE.private, hashes.SHA256()).public_bytes(Encoding.PEM)


LONG = certs.pair(key=rsa.generate_private_key(65537, 2048))
FOR_PSS_ALONE = bent("300d06092a864886f70d0101010500", "300d06092a864886f70d01010a3000", LONG)
ON_AN_UNKNOWN_CURVE = bent("2a8648ce3d030107", "2a8648ce3d030102")
WITH_A_TORN_KEY = bent("03420004", "03420005")
OF_AN_UNKNOWN_VERSION = bent("a003020102", "a003020112")
NO_KEY = "the first certificate of tls.crt has no key that can be read; it must be RSA, P-256, P-384, P-521 or Ed25519"
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
    "an issuer's key of a kind that nobody here knows": {
        **ONE.entries,
        "tls.crt": ONE.chain.encode() + ON_AN_UNKNOWN_CURVE,
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
    "an RSA key for PSS alone": (
        {**LONG.entries, "tls.crt": FOR_PSS_ALONE},
        "its key is written in a form that routers do not know (RSA-PSS, or a curve that has no name)",
    ),
    "must-staple": (
        {**ONE.entries, "tls.crt": stapled()},
        "it must come with an OCSP answer (must-staple), and routers have none: order one without",
    ),
    "a curve that nobody here knows": ({**ONE.entries, "tls.crt": ON_AN_UNKNOWN_CURVE}, NO_KEY),
    "a torn public key": ({**ONE.entries, "tls.crt": WITH_A_TORN_KEY}, NO_KEY),
    "another version of certificates": (
        {**ONE.entries, "tls.crt": OF_AN_UNKNOWN_VERSION},
        "tls.crt is not a certificate in PEM",
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
