"""Certificates for tests: made anew each time, so that none is in the repository and none expires."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM."""

    chain: str
    key: str
    private: Any

    @property
    def entries(self) -> dict[str, bytes]:
        return {"tls.crt": self.chain.encode(), "tls.key": self.key.encode()}

    def secret(self, name: str = "fraud-tls") -> dict[str, Any]:
        """The manifest of a Secret that holds it."""
        data = {entry: base64.b64encode(text).decode() for entry, text in self.entries.items()}
        metadata = {"name": name, "namespace": "default"}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": data}

    @property
    def trust(self) -> ssl.SSLContext:
        """For callers that trust this certificate and no other."""
        return ssl.create_default_context(cadata=self.chain)


def pair(common_name: str = "fraud.test", *, key: Any = None, days: tuple[float, float] = (-1, 30)) -> Pair:
    """A certificate that signs itself, valid between these days from now."""
    private = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    hosts = x509.SubjectAlternativeName([x509.DNSName(common_name), x509.DNSName("localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=days[0]))
        .not_valid_after(NOW + timedelta(days=days[1]))
        .add_extension(hosts, critical=False)
        .sign(private, None if isinstance(private, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )
    text = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Pair(made.public_bytes(Encoding.PEM).decode(), text, private)


def encrypted(of: Pair) -> bytes:
    """Its key, with a password."""
    return bytes(of.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")))


def in_old_form(of: Pair) -> bytes:
    """Its key as OpenSSL wrote it for long."""
    return bytes(of.private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
