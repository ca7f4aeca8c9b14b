"""`wye-runtime fetch` from object stores, hubs and registries that break, lie and refuse.

Here a server of our own speaks as much of each protocol as a fetch asks for, since no emulator breaks off halfway; the
emulators themselves are in tests/cluster/test_sources.py.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time

import pytest

from breaking import Bucket, Server, answering, breaking, headers_of, whole
from wye_runtime.engine.artifact import artifact_at
from wye_runtime.errors import ConfigError, ModelDigestMismatch, ModelFetch
from wye_runtime.fetch import Patience, fetch, fetching, objects
from wye_runtime.fetch.layers import zstd
from wye_runtime.settings import ModelSource

QUICK = Patience(silence=20.0, retries=2, pause=0.01)
MODEL, WEIGHTS = b"onnx" * 100_000, b"weights" * 1000
SECRET = "a-key-nobody-may-read"


@pytest.fixture
def server(authority):
    made = Server(authority)
    yield made
    made.stop()


@pytest.fixture
def trusting(authority):
    return {"WYE_FETCH_CA": (authority / "server.crt").read_text()}


@pytest.fixture
def to(tmp_path):
    return tmp_path / "model"


def came(folder):
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def left_beside(folder):
    return sorted(each.name for each in folder.parent.iterdir()) if folder.parent.exists() else []


# --- object stores -----------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(server, monkeypatch):
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIANOBODY",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server.base,
    }.items():
        monkeypatch.setenv(name, value)
    return Bucket(server)


def test_a_folder_comes_with_all_that_is_below_it(bucket, to, trusting):
    bucket.put("fraud/3/model.onnx", MODEL)
    bucket.put("fraud/3/parts/weights.bin", WEIGHTS)
    bucket.put("fraud/33/model.onnx", b"another")
    assert fetch("s3://models/fraud/3", to, None, trusting, QUICK) == to
    assert came(to) == {"model.onnx": MODEL, "parts/weights.bin": WEIGHTS}
    assert left_beside(to) == [".model.fetched", "model"]
    assert artifact_at(ModelSource(str(to))).file == to / "model.onnx"


def test_the_digest_of_a_folder_is_the_servers(bucket, to, trusting, caplog):
    bucket.put("f/model.onnx", MODEL)
    bucket.put("f/weights.bin", WEIGHTS)
    fetch("s3://models/f", to, None, trusting, QUICK)
    digest = artifact_at(ModelSource(str(to))).sha256
    asked = len(bucket.server.seen)
    fetch("s3://models/f", to, digest, trusting, QUICK)
    assert len(bucket.server.seen) == asked, "it is there already"
    with pytest.raises(ModelDigestMismatch, match=f"s3://models/f has the sha256 {digest} .* wants {'a' * 64}"):
        fetch("s3://models/f", to, "a" * 64, trusting, QUICK)
    assert came(to) == {"model.onnx": MODEL, "weights.bin": WEIGHTS}, "what was there before stays"


def test_an_object_that_breaks_goes_on_where_it_stopped(bucket, to, trusting):
    bucket.put("m.onnx", MODEL, breaking(MODEL, 150_000, breaks=3, **headers_of(MODEL)))
    fetch("s3://models/m.onnx", to, None, trusting, QUICK)
    assert came(to) == {"m.onnx": MODEL}
    starts = [headers.get("range") for _, headers in bucket.server.seen]
    assert starts[:2] == ["bytes=0-0", None], "once to see that it is an object, once to fetch it"
    assert None not in starts[2:], starts


def test_an_object_that_changed_meanwhile_is_fetched_anew(bucket, to, trusting):
    new = MODEL[::-1]

    def replaced(handler, attempt):
        if attempt <= 2:
            return breaking(MODEL, 150_000, breaks=9, **headers_of(MODEL))(handler, attempt)
        return whole(new, **headers_of(new, tag="new"))(handler, attempt)

    bucket.put("m.onnx", MODEL, replaced)
    fetch("s3://models/m.onnx", to, None, trusting, QUICK)
    assert came(to) == {"m.onnx": new}


def test_an_object_shorter_than_the_list_says_is_refused(bucket, to, trusting):
    bucket.put("f/model.onnx", MODEL)
    bucket.objects["f/model.onnx"] += 1
    with pytest.raises(ModelFetch, match=r"s3://models/f/model.onnx came with 400000 bytes, the list says 400001"):
        fetch("s3://models/f", to, None, trusting, QUICK)
    assert left_beside(to) == []


def test_a_length_that_is_never_reached_is_a_failure(bucket, to, trusting):
    bucket.put("m.onnx", MODEL, breaking(MODEL, 1000, breaks=99))
    with pytest.raises(ModelFetch, match=r"s3://models/m.onnx: the connection broke: .*\(3 tries, \d+ bytes came\)"):
        fetch("s3://models/m.onnx", to, None, trusting, QUICK)
    assert left_beside(to) == []


def test_a_forbidden_object_is_said_at_once_and_without_its_credentials(bucket, to, trusting, caplog):
    body = f"<Error><Code>AccessDenied</Code><AWSAccessKeyId>AKIANOBODY</AWSAccessKeyId><K>{SECRET}</K></Error>"
    bucket.put("m.onnx", MODEL, answering(403, body.encode()))
    with pytest.raises(ModelFetch, match=r"m.onnx answered 403 \(AccessDenied\): may the credentials") as refused:
        fetch("s3://models/m.onnx", to, None, trusting, QUICK)
    assert not {"AKIANOBODY", SECRET} & set(refused.value.message.split()), refused.value.message
    assert SECRET not in caplog.text + refused.value.message
    assert len(bucket.server.seen) == 1


def test_a_busy_and_a_silent_store_are_asked_again(bucket, to, trusting):
    over = threading.Event()

    def awkward(handler, attempt):
        if attempt == 1:
            answering(503, b"<Error><Code>SlowDown</Code></Error>")(handler, attempt)
        elif attempt == 2:
            over.wait(LATEST)
        else:
            whole(MODEL, **headers_of(MODEL))(handler, attempt)

    bucket.put("m.onnx", MODEL, awkward)
    fetch("s3://models/m.onnx", to, None, trusting, Patience(silence=1.0, retries=8, pause=0.01))
    over.set()
    assert came(to) == {"m.onnx": MODEL}


def test_nothing_there_is_said(bucket, to, trusting):
    with pytest.raises(ModelFetch, match=r"s3://models/gone: there is no such object, and none below it"):
        fetch("s3://models/gone", to, None, trusting, QUICK)


def test_a_prefix_with_too_much_below_it_is_refused(bucket, to, trusting, monkeypatch):
    monkeypatch.setattr(objects, "MOST_FILES", 2)
    for name in "abc":
        bucket.put(f"f/{name}", b"x")
    with pytest.raises(ModelFetch, match="more than 2 objects: name the model's own folder"):
        fetch("s3://models/f", to, None, trusting, QUICK)


def test_an_unknown_authority_is_said(bucket, to):
    with pytest.raises(ModelFetch, match=r"certificate of s3://models/m is not trusted.*WYE_FETCH_CA"):
        fetch("s3://models/m", to, None, {}, QUICK)


def test_plain_http_has_to_be_asked_for(bucket, to, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(ModelFetch, match="begins with http://.*ALLOW_HTTP"):
        fetch("s3://models/m", to, None, {}, QUICK)
    with pytest.raises(ModelFetch, match=r"cannot be reached: .*\(3 tries"):
        fetch("s3://models/m", to, None, {"AWS_ALLOW_HTTP": "true"}, QUICK)


@pytest.mark.parametrize(
    ("uri", "environment", "said"),
    [
        ("s3://models", {}, "want s3://BUCKET/PATH"),
        ("az://models/m", {}, "Account must be specified.*AZURE_STORAGE_ACCOUNT_NAME"),
        ("gs://models/m", {"GOOGLE_SERVICE_ACCOUNT_KEY": "{}"}, "missing field"),
        ("hf://repo", {}, "want hf://ORG/REPO/FILE"),
        ("hf://org/repo/m", {"HF_ENDPOINT": "http://hub"}, "want https"),
        ("oci://image", {}, "want oci://HOST/NAME"),
        ("oci://h/n:1", {"WYE_FETCH_DOCKERCONFIG": "[]"}, "dockerconfigjson"),
        ("https://h/m", {"WYE_FETCH_CA": "no certificate"}, "no certificate in PEM"),
        ("ftp://h/m", {}, "the scheme ftp"),
    ],
)
def test_what_is_no_source_is_a_mistake(uri, environment, said, to, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=said):
        fetch(uri, to, None, environment, QUICK)


# --- folders -----------------------------------------------------------------------------------------------------


def test_a_folder_that_a_person_filled_is_left_alone(bucket, to, trusting):
    bucket.put("m.onnx", MODEL)
    to.mkdir()
    (to / "thesis.txt").write_text("mine")
    with pytest.raises(ModelFetch, match="has files that no fetch brought"):
        fetch("s3://models/m.onnx", to, None, trusting, QUICK)
    assert came(to) == {"thesis.txt": b"mine"}


def test_a_second_fetch_replaces_the_folder_whole(bucket, to, trusting):
    bucket.put("f/model.onnx", MODEL)
    bucket.put("f/old.bin", WEIGHTS)
    fetch("s3://models/f", to, None, trusting, QUICK)
    del bucket.objects["f/old.bin"]
    bucket.put("f/model.onnx", MODEL[::-1])
    fetch("s3://models/f", to, None, trusting, QUICK)
    assert came(to) == {"model.onnx": MODEL[::-1]}


def test_a_folder_that_has_no_room_is_refused_before_it_comes(bucket, to, trusting):
    bucket.put("f/model.onnx", MODEL)
    bucket.objects["f/model.onnx"] = 1 << 60
    with pytest.raises(ModelFetch, match="has room for"):
        fetch("s3://models/f", to, None, trusting, QUICK)
    assert [path for path, _ in bucket.server.seen if "model.onnx" in path] == []


# --- a hub -------------------------------------------------------------------------------------------------------

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(server, trusting):
    """A hub with the repository org/repo: two files in a folder, one beside it."""
    sizes = {"onnx/model.onnx": MODEL, "onnx/weights.bin": WEIGHTS, "README.md": b"# hello"}
    listed = [{"rfilename": name, "size": len(body)} for name, body in sizes.items()]
    listed[0]["lfs"] = {"sha256": hashlib.sha256(MODEL).hexdigest(), "size": len(MODEL)}
    server.told = {"sha": COMMIT, "siblings": listed}
    server.on("/api/models/org/repo/revision/v1", lambda h, n: answering(200, json.dumps(server.told).encode())(h, n))
    for name, body in sizes.items():
        server.on(f"/org/repo/resolve/{COMMIT}/{name}", whole(body, ETag='"e"'))
    server.environment = {**trusting, "HF_ENDPOINT": server.base, "HF_TOKEN": "hf_secret"}
    return server


def test_files_of_a_hub_are_all_of_one_commit(hub, to):
    fetch("hf://org/repo/onnx@v1", to, None, hub.environment, QUICK)
    assert came(to) == {"model.onnx": MODEL, "weights.bin": WEIGHTS}
    assert all(COMMIT in path for path, _ in hub.seen[1:])
    assert {headers["Authorization"] for _, headers in hub.seen} == {"Bearer hf_secret"}


def test_one_file_of_a_hub_goes_on_where_it_stopped(hub, to):
    hub.on(f"/org/repo/resolve/{COMMIT}/onnx/model.onnx", breaking(MODEL, 250_000, ETag='"e"'))
    fetch("hf://org/repo/onnx/model.onnx@v1", to, None, hub.environment, QUICK)
    assert came(to) == {"model.onnx": MODEL}
    assert [headers.get("Range") for _, headers in hub.seen[1:]] == [None, "bytes=250000-"]


def test_bytes_that_are_not_the_hubs_own_are_refused(hub, to):
    hub.on(f"/org/repo/resolve/{COMMIT}/onnx/model.onnx", whole(MODEL[::-1], ETag='"e"'))
    with pytest.raises(ModelFetch, match="came with the sha256 .* its source says"):
        fetch("hf://org/repo/onnx@v1", to, None, hub.environment, QUICK)
    assert left_beside(to) == []


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("hf://org/repo/other@v1", "org/repo has nothing called other at v1"),
        ("hf://org/repo/onnx@v2", r"hf://org/repo/onnx@v2 answered 404.*: is model\.uri right"),
    ],
)
def test_what_a_hub_does_not_have_is_said(hub, to, uri, said):
    with pytest.raises(ModelFetch, match=said):
        fetch(uri, to, None, hub.environment, QUICK)


def test_a_name_that_leads_out_of_the_folder_is_refused(hub, to):
    hub.told["siblings"].append({"rfilename": "onnx/../../etc/passwd", "size": 1})
    with pytest.raises(ModelFetch, match="could lead out of the model's folder"):
        fetch("hf://org/repo/onnx@v1", to, None, hub.environment, QUICK)


# --- a registry --------------------------------------------------------------------------------------------------


def archive(entries, mode="w:gz"):
    """A tar of (name, body), or of TarInfos as they are."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as tar:
        for entry in entries:
            info = entry if isinstance(entry, tarfile.TarInfo) else tarfile.TarInfo(entry[0])
            body = b"" if isinstance(entry, tarfile.TarInfo) else entry[1]
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return file.getvalue()


