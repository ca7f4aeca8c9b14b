"""Plays the two that an Endpoint trusts: who issues its certificate, and who issues its callers' tokens.

Writes credentials.yaml (a certificate for localhost and its key, as a Secret), endpoint.yaml (endpoint.template with
the public key that tokens are checked with), and token.txt (a token that is good for an hour).
"""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

HERE = Path(__file__).parent
CLAIMS = {"iss": "https://login.example.com/tenant", "aud": "weather", "sub": "alice", "scope": "score other"}


def text(data: bytes) -> str:
    """Base64 as tokens have it."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def certificate(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    """One that signs itself, for 30 days."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    begun = datetime.now(UTC) - timedelta(minutes=5)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(begun)
    made = made.not_valid_after(begun + timedelta(days=30))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    return made.sign(key, None).public_bytes(Encoding.PEM)


def secret() -> str:
    """The certificate and its key, as a manifest."""
    key = ed25519.Ed25519PrivateKey.generate()
    entries = {
        "tls.crt": certificate(key),
        "tls.key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    }
    data = {name: base64.b64encode(content).decode() for name, content in entries.items()}
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "weather-tls"}, "type": "kubernetes.io/tls"}
    return json.dumps({**manifest, "data": data}, indent=1)  # JSON is YAML


def main() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    public = {
        "kty": "OKP",
        "crv": "Ed25519",
        "kid": "one",
        "use": "sig",
        "x": text(key.public_key().public_bytes_raw()),
    }
    head = {"alg": "EdDSA", "kid": "one", "typ": "JWT"}
    body = {**CLAIMS, "exp": int(time.time()) + 3600}
    unsigned = ".".join(text(json.dumps(part).encode()) for part in (head, body))
    (HERE / "token.txt").write_text(f"{unsigned}.{text(key.sign(unsigned.encode()))}")
    template = (HERE / "endpoint.template").read_text()
    (HERE / "endpoint.yaml").write_text(template.replace("@KEYS@", json.dumps({"keys": [public]})))
    (HERE / "credentials.yaml").write_text(secret())


if __name__ == "__main__":
    main()
