"""What is in the images, and that they serve as a user that nobody planned for."""

import functools
import hashlib
import http.server
import json
import os
import re
import ssl
import subprocess
import threading

import httpx
import pytest

import plain
import toys

if not os.environ.get("WYE_E2E"):
    pytest.skip("images are tested by make e2e", allow_module_level=True)

NAMES = ("operator", "runtime", "router")
UNWANTED = re.compile(r"^(cc|gcc.*|g\+\+.*|c\+\+|make|curl|wget)$")


@pytest.mark.parametrize("name", NAMES)
def test_an_image_says_what_it_is_and_runs_as_nobody(store, image, name) -> None:
    config = store.config(image(name))
    labels = config["Labels"]
    for key in ("title", "version", "revision", "created", "licenses", "base.name"):
        assert labels[f"org.opencontainers.image.{key}"], key
    assert config["User"].split(":")[0].isdecimal()
    assert config["User"].split(":")[0] != "0"
    told = " ".join(config["Env"])
    assert not re.search("proxy|PIP_|CERT|INDEX", told, re.IGNORECASE)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_holds_no_compiler_no_pip_and_no_cache(store, image, name) -> None:
    with store.files(image(name)) as root:
        programs = [
            each.name for folder in ("usr/bin", "usr/local/bin", "opt/wye/bin") for each in (root / folder).glob("*")
        ]
        assert [each for each in programs if UNWANTED.match(each)] == []
        assert list(root.glob("opt/wye/lib/python3*/site-packages/pip*")) == []
        assert not list(root.glob("root/.cache/*"))
        assert not list(root.glob("build")) + list(root.glob("wheels")) + list(root.glob("locks"))


def test_the_runtime_stays_small(store, image) -> None:
    """Its own layers on any base; all of it on the base that is made here."""
    config = store.config(image("runtime"))
    with store.files(image("runtime")) as root:
        own = sum(each.lstat().st_size for each in (root / "opt/wye").rglob("*"))
        whole = sum(each.lstat().st_size for each in root.rglob("*") if not each.is_symlink())
    assert own <= 135_000_000, f"{own / 1e6:.0f} MB"
    if config["Labels"]["org.opencontainers.image.base.name"].endswith("-run"):
        assert whole <= 200_000_000, f"{whole / 1e6:.0f} MB"


def test_the_runtime_serves(store, image, tmp_path, wait_until) -> None:
    """numpy, ONNX Runtime and the event loop work after slimming, with nothing but /tmp to write to."""
    given, log = tmp_path / "given", tmp_path / "log"
    given.mkdir()
    toys.saved(toys.linear(3), given / "model.onnx")
    ports = ("--host", "127.0.0.1", "--port", "0", "--inner-port", "0")
    command = ("serve", "--model", "/tmp/given/model.onnx", "--name", "toy", *ports)
    with store.running(image("runtime"), *command, given=given, log=log) as child:
        wait_until(lambda: '"ready"' in log.read_text(), child, log)
        (port,) = [json.loads(line)["port"] for line in log.read_text().splitlines() if '"listening"' in line]
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}]}
        base = f"http://127.0.0.1:{port}"
        described = plain.get(f"{base}/v2/models/toy").json()
        body["inputs"][0]["name"] = described["inputs"][0]["name"]
        answered = plain.post(f"{base}/v2/models/toy/infer", json=body)
        assert answered.status_code == 200, answered.text
        assert answered.json()["outputs"][0]["shape"][0] == 2
    assert child.returncode == 0, log.read_text()


@pytest.fixture
def store_of_models(tmp_path):
    """An https:// server of files with an authority of its own: its address, and the folder with the files."""
    folder = tmp_path / "given"
    folder.mkdir()
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(tmp_path / "key"))
    names = ("-subj", "/CN=models", "-addext", "subjectAltName=IP:127.0.0.1")
    make = ["openssl", "req", "-x509", *key, *names, "-days", "2", "-out", str(folder / "authority")]
    subprocess.run(make, check=True, capture_output=True)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "authority", tmp_path / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}", folder
    server.shutdown()
    server.server_close()


def test_the_runtime_image_fetches(store, image, store_of_models, tmp_path) -> None:
    """The init container: TLS and hashing work with what the image has."""
    address, folder = store_of_models
    model, log = toys.saved(toys.linear(3), folder / "model.onnx"), tmp_path / "log"
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    command = ("fetch", "--uri", f"{address}/model.onnx", "--to", "/tmp/model", "--sha256", digest)
    told = ("SSL_CERT_FILE=/tmp/given/authority",)
    with store.running(image("runtime"), *command, log=log, given=folder, told=told) as child:
        assert child.wait(60) == 0, log.read_text()
    assert json.loads(log.read_text().splitlines()[-1])["sha256"] == digest


def test_the_router_is_envoy(store, image, tmp_path, wait_until) -> None:
    log, admin = tmp_path / "log", tmp_path / "given"
    admin.mkdir()
    admin.joinpath("envoy.json").write_text(
        json.dumps({"admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 19_873}}}})
    )
    command = ("--config-path", "/tmp/given/envoy.json", "--disable-hot-restart", "--concurrency", "1")
    with store.running(image("router"), *command, given=admin, log=log) as child:

        def live() -> bool:
            try:
                return plain.get("http://127.0.0.1:19873/ready").text == "LIVE\n"
            except httpx.TransportError:
                return False

        wait_until(live, child, log)
    with store.files(image("router")) as root:
        for program in ("bash", "sleep"):  # the preStop drain is written in them
            assert (root / "bin" / program).exists() or (root / "usr/bin" / program).exists(), program


def test_the_operator_starts(store, image, tmp_path) -> None:
    """Every module that it needs is there, and a user without a name is none it stumbles over."""
    log = tmp_path / "log"
    images = ("--runtime-image", "localhost/r", "--router-image", "localhost/e")
    with store.running(image("operator"), "operator", *images, "--port", "0", log=log) as child:
        assert child.wait(60) == 1, log.read_text()
    assert "no way into a cluster" in log.read_text()