def link(name, to):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, to
    return info


GZIP, PLAIN = "application/vnd.oci.image.layer.v1.tar+gzip", "application/octet-stream"
ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
HALF = zstd.compress(archive([("models/m.onnx", MODEL)], "w:"))[:60]


class Registry:
    """The repository team/fraud of a registry that wants a token."""

    def __init__(self, server, trusting):
        self.server, self.host = server, server.base.removeprefix("https://")
        auth = {"auths": {self.host: {"username": "puller", "password": SECRET}}}
        self.environment = {**trusting, "WYE_FETCH_DOCKERCONFIG": json.dumps(auth)}
        self.uri = self.at(":3")
        server.on("/token", self.token)

    def at(self, reference):
        return f"oci://{self.host}/team/fraud{reference}"

    def token(self, handler, attempt):
        right = handler.headers.get("Authorization") == "Basic cHVsbGVyOmEta2V5LW5vYm9keS1tYXktcmVhZA=="
        answering(200 if right else 401, b'{"token": "t"}')(handler, attempt)

    def on(self, path, behaviour):
        def guarded(handler, attempt):
            if handler.headers.get("Authorization") == "Bearer t":
                return behaviour(handler, attempt - 1)
            asks = f'Bearer realm="{self.server.base}/token",service="s",scope="repository:team/fraud:pull"'
            return answering(401, WWW_Authenticate=asks)(handler, attempt)

        self.server.on(f"/v2/team/fraud/{path}", guarded)

    def push(self, *layers, tag="3"):
        """Layers as (media type, body, title or "", behaviour or None)."""
        told = []
        for kind, body, title, behaviour in layers:
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            notes = {"org.opencontainers.image.title": title} if title else {}
            if title and "tar" in kind:
                notes["io.deis.oras.content.unpack"] = "true"
            told.append({"mediaType": kind, "digest": digest, "size": len(body), "annotations": notes})
            self.on(f"blobs/{digest}", behaviour or whole(body))
        manifest = json.dumps({"schemaVersion": 2, "layers": told}).encode()
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        for reference in (tag, digest):
            self.on(f"manifests/{reference}", answering(200, manifest))
        return digest


