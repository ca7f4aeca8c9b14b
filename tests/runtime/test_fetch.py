"""`wye-runtime fetch` against a real TLS server that breaks, lies, redirects and dawdles."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from breaking import Server
from wye_runtime.errors import ConfigError, ModelDigestMismatch, ModelFetch
from wye_runtime.fetch import Patience, fetch
from wye_runtime.fetch.source import Interrupted
from wye_runtime.fetch.tries import Progress
from wye_runtime.settings import credentials

BODY = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(BODY).hexdigest()
QUICK = Patience(silence=0.3, retries=3, pause=0.01)
PROGRAM = (sys.executable, "-m", "wye_runtime.cli", "fetch")


def whole(handler, _, body=BODY):
    handler.head(200, Content_Length=str(len(body)))
    handler.wfile.write(body)


def breaking(handler, attempt, *, tag='"one"', at=400_000, breaks=2):
    """Ends after `at` bytes each time, and knows ranges."""
    asked = handler.headers.get("Range")
    start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
    left = str(len(BODY) - start)
    if start:
        span = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
        handler.head(206, Content_Length=left, Content_Range=span, ETag=tag)
    else:
        handler.head(200, Content_Length=left, ETag=tag)
    handler.wfile.write(BODY[start : start + at] if attempt <= breaks else BODY[start:])


@pytest.fixture
def server(authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "server.crt"))
    for name in ("HTTPS_PROXY", "https_proxy", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    made = Server(authority)
    yield made
    made.stop()


@pytest.fixture
def to(tmp_path):
    return tmp_path / "model"


def left_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


def test_a_model_comes_whole_and_readable_by_all(server, to):
    url = server.on("/models/fraud-7.onnx", whole)
    assert fetch(url, to, DIGEST, {}, QUICK) == to / "model.onnx"
    assert (to / "model.onnx").read_bytes() == BODY
    assert (to / "model.onnx").stat().st_mode & 0o777 == 0o644
    assert left_in(to) == ["model.onnx"]


def test_a_transfer_that_breaks_goes_on_where_it_stopped(server, to):
    url = server.on("/m", breaking)
    fetch(url, to, DIGEST, {}, QUICK)
    asked = [headers.get("Range") for _, headers in server.seen]
    assert asked == [None, "bytes=400000-", "bytes=800000-"]
    assert server.seen[1][1]["If-Range"] == '"one"'
    assert (to / "model.onnx").read_bytes() == BODY


def test_a_file_that_changed_meanwhile_is_fetched_anew(server, to):
    """The server ignores If-Range and answers with another ETag: the halves must not be joined."""
    url = server.on("/m", lambda h, n: breaking(h, n, tag=f'"{min(n, 2)}"', breaks=1))
    fetch(url, to, None, {}, QUICK)
    assert [headers.get("Range") for _, headers in server.seen] == [None, "bytes=400000-", None]
    assert (to / "model.onnx").read_bytes() == BODY


def test_a_server_without_ranges_begins_again(server, to):
    def forgetful(handler, attempt):
        handler.head(200, Content_Length=str(len(BODY)))
        handler.wfile.write(BODY[: 300_000 if attempt == 1 else len(BODY)])

    fetch(server.on("/m", forgetful), to, DIGEST, {}, QUICK)
    assert [headers.get("Range") for _, headers in server.seen] == [None, None]
    assert (to / "model.onnx").read_bytes() == BODY


def test_other_bytes_never_get_the_name(server, to):
    url = server.on("/m", whole)
    with pytest.raises(ModelDigestMismatch, match=f"has the sha256 {DIGEST} .*wants {'a' * 64}"):
        fetch(url, to, "a" * 64, {}, QUICK)
    assert left_in(to) == []


def test_a_length_that_is_never_reached_is_a_failure(server, to):
    def liar(handler, _):
        handler.head(200, Content_Length=str(len(BODY) + 1))
        handler.wfile.write(BODY)

    with pytest.raises(ModelFetch, match=r"ended after 1048576 of 1048577 bytes \(4 tries, 1048576 bytes came\)"):
        fetch(server.on("/m", liar), to, None, {}, QUICK)
    assert left_in(to) == []


def test_a_body_without_a_length_is_refused(server, to):
    def endless(handler, _):
        handler.head(200)
        handler.wfile.write(BODY)

    with pytest.raises(ModelFetch, match="no Content-Length"):
        fetch(server.on("/m", endless), to, None, {}, QUICK)


def test_chunks_have_an_end_of_their_own(server, to):
    def chunked(handler, attempt):
        handler.head(200, Transfer_Encoding="chunked")
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(BODY), BODY) + (b"" if attempt == 1 else b"0\r\n\r\n"))

    fetch(server.on("/m", chunked), to, None, {}, QUICK)
    assert (len(server.seen), (to / "model.onnx").read_bytes()) == (2, BODY)


def test_silence_is_tried_again(server, to):
    over = threading.Event()

    def mute(handler, attempt):
        if attempt == 1:
            handler.head(200, Content_Length=str(len(BODY)))
            handler.wfile.write(BODY[:1000])
            over.wait(20)
        else:
            whole(handler, attempt)

    fetch(server.on("/m", mute), to, DIGEST, {}, QUICK)
    over.set()
    assert len(server.seen) == 2


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server, to, status):
    def busy(handler, attempt):
        whole(handler, attempt) if attempt == 3 else handler.head(status, Content_Length="0", Retry_After="0")

    fetch(server.on("/m", busy), to, None, {}, QUICK)
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "are the credentials"), (403, "may the credentials"), (404, r"is model\.uri right"), (400, "answered 400")],
)
def test_a_refusal_is_final(server, to, status, said):
    url = server.on("/m", lambda handler, _: handler.head(status, Content_Length="0"))
    with pytest.raises(ModelFetch, match=said):
        fetch(url, to, None, {}, QUICK)
    assert len(server.seen) == 1


def test_a_query_may_be_a_signature_and_is_never_shown(server, to, caplog):
    with pytest.raises(ModelFetch) as refused:
        fetch(server.base + "/nothing?sig=SECRET", to, None, {}, QUICK)
    assert "/nothing" in refused.value.message
    assert "SECRET" not in refused.value.message + caplog.text


def test_credentials_stay_with_their_host(server, to, authority):
    other = Server(authority)
    url = server.on("/a", lambda h, _: h.head(302, Location="/b", Content_Length="0"))
    server.on("/b", lambda h, _: h.head(307, Location=other.on("/c", whole), Content_Length="0"))
    try:
        fetch(url, to, DIGEST, {"WYE_FETCH_TOKEN": "t"}, QUICK)
    finally:
        other.stop()
    assert [headers.get("Authorization") for _, headers in server.seen] == ["Bearer t", "Bearer t"]
    assert [headers.get("Authorization") for _, headers in other.seen] == [None]


def test_no_redirect_leads_out_of_tls(server, to):
    url = server.on("/a", lambda h, _: h.head(302, Location="http://127.0.0.1:1/b", Content_Length="0"))
    with pytest.raises(ModelFetch, match="redirects to http://127.0.0.1, want https"):
        fetch(url, to, None, {}, QUICK)


def test_redirects_in_a_circle_end(server, to):
    url = server.on("/a", lambda h, _: h.head(302, Location="/a", Content_Length="0"))
    with pytest.raises(ModelFetch, match="answered 302"):
        fetch(url, to, None, {}, QUICK)
    assert len(server.seen) <= 11


def test_an_unknown_authority_is_said_and_not_tried_again(server, to, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ModelFetch, match="is not trusted.*SSL_CERT_FILE"):
        fetch(server.on("/m", whole), to, None, {}, QUICK)


def test_nobody_there_is_tried_and_then_said(server, to):
    server.stop()
    with pytest.raises(ModelFetch, match=r"cannot be reached: .*refused.*\(4 tries, 0 bytes came\)"):
        fetch(server.base + "/m", to, None, {}, QUICK)


def test_an_encoding_that_was_not_asked_for_is_refused(server, to):
    url = server.on("/m", lambda h, _: h.head(200, Content_Length="0", Content_Encoding="gzip"))
    with pytest.raises(ModelFetch, match="encoding gzip"):
        fetch(url, to, None, {}, QUICK)


def test_an_empty_file_is_no_model(server, to):
    with pytest.raises(ModelFetch, match="is empty"):
        fetch(server.on("/m", lambda h, n: whole(h, n, b"")), to, None, {}, QUICK)


def test_a_model_that_has_no_room_is_refused_at_once(server, to):
    url = server.on("/m", lambda h, _: h.head(200, Content_Length=str(1 << 60)))
    with pytest.raises(ModelFetch, match="has room for"):
        fetch(url, to, None, {}, QUICK)


def test_what_is_there_already_is_not_fetched_again(server, to):
    to.mkdir()
    (to / "model.onnx").write_bytes(BODY)
    fetch(server.on("/m", whole), to, DIGEST, {}, QUICK)
    assert server.seen == []


def test_a_folder_that_cannot_be_written_is_said(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelFetch, match="cannot be written"):
        fetch(server.on("/m", whole), tmp_path / "file" / "folder", None, {}, QUICK)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://host/m", "want https"),
        ("pvc://claim/m", "mounted"),
        ("configmap://c/m", "mounted"),
        ("https://u:p@host/m", "environment"),
        ("https:///m", "no host"),
        ("https://host/a b", "percent-encoded"),
        ("https://host:x/m", "no address"),
    ],
)
def test_addresses_that_are_refused(uri, said, to):
    with pytest.raises(ConfigError, match=said):
        fetch(uri, to, None, {}, QUICK)


def test_a_trickle_is_as_good_as_silence():
    now = [0.0]
    progress = Progress("u", None, 0, clock=lambda: now[0])
    now[0] = 60.0
    progress.note(1 << 20)
    now[0] = 121.0
    with pytest.raises(Interrupted, match="only 10 bytes came in 60 s"):
        progress.note((1 << 20) + 10)


@pytest.mark.parametrize(
    ("variables", "headers"),
    [
        ({}, {}),
        ({"WYE_FETCH_TOKEN": "t\n"}, {"Authorization": "Bearer t"}),
        ({"WYE_FETCH_USERNAME": "u", "WYE_FETCH_PASSWORD": "p"}, {"Authorization": "Basic dTpw"}),
        ({"WYE_FETCH_HEADER": "Private-Token: a:b"}, {"Private-Token": "a:b"}),
    ],
)
def test_credentials_come_from_the_environment(variables, headers):
    assert credentials(variables) == headers


def test_two_kinds_of_credentials_are_a_mistake():
    with pytest.raises(ConfigError, match="not several"):
        credentials({"WYE_FETCH_TOKEN": "t", "WYE_FETCH_HEADER": "A: b"})


def program(*arguments, words):
    return [*PROGRAM, *arguments], {**os.environ, "WYE_TERMINATION_LOG": str(words)}


@pytest.mark.parametrize(
    ("sha256", "path", "code", "reason"),
    [
        (DIGEST, "/m", 0, None),
        ("a" * 64, "/m", 3, "ModelDigestMismatch"),
        (DIGEST, "/gone", 3, "ModelFetch"),
        ("x", "/m", 2, "InvalidDeploymentSpec"),
    ],
)
def test_exit_codes_and_last_words(server, to, tmp_path, sha256, path, code, reason):
    server.on("/m", whole)
    words = tmp_path / "words"
    command, environment = program("--uri", server.base + path, "--to", str(to), "--sha256", sha256, words=words)
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert ended.returncode == code, ended.stderr
    assert (json.loads(words.read_bytes())["reason"] if reason else words.exists()) == (reason or False)
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [line["message"] for line in lines] == (["fetched"] if code == 0 else [])


def test_a_signal_ends_it_and_leaves_no_model(server, to, tmp_path):
    began, over = threading.Event(), threading.Event()

    def mute(handler, _):
        handler.head(200, Content_Length=str(len(BODY)))
        handler.wfile.write(BODY[:1000])
        began.set()
        over.wait(20)

    url = server.on("/m", mute)
    command, environment = program("--uri", url, "--to", str(to), words=tmp_path / "words")
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    assert began.wait(20)
    child.send_signal(signal.SIGTERM)
    assert child.wait(20) == 143
    over.set()
    assert left_in(to) == []


def test_a_fetch_loads_no_engine_and_no_server():
    code = "import sys, wye_runtime.cli; print([m for m in ('onnxruntime', 'numpy', 'uvicorn') if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
