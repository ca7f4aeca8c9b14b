"""The servers of `make bench-peers`: ours and others', how each is installed and started, and what it is asked.

Each of the others is installed from PyPI, pinned (`others/NAME/requirements.txt`), in an environment of its own below
`~/.cache/wye-bench`. Each runs the same engine with the same options (`others/engine.py`), and is set up as its own
guide says for speed on one core.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import wires
import yaml
from peers import cache
from wires import Call, Item

OTHERS = Path(__file__).with_name("others")
NEWEST = "2026-11-20"  # nothing younger is installed: the same packages every time
HERE = Path(sys.executable).parent
OURS = "Wye"
ROUTED = "Wye, router and runtime"
STATIC = "Wye's fast lane, no model"
GRPCIO = "grpcio, 4 threads"


@dataclass(frozen=True, slots=True)
class Site:
    """Where one server of one model stands; `bin` is its environment's."""

    folder: Path
    item: Item
    bin: Path
    http: int
    grpc: int

    def script(self, home: str, name: str) -> str:
        return str(OTHERS / home / name)


@dataclass(frozen=True, slots=True)
class Rival:
    """One server. `ways`: what it can be asked, by name; `uncounted`: a process of it that serves nothing."""

    name: str
    command: Callable[[Site], Sequence[str | Path]]
    ways: Mapping[str, Callable[[Item], Call]]
    home: str = ""
    told: Mapping[str, str] = field(default_factory=dict)
    uncounted: str = ""


def environment(rival: Rival) -> tuple[Path, str]:
    """The `bin` of its environment, made where it is not there yet; and why it could not be, "" when it could."""
    if not rival.home:
        return HERE, ""
    wanted = OTHERS / rival.home / "requirements.txt"
    digest = hashlib.sha256(wanted.read_bytes() + NEWEST.encode() + sys.version.encode()).hexdigest()[:8]
    folder = cache() / f"{rival.home}-{digest}"
    if not (folder / "made").exists():
        print(f"   installing {rival.name} into {folder}", flush=True)
        problem = install(folder, wanted)
        if problem:
            return folder / "bin", problem
        (folder / "made").touch()
    return folder / "bin", ""


def install(folder: Path, wanted: Path) -> str:
    """Why it cannot be had, in uv's words; "" when it is there."""
    uv = shutil.which("uv") or str(Path(__file__).parents[2] / ".tools/bin/uv")
    python = ["--python", str(folder / "bin/python"), "--exclude-newer", NEWEST]
    for command in (
        ["venv", "-q", "--clear", "--python", sys.executable, str(folder)],
        ["pip", "install", "-q", *python, "-r", str(wanted)],
    ):
        done = subprocess.run([uv, *command], capture_output=True, text=True, check=False)
        if done.returncode:
            return " ".join(done.stderr.split())[:300]
    return ""


def versions(binaries: Path) -> list[str]:
    """Everything that is installed there."""
    code = "import importlib.metadata as m; print(*sorted({f'{d.name}=={d.version}' for d in m.distributions()}))"
    told = subprocess.run([binaries / "python", "-c", code], capture_output=True, text=True, check=True)
    return told.stdout.split()


def runtime(site: Site) -> Sequence[str | Path]:
    config = {
        "deployment": "default/bench",
        "model": {"name": site.item.model, "path": site.item.path},
        "engine": {"threads": 1},
    }
    written = site.folder / "runtime.json"
    written.write_text(json.dumps(config))
    ports = ["--port", str(site.http), "--inner-port", str(site.grpc)]
    return [site.bin / "wye-runtime", "serve", "--config", written, "--host", "127.0.0.1", *ports]