@pytest.fixture
def registry(server, trusting):
    return Registry(server, trusting)


@pytest.mark.parametrize(
    ("layers", "files"),
    [
        (
            [(PLAIN, MODEL, "model.onnx"), (PLAIN, WEIGHTS, "weights.bin")],
            {"model.onnx": MODEL, "weights.bin": WEIGHTS},
        ),
        ([(PLAIN, MODEL, "")], {"model.onnx": MODEL}),
        (
            [(GZIP, archive([("fraud/m.onnx", MODEL), ("fraud/w.bin", WEIGHTS)]), "fraud")],
            {"m.onnx": MODEL, "w.bin": WEIGHTS},
        ),
        (
            [
                (GZIP, archive([("etc/passwd", b"root"), ("models/m.onnx", b"old"), ("models/gone", b"x")]), ""),
                (GZIP[:-5], archive([("./models/m.onnx", MODEL), ("models/.wh.gone", b"")], "w:"), ""),
            ],
            {"m.onnx": MODEL},
        ),
        (
            [
                (GZIP, archive([("models/m.onnx", MODEL)]), ""),
                (ZSTD, zstd.compress(archive([("models/more/w.bin", WEIGHTS)], "w:")), ""),
            ],
            {"m.onnx": MODEL, "more/w.bin": WEIGHTS},
        ),
    ],
    ids=["files pushed by oras", "one file", "a folder pushed by oras", "an image with /models", "zstd"],
)
def test_an_artifact_and_an_image_are_a_model(registry, to, layers, files):
    registry.push(*((*layer, None) for layer in layers))
    fetch(registry.uri, to, None, registry.environment, QUICK)
    assert came(to) == files


