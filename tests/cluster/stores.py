"""One of each store that a model can come from, filled, until stdin ends; test_sources.py runs it in the pods' network.

moto, fake-gcs-server and Azurite speak plain HTTP; the registry, and a hub and a web server of ours that break off
halfway, speak TLS with one certificate.

    python stores.py '{"host": …, "tls": FOLDER, "model": FILE, "programs": {"moto": …, "gcs": …, …}}'
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import io
import json
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from breaking import Server, answering, breaking, whole

S3, GCS, AZURE, REGISTRY, WEB = 7301, 7302, 7303, 7304, 7305
ACCOUNT = "devstoreaccount1"  # Azurite's own, with the key that its documentation has
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
USER, PASSWORD = "puller", "pulled"
HTPASSWD = f"{USER}:$2b$05$tWmJTYkVoVn.bkeoPSuVkez1il4ZBpPAecaBRPtkn.kZQsz.m9wXe\n"  # bcrypt of the password
COMMIT = "0123456789abcdef0123456789abcdef01234567"
NOTES = b"beside the model"


def main(told: Mapping) -> None:
    """Start, fill, say so, wait."""
    model, folder = Path(told["model"]).read_bytes(), Path(told["tls"])
    with ExitStack() as stack:
        for command in commands(told, folder):
            log = stack.enter_context((folder / f"{Path(command[0]).name}.log").open("wb"))
            child = stack.enter_context(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
            stack.callback(child.terminate)
        web(told["host"], folder, model)
        for port, fill in ((S3, fill_s3), (GCS, fill_gcs), (AZURE, fill_azure), (REGISTRY, fill_registry)):
            listening(told["host"], port)
            fill(told["host"], model, folder)
        print("filled", flush=True)
        sys.stdin.read()


def commands(told: Mapping, folder: Path) -> list[list[str]]:
    host, programs = told["host"], told["programs"]
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "auth": {"htpasswd": {"realm": "models", "path": str(folder / "htpasswd")}},
        "http": {
            "addr": f"{host}:{REGISTRY}",
            "tls": {"certificate": str(folder / "server.crt"), "key": str(folder / "server.key")},
        },
    }
    (folder / "registry.yaml").write_text(json.dumps(settings))  # JSON is YAML
    (folder / "htpasswd").write_text(HTPASSWD)
    gcs = [
        *("-scheme", "http", "-host", host, "-port", str(GCS)),
        *("-backend", "memory", "-public-host", f"{host}:{GCS}"),
    ]
    azure = [
        *("--blobHost", host, "--blobPort", str(AZURE)),
        "--silent",
        "--inMemoryPersistence",
        "--skipApiVersionCheck",
    ]
    return [
        [programs["moto"], "-H", host, "-p", str(S3)],
        [programs["gcs"], *gcs],
        [programs["azurite"], *azure, "--disableTelemetry"],
        [programs["registry"], "serve", str(folder / "registry.yaml")],
    ]


def listening(host: str, port: int) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            socket.create_connection((host, port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def call(method: str, url: str, body: bytes = b"", **headers: str):
    named = {"Content-Type": "application/octet-stream"} | {n.replace("_", "-"): value for n, value in headers.items()}
    return urllib.request.urlopen(urllib.request.Request(url, body, named, method=method), timeout=20)


def web(host: str, folder: Path, model: bytes) -> None:
    """https://…/model.onnx breaks off once, …/liar never has all it promises; beside them a hub with org/repo."""
    server = Server(folder, host, WEB)
    state = {"ETag": '"one"'}
    server.on("/model.onnx", breaking(model, 80, breaks=1, **state))
    server.on("/liar", breaking(model, 80, breaks=10**9))
    listed = [{"rfilename": "onnx/model.onnx", "size": len(model)}, {"rfilename": "README.md", "size": 1}]
    told = json.dumps({"sha": COMMIT, "siblings": listed}).encode()
    server.on("/api/models/org/repo/revision/v1", answering(200, told))
    server.on(f"/org/repo/resolve/{COMMIT}/onnx/model.onnx", whole(model, **state))


def fill_s3(host: str, model: bytes, _: Path) -> None:
    base = f"http://{host}:{S3}/models"
    call("PUT", base)
    call("PUT", f"{base}/fraud/3/model.onnx", model)
    call("PUT", f"{base}/fraud/3/notes/about.txt", NOTES)


def fill_gcs(host: str, model: bytes, _: Path) -> None:
    base = f"http://{host}:{GCS}"
    call("POST", f"{base}/storage/v1/b?project=p", b'{"name": "models"}', Content_Type="application/json")
    call("POST", f"{base}/upload/storage/v1/b/models/o?uploadType=media&name=fraud.onnx", model)


def fill_azure(host: str, model: bytes, _: Path) -> None:
    azure(host, "PUT", "models", b"", {}, "\nrestype:container")
    azure(host, "PUT", "models/fraud/model.onnx", model, {"x-ms-blob-type": "BlockBlob"})


def azure(host: str, method: str, path: str, body: bytes, more: dict[str, str], query: str = "") -> None:
    """Signed by hand: the library that fetches can make no container."""
    now = datetime.datetime.now(datetime.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {"x-ms-date": now, "x-ms-version": "2023-11-03", **more}
    kind = "application/octet-stream"
    told = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    length = str(len(body)) if body else ""
    text = f"{method}\n\n\n{length}\n\n{kind}\n\n\n\n\n\n\n{told}/{ACCOUNT}/{ACCOUNT}/{path}{query}"
    signed = base64.b64encode(hmac.new(base64.b64decode(ACCOUNT_KEY), text.encode(), hashlib.sha256).digest()).decode()
    url = f"http://{host}:{AZURE}/{ACCOUNT}/{path}{'?restype=container' if query else ''}"
    call(method, url, body, Authorization=f"SharedKey {ACCOUNT}:{signed}", Content_Type=kind, **headers)


def fill_registry(host: str, model: bytes, folder: Path) -> None:
    """`team/files:3` is what `oras push model.onnx` makes, `team/image:3` an image with /models and nothing to run."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        info = tarfile.TarInfo("models/model.onnx")
        info.size = len(model)
        tar.addfile(info, io.BytesIO(model))
    title = {"org.opencontainers.image.title": "model.onnx"}
    push(host, folder, "team/files", "application/octet-stream", model, title)
    push(host, folder, "team/image", "application/vnd.oci.image.layer.v1.tar+gzip", file.getvalue(), {})


def push(host: str, folder: Path, name: str, kind: str, layer: bytes, notes: Mapping[str, str]) -> None:
    base = f"https://{host}:{REGISTRY}/v2/{name}"
    config = b"{}"
    digests = [upload(base, folder, blob) for blob in (config, layer)]
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digests[0], "size": len(config)},
        "layers": [{"mediaType": kind, "digest": digests[1], "size": len(layer), "annotations": dict(notes)}],
    }
    secure(folder, "PUT", f"{base}/manifests/3", json.dumps(manifest).encode(), manifest["mediaType"])


def upload(base: str, folder: Path, blob: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    place = secure(folder, "POST", f"{base}/blobs/uploads/", b"").headers["Location"]
    secure(folder, "PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", blob)
    return digest


def secure(folder: Path, method: str, url: str, body: bytes, kind: str = "application/octet-stream"):
    import ssl

    context = ssl.create_default_context(cafile=folder / "server.crt")
    user = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    headers = {"Authorization": f"Basic {user}", "Content-Type": kind}
    return urllib.request.urlopen(
        urllib.request.Request(url, body, headers, method=method), timeout=20, context=context
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
