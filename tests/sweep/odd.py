"""The ways in which a request can be odd: addresses, methods, headers, versions, and where its body ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

Header = tuple[str, str]
BODY = json.dumps({"instances": [{"x": [0.0] * 7}]}).encode()
INNER = "inner"  # begins the request ids of what is hidden in another request


@dataclass(frozen=True)
class Odd:
    """One way in which a request is not plain."""

    name: str
    headers: tuple[Header, ...] = ()
    method: str = "POST"
    target: str = "/score"
    version: str = "HTTP/1.1"
    host: tuple[Header, ...] = (("host", "fraud.example"),)
    framing: Callable[[str], tuple[tuple[Header, ...], bytes]] | None = None
    pseudo: tuple[Header, ...] | None = None  # of HTTP/2, instead of the four
    only: str = ""  # "h1" or "h2"
    hides: bool = False
    body: bytes = BODY  # of HTTP/2; HTTP/1.1 has it in `framing`


TARGETS = (
    *(
        "/",
        "//",
        "/score/",
        "//score",
        "/./score",
        "/a/../score",
        "/score/.",
        "/SCORE",
        "/%73core",
        "/score%2f",
        "/score;a=b",
    ),
    *(
        "/healthz",
        "/healthz/",
        "//healthz",
        "/healthz?",
        "/healthz?a=/score",
        "/HEALTHZ",
        "/%68ealthz",
        "/healthz%00",
        "/healthz.",
    ),
    *(
        "/healthz/../score",
        "/healthz/..%2fscore",
        "/healthz/%2e%2e/score",
        "/healthz%2f..%2fscore",
        "/healthz;/../score",
    ),
    *(
        "/healthz/..;/score",
        "/healthz\\..\\score",
        "/..\\score",
        "/healthz#/score",
        "/score#/healthz",
        "/healthz%23/score",
    ),
    *(
        "/../score",
        "/../../score",
        "/%2e%2e/score",
        "/%252e%252e/score",
        "/.;/score",
        "/%5c..%5cscore",
        "/%c0%af/score",
    ),
    *(
        "/score?key=1",
        "/score?",
        "/score%3f",
        "/score?a=b#c",
        "/score??",
        "/?/score",
        "/score%0d%0ax:y",
        "/score%20",
        "/score%00",
    ),
    *(
        "/v2",
        "/v2/",
        "/v2/health/ready",
        "/v2/health/live",
        "/v2/models/fraud",
        "/v2/models/fraud/infer",
        "/v2/repository/index",
    ),
    *(
        "/v2/models/fraud/versions/1/infer",
        "/V2/MODELS/FRAUD/INFER",
        "/v2/models/fraud/..;/infer",
        "/v2/%6dodels/fraud/infer",
    ),
    *(
        "/openapi.json",
        "/swagger.json",
        "/swagger.json?version=3",
        "/docs",
        "/metrics",
        "/ready",
        "/readyz",
        "/livez",
        "/load",
    ),
    *(
        "/stats",
        "/stats/prometheus",
        "/config_dump",
        "/quitquitquit",
        "/clusters",
        "/certs",
        "/logging?level=trace",
        "/server_info",
    ),
    *(
        "/inference.GRPCInferenceService/ModelInfer",
        "/grpc.health.v1.Health/Check",
        "/.well-known/jwks.json",
        "/favicon.ico",
    ),
    *(
        "/score" + "/x" * 2000,
        "/" + "a" * 8000,
        "/score?" + "q=1&" * 2000,
        "/score/%",
        "/score/%zz",
        "/\u00e9",
        "/score\x7f",
    ),
    *("*", "score", "", "http://fraud.example/score", "http://fraud.example/healthz", "http://other.example/score"),
    *(
        "https://fraud.example/score",
        "http:///score",
        "http://fraud.example",
        "http://user:pass@fraud.example/score",
        "HTTP://X/score",
    ),
    *(
        "ftp://fraud.example/score",
        "//fraud.example/score",
        "127.0.0.1:8081",
        "fraud.example:80",
        "http://127.0.0.1:8081/metrics",
    ),
)
METHODS = (
    *("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "M-SEARCH", "PRI", "FOO"),
    *("post", "Post", "POST,GET", "GET/POST", "G\u00cbT", "X" * 300),
)
PINS = (
    "blue",
    "BLUE",
    "violet",
    "nobody",
    "",
    "blue, violet",
    "blue;violet",
    " blue",
    "*",
    "blue\t",
    "../blue",
    "x" * 5000,
)
TRUSTED = (  # headers that other servers, or a careless router, would believe
    *(("x-original-url", "/healthz"), ("x-rewrite-url", "/healthz"), ("x-envoy-original-path", "/healthz")),
    *(("x-http-method-override", "GET"), ("x-method-override", "OPTIONS"), ("x-forwarded-uri", "/healthz")),
    *(("x-forwarded-for", "127.0.0.1"), ("x-real-ip", "127.0.0.1"), ("forwarded", "for=127.0.0.1;proto=https")),
    *(("x-forwarded-host", "localhost"), ("x-forwarded-proto", "https"), ("x-forwarded-client-cert", "By=x;Hash=y")),
    *(("x-client-id", "primary"), ("x_client_id", "primary"), ("X-Client-Id", "secondary"), ("remote-user", "admin")),
    *(("x-wye-mirrored", "true"), ("x-wye-deployment", "default/fraud-blue"), ("x-wye-scratch", "a")),
    *(("x-envoy-internal", "true"), ("x-envoy-force-trace", "1"), ("x-envoy-decorator-operation", "health")),
    *(("x-envoy-upstream-alt-stat-name", "a"), ("x-envoy-retry-on", "5xx"), ("x-envoy-external-address", "127.0.0.1")),
    *(
        ("x-envoy-ip-tags", "internal"),
        ("x-envoy-original-dst-host", "127.0.0.1:1"),
        ("x-envoy-hedge-on-per-try-timeout", "true"),
    ),
    *(
        ("x-jwt-payload", "e30"),
        ("x-amzn-oidc-data", "a"),
        ("x-auth-request-user", "admin"),
        ("x-forwarded-user", "admin"),
    ),
    *(
        ("upgrade", "websocket"),
        ("upgrade", "h2c"),
        ("upgrade", "TLS/1.0"),
        ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
    ),
    *(
        ("te", "trailers"),
        ("te", "gzip"),
        ("trailer", "authorization"),
        ("expect", "100-continue"),
        ("expect", "nothing"),
    ),
    *(("content-type", "application/grpc"), ("content-type", "application/grpc-web"), ("content-type", "text/csv")),
    *(("content-encoding", "gzip"), ("accept-encoding", "gzip"), ("range", "bytes=0-0"), ("max-forwards", "0")),
    *(
        ("origin", "https://app.example"),
        ("origin", "null"),
        ("origin", "https://evil.example"),
        ("referer", "https://app.example"),
    ),
    *(
        ("cookie", "session=1"),
        ("proxy-connection", "keep-alive"),
        ("keep-alive", "timeout=1000"),
        ("via", "1.1 router"),
    ),
)


def _hidden(number: str) -> bytes:
    head = f"POST /score HTTP/1.1\r\nhost: x\r\nx-request-id: {INNER}-{number}\r\ncontent-length: {len(BODY)}\r\n\r\n"
    return head.encode() + BODY


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)


def plain(_: str) -> tuple[tuple[Header, ...], bytes]:
    """A body of a known length."""
    return (("content-length", str(len(BODY))),), BODY


def _framed(*headers: Header, data: Callable[[bytes], bytes]) -> Callable[[str], tuple[tuple[Header, ...], bytes]]:
    return lambda number: (headers, data(_hidden(number)))


CHUNKED: Header = ("transfer-encoding", "chunked")
HIDING = {  # ways of saying where a body ends that two servers might read in two ways
    "length before chunks": _framed(("content-length", "4"), CHUNKED, data=lambda i: b"1\r\nZ\r\n0\r\n\r\n" + i),
    "chunks before length": _framed(CHUNKED, ("content-length", "6"), data=lambda i: b"0\r\n\r\n" + i),
    "chunked, length of nothing": _framed(CHUNKED, ("content-length", "0"), data=lambda i: _chunked(BODY) + i),
    "two lengths": _framed(("content-length", "0"), ("content-length", "44"), data=lambda i: i),
    "two equal lengths": _framed(("content-length", "0"), ("content-length", "0"), data=lambda i: i),
    "a list of lengths": _framed(("content-length", "0, 44"), data=lambda i: i),
    "a length with a plus": _framed(("content-length", "+0"), data=lambda i: i),
    "a length below zero": _framed(("content-length", "-1"), data=lambda i: i),
    "a length in hex": _framed(("content-length", "0x10"), data=lambda i: i),
    "a length beyond 64 bits": _framed(("content-length", "18446744073709551616"), data=lambda i: i),
    "a length with a space before the colon": _framed(("content-length ", "44"), data=lambda i: i),
    "no length": _framed(data=lambda i: i),
    "chunked with a space before the colon": _framed(
        ("transfer-encoding ", "chunked"), data=lambda i: b"0\r\n\r\n" + i
    ),
    "xchunked": _framed(("transfer-encoding", "xchunked"), data=lambda i: b"0\r\n\r\n" + i),
    "Chunked": _framed(("transfer-encoding", "Chunked"), data=lambda i: b"0\r\n\r\n" + i),
    "chunked twice": _framed(CHUNKED, CHUNKED, data=lambda i: b"0\r\n\r\n" + i),
    "chunked and identity": _framed(("transfer-encoding", "chunked, identity"), data=lambda i: b"0\r\n\r\n" + i),
    "identity": _framed(("transfer-encoding", "identity"), data=lambda i: i),
    "gzip, chunked": _framed(("transfer-encoding", "gzip, chunked"), data=lambda i: b"0\r\n\r\n" + i),
    "chunked after a vertical tab": _framed(("transfer-encoding", "\x0bchunked"), data=lambda i: b"0\r\n\r\n" + i),
    "chunked on a folded line": _framed(("transfer-encoding", "\r\n chunked"), data=lambda i: b"0\r\n\r\n" + i),
    "chunked behind a bare line feed": _framed(("x", "y\ntransfer-encoding: chunked"), data=lambda i: b"0\r\n\r\n" + i),
    "chunks with an extension": _framed(CHUNKED, data=lambda i: b"0;a=b\r\n\r\n" + i),
    "chunks that end in line feeds": _framed(CHUNKED, data=lambda i: b"0\n\n" + i),
    "a chunk of a size beyond 64 bits": _framed(CHUNKED, data=lambda i: b"ffffffffffffffff1\r\n" + i),
    "a chunk of a size below zero": _framed(CHUNKED, data=lambda i: b"-1\r\n" + i),
    "trailers with a credential's name": _framed(
        CHUNKED, data=lambda i: b"0\r\nauthorization: Bearer x\r\napi-key: x\r\n\r\n" + i
    ),
    "a chunk that is longer than it says": _framed(CHUNKED, data=lambda i: b"1\r\nZZZZ\r\n0\r\n\r\n" + i),
    "an honest body and another request": _framed(("content-length", "0"), data=lambda i: i),
}
LINES: dict[str, tuple[Header, ...]] = {  # what is wrong with a head
    "a name with a space": (("x y", "z"),),
    "a name with a NUL": (("x\0y", "z"),),
    "a value with a NUL": (("x", "y\0z"),),
    "a value with a bare return": (("x", "y\rapi-key: z"),),
    "a value with a line feed": (("x", "y\napi-key: z"),),
    "a folded line": (("x", "y\r\n\tapi-key: z"),),
    "an empty name": (("", "z"),),
    "a colon in front": ((":path", "/healthz"),),
    "a pseudo-header": ((":method", "GET"), (":authority", "x")),
    "a value of high bytes": (("x", "\u00ff\u00fe"),),
    "a large value": (("x", "y" * 50_000),),
    "a value that is too large": (("x", "y" * 70_000),),
    "many headers": tuple((f"x-{n}", "y") for n in range(90)),
    "too many headers": tuple((f"x-{n}", "y") for n in range(200)),
    "hop by hop: Authorization": (("connection", "authorization"),),
    "hop by hop: api-key": (("connection", "close, api-key"),),
    "hop by hop: x-client-id": (("connection", "x-client-id, x-request-id"),),
    "hop by hop: everything": (("connection", "keep-alive, host, content-length, transfer-encoding"),),
    "an upgrade": (
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ),
    "an upgrade to h2c": (
        ("connection", "upgrade, http2-settings"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABk"),
    ),
    "a preflight": (("origin", "https://app.example"), ("access-control-request-method", "POST")),
    "a preflight of elsewhere": (("origin", "https://evil.example"), ("access-control-request-method", "POST")),
    "a preflight of nothing": (("origin", "https://app.example"), ("access-control-request-method", "")),
    "two pins": (("azureml-model-deployment", "blue"), ("azureml-model-deployment", "violet")),
    "two pins, one unknown": (("azureml-model-deployment", "nobody"), ("azureml-model-deployment", "blue")),
    "two pins, one underscored": (("azureml_model_deployment", "blue"), ("azureml-model-deployment", "nobody")),
    "two request ids": (("x-request-id", "one"), ("x-request-id", "two")),
    "two origins": (("origin", "https://app.example"), ("origin", "https://evil.example")),
    "two content types": (("content-type", "application/json"), ("content-type", "application/grpc")),
}
HOSTS: dict[str, tuple[Header, ...]] = {
    "no host": (),
    "two hosts": (("host", "fraud.example"), ("host", "other.example")),
    "an empty host": (("host", ""),),
    "a host with a path": (("host", "fraud.example/healthz"),),
    "a host with a user": (("host", "admin@fraud.example"),),
    "a host with a port that is none": (("host", "fraud.example:99999"),),
    "a host with a space": (("host", "fraud example"),),
    "the machine itself": (("host", "localhost:8081"),),
}
VERSIONS = (
    "HTTP/1.0",
    "HTTP/1.2",
    "HTTP/2.0",
    "HTTP/0.9",
    "http/1.1",
    "HTTP/11",
    "HTTP/1.1 ",
    "HTTQ/1.1",
    "",
    "HTTP/1.1\t",
)


def odds() -> list[Odd]:
    """Every single way, for both versions of HTTP where both can say it."""
    found = [Odd("plain"), Odd("plain GET", method="GET", target="/v2/models/fraud")]
    found += [Odd(f"target {t[:60]!r}", target=t) for t in TARGETS]
    found += [Odd(f"GET of {t[:60]!r}", target=t, method="GET") for t in TARGETS]
    found += [Odd(f"method {m[:30]!r}", method=m) for m in METHODS]
    found += [Odd(f"{m} of /healthz", method=m, target="/healthz") for m in METHODS]
    found += [Odd(f"pin {p[:30]!r}", headers=(("azureml-model-deployment", p),)) for p in PINS]
    found += [Odd(f"{name}: {value}", headers=((name, value),)) for name, value in TRUSTED]
    found += [Odd(name, headers=lines) for name, lines in LINES.items()]
    found += [Odd(f"OPTIONS, {name}", headers=lines, method="OPTIONS") for name, lines in LINES.items()]
    found += [Odd(name, host=lines, only="h1") for name, lines in HOSTS.items()]
    found += [Odd(f"version {v!r}", version=v, only="h1") for v in VERSIONS]
    found += [Odd(name, framing=framing, hides=True, only="h1") for name, framing in HIDING.items()]
    return found + [Odd(name, pseudo=fields, only="h2") for name, fields in PSEUDO.items()]


def pseudo_of(**other: str) -> tuple[Header, ...]:
    """The four of HTTP/2, with others in their place."""
    return tuple(
        {":method": "POST", ":scheme": "http", ":authority": "fraud.example", ":path": "/score", **other}.items()
    )


PSEUDO: dict[str, tuple[Header, ...]] = {
    "no path": tuple(h for h in pseudo_of() if h[0] != ":path"),
    "no method": tuple(h for h in pseudo_of() if h[0] != ":method"),
    "no scheme": tuple(h for h in pseudo_of() if h[0] != ":scheme"),
    "no authority": tuple(h for h in pseudo_of() if h[0] != ":authority"),
    "two paths": (*pseudo_of(), (":path", "/healthz")),
    "two paths, the other first": ((":path", "/healthz"), *pseudo_of()),
    "two methods": (*pseudo_of(), (":method", "GET")),
    "a scheme of its own": pseudo_of(**{":scheme": "file"}),
    "a scheme with a path": pseudo_of(**{":scheme": "http://fraud.example/healthz?"}),
    "an authority with a path": pseudo_of(**{":authority": "fraud.example/healthz"}),
    "an authority and another host": (*pseudo_of(), ("host", "other.example")),
    "a pseudo-header after a header": (*pseudo_of()[:3], ("x", "y"), (":path", "/score")),
    "an unknown pseudo-header": (*pseudo_of(), (":admin", "true")),
    "a status": (*pseudo_of(), (":status", "200")),
    "an extended CONNECT": pseudo_of(**{":method": "CONNECT", ":protocol": "websocket"}),
    "a path with a request in it": pseudo_of(**{":path": "/healthz HTTP/1.1\r\nhost: x\r\n\r\nPOST /score"}),
    "a method with a request in it": pseudo_of(**{":method": "GET /healthz HTTP/1.1\r\nx: y\r\n\r\nPOST"}),
    "a length that is too small": (*pseudo_of(), ("content-length", "0")),
    "a length that is too large": (*pseudo_of(), ("content-length", "100")),
    "two lengths in frames": (*pseudo_of(), ("content-length", "0"), ("content-length", "100")),
    "a coding of transfer": (*pseudo_of(), CHUNKED),
    "a name in capitals": (*pseudo_of(), ("X-Upper", "y")),
    "a header of the connection": (*pseudo_of(), ("connection", "keep-alive")),
    "gRPC": (
        *pseudo_of(**{":path": "/inference.GRPCInferenceService/ModelInfer"}),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ),
    "gRPC without a body": (
        *pseudo_of(**{":path": "/grpc.health.v1.Health/Check"}),
        ("content-type", "application/grpc"),
    ),
}