def test_an_index_leads_to_a_manifest_and_a_digest_is_checked(registry, to):
    digest = registry.push((PLAIN, MODEL, "m.onnx", None))
    index = {"manifests": [{"digest": digest, "platform": {"architecture": "amd64"}}]}
    registry.on("manifests/multi", answering(200, json.dumps(index).encode()))
    fetch(registry.at(":multi"), to, None, registry.environment, QUICK)
    assert came(to) == {"m.onnx": MODEL}
    other = f"sha256:{'0' * 64}"
    registry.on(f"manifests/{other}", answering(200, b'{"layers": []}'))
    with pytest.raises(ModelFetch, match="gave another manifest"):
        fetch(registry.at(f"@{other}"), to, None, registry.environment, QUICK)


def test_a_layer_that_breaks_goes_on_where_it_stopped(registry, to):
    registry.push((PLAIN, MODEL, "m.onnx", breaking(MODEL, 150_000, breaks=2)))
    fetch(registry.uri, to, None, registry.environment, QUICK)
    assert came(to) == {"m.onnx": MODEL}
    asked = [headers.get("Range") for path, headers in registry.server.seen if "/blobs/" in path]
    assert asked == [None, "bytes=150000-", "bytes=300000-"]


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ((GZIP, archive([link("models/m.onnx", "/etc/passwd")]), "", None), "holds m.onnx, a link"),
        ((GZIP, archive([("models/../../m.onnx", b"x")]), "", None), "could lead out"),
        ((GZIP, archive([("other/m.onnx", b"x")]), "", None), r"is empty \(0 bytes\)"),
        ((GZIP, MODEL, "", None), "no archive that can be read"),
        ((GZIP, archive([("models/m.onnx", MODEL)])[:200], "", None), "no archive that can be read"),
        ((PLAIN, MODEL, "/etc/m.onnx", None), "could lead out"),
        ((PLAIN, MODEL, "m.onnx", whole(MODEL[::-1])), "came with the sha256"),
        ((PLAIN, MODEL, "m.onnx", whole(MODEL + b"more")), "came with 400004 bytes, the list says 400000"),
        ((ZSTD, MODEL, "", None), "no archive that can be read"),
        (
            (ZSTD, zstd.compress(archive([("models/m.onnx", MODEL)], "w:"))[:60], "", None),
            "no archive that can be read",
        ),
    ],
    ids=[
        "a link",
        "dots",
        "nothing",
        "no tar",
        "half a tar",
        "an absolute title",
        "other bytes",
        "more bytes",
        "no zstd",
        "half a zstd",
    ],
)
def test_what_an_image_must_not_hold(registry, to, layer, said):
    registry.push(layer)
    with pytest.raises(ModelFetch, match=said):
        fetch(registry.uri, to, None, registry.environment, QUICK)
    assert left_beside(to) == []


