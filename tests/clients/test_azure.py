"""Scoring scripts side by side: one script in Azure ML's own server and in ours, asked the same, must say the same.

What each answers is compared to the byte, and its headers one by one.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

import plain
from clients.environment import environment
from ports import free_port

pytestmark = pytest.mark.skipif("not os.environ.get('WYE_E2E')", reason="fetches 170 MB: part of `make e2e`")

HERE = Path(__file__).parent / "azure"
SCRIPTS = ("plain", "raw", "schema")
TIMEOUT = "3000"  # milliseconds of SCORING_TIMEOUT_MS; no other call takes as long, on however busy a machine
LATE = 5  # seconds that a run goes on which is too late
OF_TRANSPORT = {"server", "date", "connection", "transfer-encoding", "keep-alive"}
FORMS = {  # what differs by its nature has its form compared
    "x-ms-run-fn-exec-ms": r"\d+\.\d{3}",
    "x-ms-server-version": r"(azmlinfsrv|wye-runtime)/\d+\.\d+\.\d+",
    "x-request-id": "[-0-9a-f]{36}|told.*",
    "x-ms-request-id": "[-0-9a-f]{36}|told.*",
}


@dataclass(frozen=True)
class Call:
    """One request; `ours`: where we say something else, and mean to."""

    script: str
    method: str = "POST"
    path: str = "/score"
    body: bytes | str = b""
    type: str | None = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    def sent(self, base: str) -> httpx.Response:
        headers = {**({"content-type": self.type} if self.type else {}), **self.headers}
        with plain.Client() as client:
            return client.request(self.method, base + self.path, content=self.body, headers=headers)


def text(body: str, **more) -> Call:
    return Call("plain", body=body, **more)


def raw(answer: str, **more) -> Call:
    return Call("raw", path=f"/score?answer={answer}", **{"body": '{"rows": [1]}', **more})


def schema(body: str, **more) -> Call:
    return Call("schema", body=body, **more)


FORM = '--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\nbytes\r\n--x--\r\n'
MULTIPART = {"body": FORM, "type": "multipart/form-data; boundary=x"}
CALLS = {
    "an object, and the folder of the model": text('{"a": [1, 2.5, null]}'),
    "a list": text('{"give": [1, "ü", 1e400]}'),
    "a number": text('{"give": 3}'),
    "a string": text('{"give": "text"}'),
    "false": text('{"give": false}'),
    "nothing": text('{"give": null}'),
    "a body that is no JSON": text("{"),
    "a body that is not UTF-8": text(b"\xff"),
    "no body": text(""),
    "an exception": text('{"raise": 1}'),
    "what is no JSON": text('{"unserialisable": 1}'),
    "too late": text(f'{{"sleep": {LATE}}}'),
    "a header of the request": text('{"header": "X-Asked"}', headers={"x-asked": "yes"}),
    "a header as it is called": text('{"header": "Content-Type"}'),
    "text that is called text": text('{"give": 1}', type="text/plain"),
    "a form of several parts": text(FORM, type="multipart/form-data; boundary=x"),
    "the query": Call("plain", "GET", '/score?give=[1,2]&x=a&x=1&y={"z":null}'),
    "no query": Call("plain", "GET", "/score"),
    "OPTIONS": Call("plain", "OPTIONS"),
    "HEAD": Call("plain", "HEAD"),
    "PUT": Call("plain", "PUT"),
    "PATCH of what is raw": Call("raw", "PATCH"),
    "DELETE of what is raw": Call("raw", "DELETE"),
    "an id": text("{}", headers={"x-request-id": "told-1"}),
    "an old id": text("{}", headers={"x-ms-request-id": "told-2"}),
    "an id of the caller's": text("{}", headers={"x-ms-client-request-id": "told-3"}),
    "all ids": text(
        "{}", headers={"x-request-id": "told-1", "x-ms-request-id": "told-2", "x-ms-client-request-id": "told-3"}
    ),
    "an id that is too long": text("{}", headers={"x-request-id": "told" * 26}),
    "an id of the caller's that is too long": text("{}", headers={"x-ms-client-request-id": "told" * 26}),
    "a trace": text("{}", headers={"TraceId": "told"}),
    "a trace with an error": text('{"raise": 1}', headers={"TraceId": "told", "x-ms-client-request-id": "told-3"}),
    "health": Call("plain", "GET", "/"),
    "HEAD of health": Call("plain", "HEAD", "/"),
    "OPTIONS of health": Call("plain", "OPTIONS", "/"),
    "POST of health": Call("plain", "POST", "/"),
    "an unknown path": Call("plain", "GET", "/unknown"),
    "a path below": Call("plain", "POST", "/score/more"),
    **{f"raw: {name}": raw(name) for name in ("echo", "raise", "json", "bytes", "headers", "nothing", "none")},
    **{f"raw: {name}": raw(name) for name in ("text", "refused", "down", "failed", "empty", "stream")},
    "raw: bytes in": raw("echo", body=b"\x00\xff", type="application/octet-stream", headers={"x-asked": "a, b"}),
    "raw: a type with a parameter": raw("echo", type="application/json; charset=utf-8"),
    "raw: a form": raw("form", body="a=1&a=2&b=%C3%BC", type="application/x-www-form-urlencoded"),
    "raw: files": raw("files", **MULTIPART),
    "raw: files and fields": raw("form", **MULTIPART),
    "raw: JSON of another type": raw("json", type="text/plain"),
    "raw: GET": Call("raw", "GET", "/score?a=1&b=%20x"),
    "raw: OPTIONS": Call("raw", "OPTIONS"),
    "schema: by names": schema('{"data": [[1, 2, 3], [4, 5, 6]], "method": "m"}'),
    "schema: a default": schema('{"data": [[1, 2, 3]]}'),
    "schema: other fields": schema('{"data": [[1, 2, 3]], "other": 1}'),
    "schema: a field is missing": schema('{"method": "m"}'),
    "schema: of another shape": schema('{"data": [1, 2]}'),
    "schema: a list": schema("[[1, 2, 3]]"),
    "schema: no JSON": schema('{"data": '),
    "schema: no body": schema(""),
    "schema: of another type": schema('{"data": [[1, 2, 3]]}', type="text/csv"),
    "schema: JSON by a longer name": schema('{"data": [[1, 2, 3]]}', type="application/problem+json"),
    "schema: the query": Call("schema", "GET", "/score?data=[[1,2,3]]"),
    "schema: a query without it": Call("schema", "GET", "/score?method=m"),
    "schema: OPTIONS": Call("schema", "OPTIONS"),
    **{
        f"{script}: its description{query}": Call(script, "GET", f"/swagger.json{query}")
        for script in SCRIPTS
        for query in ("", "?version=2", "?version=3", "?version=3.1")
    },
    "a description of 9": Call("plain", "GET", "/swagger.json?version=9"),
    "OPTIONS of the description": Call("plain", "OPTIONS", "/swagger.json"),
}


@dataclass(frozen=True)
class Pair:
    theirs: str
    ours: str


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Pair]]:
    """Each script in both servers, all started together."""
    azure = environment("azure").parent / "azmlinfsrv"
    folder = tmp_path_factory.mktemp("azure")
    (folder / "models").mkdir()
    processes: list[subprocess.Popen] = []
    found: dict[str, Pair] = {}
    try:
        for script in SCRIPTS:
            home = folder / script
            home.mkdir()
            file = shutil.copy(HERE / f"{script}.py", home)
            one, two, inner = free_port(), free_port(), free_port()
            model = folder / "models" / "model.txt"
            model.write_text("the model")
            environ = {"PATH": "/usr/bin:/bin", "SCORING_TIMEOUT_MS": TIMEOUT, "HOME": str(home)}
            commands = (
                [azure, "--entry_script", file, "--port", str(one), "--model_dir", model.parent],
                [Path(sys.executable).with_name("wye-runtime"), "serve", "--script", file, "--model", model]
                + ["--host", "127.0.0.1", "--port", str(two), "--inner-port", str(inner)],
            )
            for name, command in zip(("theirs", "ours"), commands, strict=True):
                with (home / f"{name}.log").open("wb") as log:
                    processes.append(subprocess.Popen(command, cwd=home, env=environ, stdout=log, stderr=log))
            found[script] = Pair(f"http://127.0.0.1:{one}", f"http://127.0.0.1:{two}")
        for pair in found.values():
            for url in (pair.theirs, pair.ours):
                until_healthy(url)
        yield found
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(120)


def until_healthy(url: str) -> None:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        try:
            if plain.get(f"{url}/").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} is not healthy")


def told(answer: httpx.Response) -> list[tuple[str, str]]:
    """Its headers, but for those of the connection."""
    pairs = sorted((name.lower(), value) for name, value in answer.headers.multi_items())
    return [(name, formed(name, value)) for name, value in pairs if name not in OF_TRANSPORT]


def formed(name: str, value: str) -> str:
    if name == "allow":  # a set of Python's: in another order in each process
        return ", ".join(sorted(value.split(", ")))
    form = FORMS.get(name)
    return form if form and not value.startswith("told") and re.fullmatch(form, value) else value


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_both_say_the_same(call: Call, pairs: dict[str, Pair]):
    pair = pairs[call.script]
    theirs, ours = call.sent(pair.theirs), call.sent(pair.ours)
    assert ours.status_code == theirs.status_code
    assert ours.json() == theirs.json() if "swagger" in call.path and ours.content else ours.content == theirs.content
    extra = {"x-request-id"} - {name for name, _ in told(theirs)}  # every answer of ours has one
    assert [each for each in told(ours) if each[0] not in extra] == told(theirs)


ELSE = {
    "what curl -d sends is read": (text('{"give": 1}', type="application/x-www-form-urlencoded"), 500, 200),
    "what has no type is read": (schema('{"data": [[1, 2, 3]]}', type=None), 415, 200),
    "fields that are called a form are read": (
        schema('{"data": [[1, 2, 3]]}', type="application/x-www-form-urlencoded"),
        *(415, 200),
    ),
}


@pytest.mark.parametrize(("call", "theirs", "ours"), ELSE.values(), ids=ELSE.keys())
def test_where_ours_is_kinder(call: Call, theirs: int, ours: int, pairs: dict[str, Pair]):
    pair = pairs[call.script]
    assert (call.sent(pair.theirs).status_code, call.sent(pair.ours).status_code) == (theirs, ours)