def twin(site: Site) -> Sequence[str | Path]:
    """An Endpoint with one Deployment, as on anyone's machine, without keys as the others are."""
    shutil.copyfile(site.item.path, site.folder / "model.onnx")
    endpoint = {"traffic": {"blue": 100}, "authMode": "None"}
    blue = {"endpointName": site.item.model, "name": "blue", "engine": {"threads": 1}}
    blue["model"] = {"uri": "file://model.onnx", "name": site.item.model}
    for kind, name, spec in (("Endpoint", site.item.model, endpoint), ("Deployment", f"{site.item.model}-blue", blue)):
        body = {"apiVersion": "wye.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        (site.folder / f"{name}.yaml").write_text(yaml.safe_dump(body))
    return [site.bin / "wye", "local", "up", site.folder, "--port", str(site.http)]


def static(site: Site) -> Sequence[str | Path]:
    return [site.bin / "python", Path(__file__).with_name("static.py"), str(site.http)]


def triton(site: Site) -> Sequence[str | Path]:
    """A model repository with the python back end: the wheel has no other for ONNX."""
    place = site.folder / "models" / site.item.model
    (place / "1").mkdir(parents=True)
    for script in (site.script("triton", "model.py"), site.script("", "engine.py")):
        shutil.copy(script, place / "1")
    (place / "config.pbtxt").write_text(triton_config(site.item))
    (root,) = site.bin.parent.glob("lib/python*/site-packages/pytriton/tritonserver")
    backends = site.folder / "backends"
    shutil.copytree(root / "backends", backends)
    stub = root / f"python_backend_stubs/{sys.version_info[0]}.{sys.version_info[1]}/triton_python_backend_stub"
    (backends / "python" / stub.name).symlink_to(stub)
    ports = ("--http-port", str(site.http), "--grpc-port", str(site.grpc), "--allow-metrics", "false")
    threads = ("--http-thread-count", "1")
    return [
        root / "bin/tritonserver",
        "--model-repository",
        place.parent,
        "--backend-directory",
        backends,
        *ports,
        *threads,
    ]


def triton_config(item: Item) -> str:
    """Requests are brought together where that pays: for a network of small layers, not for convolutions."""
    dims = ", ".join(map(str, item.rows.shape[1:]))
    batching = "dynamic_batching {}" if item.rows.ndim == 2 else ""
    return f"""
name: "{item.model}"
backend: "python"
max_batch_size: 64
input [{{name: "{item.input}", data_type: TYPE_FP32, dims: [{dims}]}}]
output [{{name: "{item.output}", data_type: TYPE_FP32, dims: [-1]}}]
instance_group [{{kind: KIND_CPU, count: 1}}]
{batching}
"""


def mlserver(site: Site) -> Sequence[str | Path]:
    settings = {"host": "127.0.0.1", "http_port": site.http, "grpc_port": site.grpc, "debug": False}
    quiet = {"parallel_workers": 0, "metrics_endpoint": None, "grpc_max_message_length": 2**26}
    (site.folder / "settings.json").write_text(json.dumps(settings | quiet))
    named = {"name": site.item.model, "implementation": "onnx_model.Onnx"}
    (site.folder / "model-settings.json").write_text(json.dumps(named))
    return [site.bin / "mlserver", "start", site.folder]


def kserve(site: Site) -> Sequence[str | Path]:
    quiet = ("--log_config_file", site.script("kserve", "logging.json"))
    words = (site.item.model, str(site.http), str(site.grpc), *quiet)
    return [site.bin / "python", site.script("kserve", "server.py"), *words]


def azureml(site: Site) -> Sequence[str | Path]:
    """Its default closes the connection behind every answer; threads keep it, and are faster. logging.json is found."""
    script = site.script("azureml", "score.py")
    return [site.bin / "azmlinfsrv", "--entry_script", script, "--port", str(site.http)]


def bentoml(site: Site) -> Sequence[str | Path]:
    service = ["service:Onnx", "--working-dir", OTHERS / "bentoml"]
    return [site.bin / "bentoml", "serve", *service, "--host", "127.0.0.1", "--port", str(site.http)]


def litserve(site: Site) -> Sequence[str | Path]:
    return [site.bin / "python", site.script("litserve", "server.py"), str(site.http)]


def ray(site: Site) -> Sequence[str | Path]:
    return [site.bin / "python", site.script("ray", "server.py"), str(site.http), site.folder / "r"]


def grpcio(site: Site) -> Sequence[str | Path]:
    return [site.bin / "python", site.script("grpcio", "server.py"), site.item.model, str(site.grpc)]


PROTOCOL = {"JSON": wires.protocol_json, "binary": wires.protocol_binary, "gRPC": wires.grpc}
THREADS = "--worker-class gthread --threads 8 --keep-alive 75"
FAST = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_USAGE_STATS_ENABLED": "0"}
RIVALS = (
    Rival(OURS, runtime, {**PROTOCOL, "gRPC": wires.grpc_bridged}),
    Rival(ROUTED, twin, {"gRPC": wires.grpc}, uncounted="wye"),
    Rival("Triton", triton, PROTOCOL, "triton"),
    Rival("mlserver", mlserver, {name: PROTOCOL[name] for name in ("JSON", "gRPC")}, "mlserver"),
    Rival("kserve", kserve, PROTOCOL, "kserve"),
    Rival(
        "azureml",
        azureml,
        {"JSON": wires.rows_json("/score", lambda told: told), "binary": wires.rows_raw("/score")},
        "azureml",
        {"GUNICORN_CMD_ARGS": THREADS},
    ),
    Rival(
        "litserve",
        litserve,
        {"JSON": wires.rows_json("/predict", lambda told: told["rows"])},
        "litserve",
    ),
    Rival(
        "bentoml",
        bentoml,
        {"JSON": wires.rows_json("/score", lambda told: told)},
        "bentoml",
        {"BENTOML_DO_NOT_TRACK": "True"},
    ),
    Rival("ray serve", ray, {"JSON": wires.rows_json("/score", lambda told: told["rows"])}, "ray", FAST),
    Rival(GRPCIO, grpcio, {"gRPC": wires.grpc}, "grpcio"),
    Rival(STATIC, static, {"JSON": wires.unread}),
)


def told(rival: Rival, site: Site, mark: str) -> dict[str, str]:
    """The variables that it starts with; by the mark all its processes are found again."""
    mine = {"MODEL": site.item.path, "PYTHONPATH": f"{OTHERS}:{OTHERS / (rival.home or 'none')}", "WYE_BENCH": mark}
    path = f"{site.bin}:{os.environ['PATH']}"
    packages = [str(each) for each in site.bin.parent.glob("lib/python*/site-packages")]
    mine["PYTHONPATH"] += "".join(f":{each}" for each in packages if rival.home == "triton")
    return {**os.environ, "PATH": path, "ORT_DISABLE_TELEMETRY": "1", **mine, **rival.told}