def test_a_registry_that_refuses_is_said_without_the_password(registry, to):
    registry.push((PLAIN, MODEL, "m.onnx", None))
    wrong = registry.environment["WYE_FETCH_DOCKERCONFIG"].replace(SECRET, "wrong-password")
    with pytest.raises(ModelFetch, match=r"/token answered 401.*: are the credentials of model\.secretName") as refused:
        fetch(registry.uri, to, None, {**registry.environment, "WYE_FETCH_DOCKERCONFIG": wrong}, QUICK)
    assert "wrong-password" not in refused.value.message
    with pytest.raises(ModelFetch, match=r"answered 404.*: is model\.uri right"):
        fetch(registry.at(":4"), to, None, registry.environment, QUICK)


def test_a_digest_of_the_model_is_checked_wherever_it_comes_from(registry, to):
    registry.push((PLAIN, MODEL, "m.onnx", None))
    fetch(registry.uri, to, hashlib.sha256(MODEL).hexdigest(), registry.environment, QUICK)
    with pytest.raises(ModelDigestMismatch, match="oci://"):
        fetch(registry.uri, to, "a" * 64, registry.environment, QUICK)


def test_the_room_is_asked_before_anything_comes(registry, to, monkeypatch):
    registry.push((PLAIN, MODEL, "m.onnx", None))
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(ModelFetch, match="the model has 400000 bytes to come, .* has room for 1000"):
        fetch(registry.uri, to, None, registry.environment, QUICK)


