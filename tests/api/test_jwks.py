"""Key sets as people and providers write them: which are taken, what is said of the others, and that nothing leaks."""

from __future__ import annotations

import json

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from wye_operator.api.jwks import UnusableKeys, public_keys

RSA = RSAKey.generate_key(2048, {"kid": "r"})
EC = ECKey.generate_key("P-256", {"kid": "e"})


def public(key, **more) -> dict:
    return {**key.as_dict(private=False), **more}


def text(*keys) -> str:
    return json.dumps({"keys": list(keys)})


@pytest.mark.parametrize(
    "key",
    [RSA, EC, ECKey.generate_key("P-384"), ECKey.generate_key("P-521"), OKPKey.generate_key("Ed25519")],
    ids=lambda key: f"{key.key_type} {key.as_dict(private=False).get('crv', '')}",
)
def test_a_public_key_is_taken_as_it_is(key) -> None:
    (kept,) = json.loads(public_keys(text(public(key, x5c=["MII"], use="sig"))))["keys"]
    assert kept == {name: value for name, value in public(key).items() if name != "use"}


def test_of_several_keys_those_for_signatures_are_taken() -> None:
    listed = (OctKey.generate_key(256).as_dict(), public(RSA), {"kty": "XX"}, 7, public(EC, use="enc"))
    assert [key["kid"] for key in json.loads(public_keys(text(*listed)))["keys"]] == ["r"]


def test_the_order_and_spaces_of_a_key_make_no_difference() -> None:
    turned = dict(reversed(public(RSA).items()))
    assert public_keys(json.dumps({"keys": [turned]}, indent=2)) == public_keys(text(public(RSA)))


REFUSED = [
    ("it is not JSON", "-----BEGIN PUBLIC KEY-----"),
    ("it is not JSON", "[" * 100_000),
    ("it is no JSON Web Key Set", json.dumps([public(RSA)])),
    ("it is no JSON Web Key Set", json.dumps(public(RSA))),
    ("it has no keys", text()),
    ("it holds a private key", text(public(EC), RSA.as_dict(private=True))),
    ("one is of another kind", text(OctKey.generate_key(256).as_dict())),
    ("one has 1024 bits", text(public(RSA, n=("_" * 170) + "w"))),
    ("one is no RSA key", text(public(RSA, e="AAAC"))),
    ("an exponent .e. above 65537", text(public(RSA, e="_____w"))),
    ("one has no n", text({"kty": "RSA", "e": "AQAB"})),
    ("not what a key looks like", text(public(RSA, n="!!"))),
    ("not what a key looks like", text(public(RSA, n=7))),
    ("is no point on its curve", text(public(EC, y=public(EC)["x"]))),
    ("on another curve", text(public(EC, crv="secp256k1"))),
    ("on another curve", text({"kty": "OKP", "crv": "X25519", "x": "AA"})),
    ("the alg of one does not fit", text(public(RSA, alg="HS256"))),
    ("the alg of one does not fit", text(public(EC, alg="ES384"))),
    ("is for encryption", text(public(RSA, use="enc"))),
    ("kid or alg of one is not text", text(public(RSA, kid=7))),
    ("kid or alg of one is not text", text(public(RSA, kid="\ud800"))),  # JSON can say it, a router cannot read it
    ("base64url, with - and _", text(public(RSA, n=public(RSA)["n"][:-3] + "+/8"))),
    ("base64url, with - and _", text(public(OKPKey.generate_key("Ed25519"), x="/" * 43))),
    ("at most 50 are read", text(*[public(EC)] * 51)),
]


@pytest.mark.parametrize(("said", "given"), REFUSED, ids=[said for said, _ in REFUSED])
def test_a_set_that_cannot_check_anything_is_refused(said: str, given: str) -> None:
    with pytest.raises(UnusableKeys, match=said) as refused:
        public_keys(given)
    words = str(refused.value)
    assert not any(secret in words for secret in (RSA.as_dict(private=True)["d"], public(RSA)["n"]))
