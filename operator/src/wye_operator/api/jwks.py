"""A JSON Web Key Set, read: which public keys in it can check a signature, and what is wrong when none can.

Symmetric keys are left out: whoever can check with one can sign with it. What is kept is public and says no more
than routers need, so a private key that was pasted by mistake goes no further.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wye_operator.errors import WyeError

LEAST_RSA, MOST_RSA = 2048, 16_384  # bits
MOST_EXPONENT = 65_537  # what everybody uses; routers refuse 2**32 - 1, and with it all keys
MOST_KEYS = 50
WANTED = "RSA of at least 2048 bits, EC on P-256, P-384 or P-521, or Ed25519"
RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


class UnusableKeys(WyeError):
    """What is no key set, or holds no key that could check a signature."""


@dataclass(frozen=True, slots=True)
class Curve:
    """y² = x³ - 3x + b over the integers modulo p, and the algorithm that uses it."""

    algorithm: str
    p: int
    b: int

    def has(self, x: int, y: int) -> bool:
        """Whether a point lies on the curve; a router refuses a key that does not."""
        return 0 <= x < self.p and 0 <= y < self.p and (y * y - (x * x * x - 3 * x + self.b)) % self.p == 0


CURVES = {
    "P-256": Curve(
        "ES256",
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    ),
    "P-384": Curve(
        "ES384",
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
    ),
    "P-521": Curve(
        "ES512",
        2**521 - 1,
        0x0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00,
    ),
}


def public_keys(text: str) -> str:
    """The usable keys of a set as canonical JSON. Raises UnusableKeys, which never repeats what was read."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise UnusableKeys("it is not JSON") from None
    if not isinstance(data, Mapping) or not isinstance(data.get("keys"), list):
        raise UnusableKeys('it is no JSON Web Key Set: {"keys": [...]}')
    found, why = [], []
    if any(isinstance(key, Mapping) and "d" in key for key in data["keys"]):
        raise UnusableKeys("it holds a private key (d), so whoever reads it can sign: make another pair, leave d out")
    for key in data["keys"]:
        try:
            found.append(_public(key))
        except (UnusableKeys, KeyError, ValueError, TypeError) as problem:
            why.append(_sentence(problem))
    if not found:
        raise UnusableKeys(why[0] if why else f"it has no keys; one is needed: {WANTED}")
    if len(found) > MOST_KEYS:
        raise UnusableKeys(f"it has {len(found)} keys, at most {MOST_KEYS} are read")
    return json.dumps({"keys": found}, sort_keys=True, separators=(",", ":"))


def _sentence(problem: Exception) -> str:
    if isinstance(problem, UnusableKeys):
        return f"none of its keys can be used: {problem}"
    if isinstance(problem, KeyError):
        return f"none of its keys can be used: one has no {problem.args[0]}"
    return "none of its keys can be used: one is not what a key looks like"


def _public(key: Mapping[str, Any]) -> dict[str, str]:
    """The public half of one key, checked as a router would check it."""
    kind = key["kty"]
    if kind not in KINDS:
        raise UnusableKeys(f"one is of another kind; a key must be {WANTED}")
    if key.get("use", "sig") != "sig":
        raise UnusableKeys("one is for encryption, not for signatures")
    kept = KINDS[kind](key)
    named = {name: key[name] for name in ("kid", "alg") if name in key}
    if not all(isinstance(value, str) and value.isprintable() for value in named.values()):
        raise UnusableKeys("the kid or alg of one is not text")
    return {"kty": kind, **kept, **named}


def _rsa(key: Mapping[str, Any]) -> dict[str, str]:
    modulus, exponent = _number(key["n"]), _number(key["e"])
    if not LEAST_RSA <= modulus.bit_length() <= MOST_RSA:
        raise UnusableKeys(f"one has {modulus.bit_length()} bits; an RSA key needs {LEAST_RSA} to {MOST_RSA}")
    if not modulus % 2 or not exponent % 2 or exponent < 3:
        raise UnusableKeys("one is no RSA key")
    if exponent > MOST_EXPONENT:
        raise UnusableKeys(f"one has an exponent (e) above {MOST_EXPONENT}")
    _fits(key, RSA_ALGORITHMS)
    return {"n": key["n"], "e": key["e"]}


def _ec(key: Mapping[str, Any]) -> dict[str, str]:
    curve = CURVES.get(key["crv"])
    if curve is None:
        raise UnusableKeys(f"one is on another curve; a key must be {WANTED}")
    if not curve.has(_number(key["x"]), _number(key["y"])):
        raise UnusableKeys("one is no point on its curve")
    _fits(key, (curve.algorithm,))
    return {"crv": key["crv"], "x": key["x"], "y": key["y"]}


def _edwards(key: Mapping[str, Any]) -> dict[str, str]:
    if key["crv"] != "Ed25519" or len(_bytes(key["x"])) != 32:
        raise UnusableKeys(f"one is on another curve; a key must be {WANTED}")
    _fits(key, ("EdDSA",))
    return {"crv": key["crv"], "x": key["x"]}


def _fits(key: Mapping[str, Any], algorithms: tuple[str, ...]) -> None:
    if key.get("alg", algorithms[0]) not in algorithms:
        raise UnusableKeys("the alg of one does not fit its kind")


def _number(text: str) -> int:
    return int.from_bytes(_bytes(text), "big")


def _bytes(text: str) -> bytes:
    """Of base64url without padding, as keys are written. A router refuses the other base64, and with it every key."""
    if "+" in text or "/" in text:
        raise UnusableKeys("one is written with + or /: a key set has base64url, with - and _ in their place")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


KINDS = {"RSA": _rsa, "EC": _ec, "OKP": _edwards}