# --- a fetch that was killed -------------------------------------------------------------------------------------

LARGE = os.urandom(1 << 20) * 40  # more than what a run that is killed may lose
LATEST = 180  # seconds: on a busy machine a program takes half a minute to start


def fetching_process(uri, to, trusting, log):
    words = [sys.executable, "-m", "wye_runtime.cli", "fetch", "--uri", uri, "--to", str(to)]
    with log.open("ab") as out:
        return subprocess.Popen(words, env=os.environ | trusting, stdout=out, stderr=subprocess.STDOUT)


def killed_when(met, process):
    end = time.monotonic() + LATEST
    while not met():
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < end, "it never came so far"
        time.sleep(0.01)
    process.kill()
    process.wait()


def stalling(body, at, over, **headers):
    """As `whole`, but the first answer stands still after `at` bytes."""

    def give(handler, attempt):
        if attempt > 1:
            return whole(body, **headers)(handler, attempt)
        handler.head(200, Content_Length=str(len(body)), **headers)
        handler.wfile.write(body[:at])
        over.wait(LATEST)

    return give


@pytest.mark.parametrize("state", ["the same", "another"])
def test_a_fetch_that_was_killed_goes_on_where_it_was(server, to, trusting, tmp_path, state):
    """By SIGKILL, as a node that runs out of memory does it: from the last note on disk, if it is still that file."""
    over, log = threading.Event(), tmp_path / "log"
    uri = server.on("/large.onnx", stalling(LARGE, 36 << 20, over, **headers_of(LARGE)))
    process = fetching_process(uri, to, trusting, log)
    note = to / ".model.onnx.note"
    killed_when(lambda: note.exists() and json.loads(note.read_text())["size"] >= 32 << 20, process)
    over.set()
    assert [each.name for each in to.iterdir() if not each.name.startswith(".")] == [], "nothing has a name yet"
    if state == "another":
        server.on("/large.onnx", whole(LARGE[::-1], **headers_of(LARGE, tag="new")))
    seen = len(server.seen)
    assert fetching_process(uri, to, trusting, log).wait(LATEST) == 0, log.read_text()
    assert (to / "model.onnx").read_bytes() == (LARGE if state == "the same" else LARGE[::-1])
    assert sorted(each.name for each in to.iterdir()) == ["model.onnx"]
    first = server.seen[seen][1]
    assert int(first["Range"].removeprefix("bytes=").removesuffix("-")) >= 32 << 20
    assert first["If-Range"] == '"e"'


