"""The certificate of an Endpoint as a Secret has it: one reader for both back ends. Pure; called by gather.

What Envoy would refuse is refused here, with a sentence; Envoy is handed what was understood, in one form of PEM.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from wye_operator.api.status import Reason
from wye_operator.errors import WyeError
from wye_operator.plan.world import Certificate, Obstacle

CHAIN, KEY = "tls.crt", "tls.key"
CURVES = ("secp256r1", "secp384r1", "secp521r1")
LEAST_RSA_BITS = 2048
# What reading an extension raises where there is none, or none that our library understands.
UNREAD = (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError, KeyError)
KINDS = "RSA, P-256, P-384, P-521 or Ed25519"


class _Unfit(WyeError):
    """Why a certificate cannot be used."""


def certificate_in(secret: str, entries: Mapping[str, bytes], now: float) -> tuple[Certificate | None, Obstacle | None]:
    """The certificate of a Secret of that name, or why it cannot be used now; nothing of the key is in a sentence."""
    try:
        chain, key = _chain(entries), _key(entries)
        _insist_on_a_pair(chain, key)
        _insist_on_a_form(chain[0])
        _insist_on_today(chain[0], now)
    except _Unfit as why:
        return None, Obstacle(Reason.CERTIFICATE_INVALID, f"Secret {secret}: {why}")
    text = "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in chain)
    secret_half = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Certificate(text, secret_half, chain[0].not_valid_after_utc.timestamp()), None


def no_certificate(secret: str, where: str) -> Obstacle:
    """The Secret is not there; somebody (such as cert-manager) may still make it."""
    return Obstacle(Reason.CERTIFICATE_NOT_FOUND, f"there is no Secret {secret} in {where}")


def _entry(entries: Mapping[str, bytes], name: str) -> bytes:
    if not entries.get(name, b"").strip():
        raise _Unfit(f"it has no {name}")
    return entries[name]


def _chain(entries: Mapping[str, bytes]) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_entry(entries, CHAIN))
    except (ValueError, x509.InvalidVersion):
        raise _Unfit(f"{CHAIN} is not a certificate in PEM") from None


def _key(entries: Mapping[str, bytes]) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(_entry(entries, KEY), None)
    except TypeError:
        raise _Unfit(f"{KEY} is encrypted, and nobody could say its password: store it without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _Unfit(f"{KEY} is not a private key in PEM") from None


def _insist_on_a_pair(chain: list[x509.Certificate], key: PrivateKeyTypes) -> None:
    """The first certificate is the key's, and of a kind that routers can use."""
    publics, own = [_public(certificate) for certificate in chain], _bytes(key.public_key())
    places = [place for place, found in enumerate(publics) if found is not None and _bytes(found) == own]
    if not places and publics[0] is None:
        raise _Unfit(f"the first certificate of {CHAIN} has no key that can be read; it must be {KINDS}")
    if not places:
        raise _Unfit(f"{KEY} does not fit {CHAIN}: they are of two pairs")
    if places[0] != 0:
        raise _Unfit(f"{KEY} fits certificate {places[0] + 1} of {CHAIN}: the Endpoint's own must come first")
    _insist_on_a_kind(publics[0])


def _insist_on_a_kind(public: PublicKeyTypes | None) -> None:
    if isinstance(public, rsa.RSAPublicKey):
        if public.key_size < LEAST_RSA_BITS:
            raise _Unfit(f"its RSA key has {public.key_size} bits; routers need {LEAST_RSA_BITS} or more")
    elif isinstance(public, ec.EllipticCurvePublicKey):
        if public.curve.name not in CURVES:
            raise _Unfit(f"its key is on the curve {public.curve.name}; routers know P-256, P-384 and P-521")
    elif not isinstance(public, ed25519.Ed25519PublicKey):
        raise _Unfit(f"its key is of a kind that routers do not know: {KINDS}")


def _insist_on_a_form(certificate: x509.Certificate) -> None:
    """What our library reads and Envoy refuses; a router that starts with such a file would serve nobody."""
    if _bytes(certificate.public_key()) not in certificate.tbs_certificate_bytes:
        raise _Unfit("its key is written in a form that routers do not know (RSA-PSS, or a curve that has no name)")
    try:
        features = certificate.extensions.get_extension_for_class(x509.TLSFeature).value
    except UNREAD:
        return
    if x509.TLSFeatureType.status_request in features:
        raise _Unfit("it must come with an OCSP answer (must-staple), and routers have none: order one without")


def _public(certificate: x509.Certificate) -> PublicKeyTypes | None:
    """None: torn, or of a kind that nobody here knows; behind the Endpoint's own that is an issuer's affair."""
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None


def _bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _insist_on_today(certificate: x509.Certificate, now: float) -> None:
    today = datetime.fromtimestamp(now, UTC)
    if today >= certificate.not_valid_after_utc:
        raise _Unfit(f"the certificate expired at {_at(certificate.not_valid_after_utc)}: renew it")
    if today < certificate.not_valid_before_utc:
        raise _Unfit(f"the certificate is valid from {_at(certificate.not_valid_before_utc)} on, not yet")


def _at(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
