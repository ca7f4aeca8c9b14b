"""Thousands of raw requests, made by a rule: the same ones in every run.

Each names what it is made of. `right` says whether it carries a credential that opens the door, in a place where one is
looked for: True, False, or None where two readings are possible (two credentials at once, odd spelling). Whatever is
False must never reach a model. Requests that hide another one (`INNER`) must never be read as two.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import hpack

from sweep.odd import CHUNKED, Header, Odd, odds, plain, pseudo_of

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
END = "end"  # begins the id of the harmless request after one that hides another
WIRES = ("h1", "h2")


@dataclass(frozen=True)
class Credential:
    """What somebody sends to be let in: in headers, in the address, or behind the body."""

    name: str
    right: bool | None
    headers: tuple[Header, ...] = ()
    query: str = ""
    trailers: tuple[Header, ...] = ()


@dataclass(frozen=True)
class Probe:
    """One connection: all that is sent on it, at once."""

    name: str
    data: bytes
    right: bool | None
    id: str
    http2: bool = False
    bodiless: bool = False  # the answer to HEAD
    last: str = ""  # the id of the last answer, where there are several


Drawn = tuple[str, Odd, Credential]


def probes(credentials: Sequence[Credential], count: int, ways: Sequence[Odd] | None = None) -> list[Probe]:
    """Every odd way with nobody and with a wrong credential, every credential plainly, then several ways at once."""
    draw = random.Random(7)
    ways = odds() if ways is None else ways
    wrong = [c for c in credentials if c.right is False]
    drawn = [
        *_one_by_one(ways, wrong, draw),
        *((wire, way, c) for c in credentials for wire in WIRES for way in ways[:2]),
    ]
    while len(drawn) < count:
        wire = draw.choice(WIRES)
        first, second = (draw.choice([way for way in ways if way.only in ("", wire)]) for _ in range(2))
        drawn.append((wire, _both(first, second), draw.choice(wrong if draw.random() < 0.9 else credentials)))
    return [_probe(f"{n:05}", *one) for n, one in enumerate(drawn, 1)]


def _one_by_one(ways: Sequence[Odd], wrong: Sequence[Credential], draw: random.Random) -> Iterator[Drawn]:
    for way in ways:
        for wire in WIRES:
            if way.only in ("", wire):
                yield wire, way, wrong[0]
                yield wire, way, draw.choice(wrong[1:])


def _both(one: Odd, other: Odd) -> Odd:
    plain = Odd("plain")
    taken = {
        name: getattr(one, name) if getattr(one, name) != getattr(plain, name) else getattr(other, name)
        for name in ("method", "target", "version", "host", "framing", "pseudo", "body")
    }
    return Odd(f"{one.name} + {other.name}", (*one.headers, *other.headers), hides=one.hides or other.hides, **taken)


def _probe(number: str, wire: str, way: Odd, credential: Credential) -> Probe:
    name = f"{number} {wire}: {way.name}; {credential.name}"
    make = _http1 if wire == "h1" else _http2
    return make(name, number, way, credential)


def _http1(name: str, number: str, way: Odd, credential: Credential) -> Probe:
    framing, body = (way.framing or plain)(number)
    if credential.trailers and not way.hides:
        chunked = b"%x\r\n%s\r\n0\r\n" % (len(way.body), way.body) if way.body else b"0\r\n"
        lines = "".join(f"{name}: {value}\r\n" for name, value in credential.trailers)
        framing, body = (CHUNKED,), chunked + lines.encode("latin-1") + b"\r\n"
    headers = (*way.host, *credential.headers, *way.headers, ("x-request-id", f"p-{number}"), *framing)
    first = " ".join(part for part in (way.method, _with_query(way.target, credential), way.version) if part)
    head = "\r\n".join([first, *(f"{name}: {value}" for name, value in headers), "", ""])
    last = f"{END}-{number}" if way.hides else ""
    after = f"GET /healthz HTTP/1.1\r\nhost: x\r\nx-request-id: {last}\r\n\r\n".encode() if last else b""
    data = head.encode("latin-1") + body + after
    return Probe(name, data, credential.right, f"p-{number}", bodiless=way.method == "HEAD", last=last)


def _http2(name: str, number: str, way: Odd, credential: Credential) -> Probe:
    pseudo = way.pseudo or pseudo_of(**{":method": way.method, ":path": _with_query(way.target, credential)})
    headers = [*pseudo, *((n if n.startswith("X-U") else n.lower(), v) for n, v in (*credential.headers, *way.headers))]
    fields = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in (*headers, ("x-request-id", f"p-{number}"))]
    encoder = hpack.Encoder()
    data = PREFACE + _headers(encoder.encode(fields, huffman=False))
    if credential.trailers:
        data += _frame(0, 0, way.body) + _frame(1, 5, encoder.encode(credential.trailers, huffman=False))
    else:
        data += _frame(0, 1, way.body)
    return Probe(name, data, credential.right, f"p-{number}", http2=True)


def _headers(block: bytes) -> bytes:
    """HEADERS, and as many CONTINUATIONs as it takes."""
    parts = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]
    kinds = [1, *[9] * (len(parts) - 1)]
    ends = [0] * (len(parts) - 1) + [4]
    return b"".join(map(_frame, kinds, ends, parts))


def _frame(kind: int, flags: int, data: bytes) -> bytes:
    return frame(kind, flags, 1, data)


def frame(kind: int, flags: int, stream: int, data: bytes) -> bytes:
    """One of HTTP/2."""
    return len(data).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + data


def _with_query(target: str, credential: Credential) -> str:
    if not credential.query:
        return target
    return f"{target}{'&' if '?' in target else '?'}{credential.query}"