def test_files_of_a_folder_that_came_before_are_not_asked_for_again(bucket, to, trusting, tmp_path):
    over, log = threading.Event(), tmp_path / "log"
    bucket.put("f/a.bin", WEIGHTS)
    bucket.put("f/b.bin", WEIGHTS)
    bucket.put("f/model.onnx", MODEL, stalling(MODEL, 1000, over, **headers_of(MODEL)))
    process = fetching_process("s3://models/f", to, trusting, log)
    killed_when(lambda: any(path == "/models/f/model.onnx" for path, _ in bucket.server.seen), process)
    over.set()
    bucket.put("f/b.bin", WEIGHTS[::-1])
    bucket.tags["f/b.bin"] = "new"
    seen = len(bucket.server.seen)
    assert fetching_process("s3://models/f", to, trusting, log).wait(LATEST) == 0, log.read_text()
    assert came(to) == {"a.bin": WEIGHTS, "b.bin": WEIGHTS[::-1], "model.onnx": MODEL}
    asked = [path for path, _ in bucket.server.seen[seen:] if path.startswith("/models/f/")]
    assert asked == ["/models/f/b.bin", "/models/f/model.onnx"], "what changed, and what had not come"
    assert left_beside(to) == [".model.fetched", "log", "model"]


def test_a_file_that_the_source_lost_meanwhile_does_not_stay(bucket, to, trusting, tmp_path):
    over, log = threading.Event(), tmp_path / "log"
    bucket.put("f/a.bin", WEIGHTS)
    bucket.put("f/model.onnx", MODEL, stalling(MODEL, 1000, over, **headers_of(MODEL)))
    process = fetching_process("s3://models/f", to, trusting, log)
    killed_when(lambda: any(path == "/models/f/model.onnx" for path, _ in bucket.server.seen), process)
    over.set()
    del bucket.objects["f/a.bin"]
    assert fetching_process("s3://models/f", to, trusting, log).wait(LATEST) == 0, log.read_text()
    assert came(to) == {"model.onnx": MODEL}


def test_what_came_before_a_fetch_gave_up_is_kept_for_the_next(bucket, to, trusting):
    """Five tries that brought nothing end a run; the kubelet starts another."""
    bucket.put("f/a.bin", WEIGHTS)
    bucket.put("f/model.onnx", MODEL, answering(503))
    with pytest.raises(ModelFetch, match="answered 503"):
        fetch("s3://models/f", to, None, trusting, QUICK)
    assert not to.exists()
    bucket.put("f/model.onnx", MODEL)
    seen = len(bucket.server.seen)
    fetch("s3://models/f", to, None, trusting, QUICK)
    assert came(to) == {"a.bin": WEIGHTS, "model.onnx": MODEL}
    assert "/models/f/a.bin" not in [path for path, _ in bucket.server.seen[seen:]]


def test_an_image_that_was_half_unpacked_is_whole_in_the_end(registry, to, trusting, monkeypatch):
    """Its layers stay in their order: what a later one takes away is not brought back."""
    lower = archive([("models/model.onnx", MODEL), ("models/old.bin", b"old")])
    middle = archive([("models/.wh.old.bin", b""), ("models/new.bin", WEIGHTS)])
    upper = archive([("models/last.bin", b"last")])
    registry.push(*((GZIP, body, "", None) for body in (lower, middle, upper)))
    real, calls = fetching.unpack, []

    def dying(*words):
        calls.append(words)
        if len(calls) == 3:
            raise SystemExit(143)
        return real(*words)

    monkeypatch.setattr(fetching, "unpack", dying)
    with pytest.raises(SystemExit):
        fetch(registry.uri, to, None, registry.environment, QUICK)
    assert not to.exists()
    fetch(registry.uri, to, None, registry.environment, QUICK)
    assert came(to) == {"model.onnx": MODEL, "new.bin": WEIGHTS, "last.bin": b"last"}
