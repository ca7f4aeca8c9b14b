"""What this process was told: the configuration file, the environment, the machine's limits; read once."""

import base64
import json
import math
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from wye_runtime.errors import ConfigError, shown
from wye_runtime.options import NO_CPU, check_session_option

PROVIDERS = ("Auto", "CPU", "CUDA", "TensorRT")
GPU_PROVIDERS = ("CUDA", "TensorRT")
BATCHING_MODES = ("Auto", "Never", "Always")
TERMINATION_LOG = "/dev/termination-log"
COLLECTOR = re.compile(r"http://(?P<host>[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?):(?P<port>[1-9][0-9]{0,4})")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Which bytes to serve, and under which name."""

    path: str
    name: str = "model"
    version: str = "1"
    sha256: str | None = None
    uri: str | None = None

    @property
    def called(self) -> str:
        """What its owner calls it: where it came from, not where the operator put it."""
        return self.uri or Path(self.path).name


@dataclass(frozen=True, slots=True)
class Engine:
    provider: str = "Auto"
    threads: int | None = None
    providerOptions: Mapping[str, str] = field(default_factory=dict)  # the wire's own name
    sessionOptions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestSettings:
    requestTimeoutMs: int = 5000  # the wire's own names
    maxConcurrentRequestsPerInstance: int | None = None
    maxQueueWaitMs: int = 500

    @property
    def timeout(self) -> float:
        return self.requestTimeoutMs / 1000

    @property
    def queue_wait(self) -> float:
        return self.maxQueueWaitMs / 1000


@dataclass(frozen=True, slots=True)
class BatchingSettings:
    mode: str = "Auto"
    maxBatchSize: int | None = None
    maxDelayMs: int = 0


@dataclass(frozen=True, slots=True)
class Warmup:
    requests: int = 3
    input: Any = None  # a body of /score


@dataclass(frozen=True, slots=True)
class ScriptSource:
    """An Azure scoring script, and the folder that it and what it imports are in."""

    folder: str
    file: str


@dataclass(frozen=True, slots=True)
class Tracing:
    """Where spans are sent, and what they say of this process."""

    host: str
    port: int
    resource: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration file of docs/concepts/wire.md."""

    model: ModelSource  # its path is "" where a script comes without one
    deployment: str | None = None
    engine: Engine = field(default_factory=Engine)
    request: RequestSettings = field(default_factory=RequestSettings)
    max_request_bytes: int = 1 << 30
    batching: BatchingSettings = field(default_factory=BatchingSettings)
    warmup: Warmup = field(default_factory=Warmup)
    contract: Mapping[str, Any] | None = None
    script: ScriptSource | None = None
    tracing: Tracing | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables this process reads."""

    log_sample: float = 0.0
    termination_log: Path | None = None
    fast_lane: bool = True
    cache: Path | None = None  # a folder for what was measured


NOTHING_SAID = Environment()


def config_from(path: Path) -> Config:
    """The configuration in a file, or a ConfigError that says what is wrong with it."""
    try:
        body = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    return parse_config(body)


def parse_config(body: object) -> Config:
    """The configuration in a decoded JSON object; unknown keys are refused by name."""
    top = known(body, "the configuration", TOP_KEYS)
    script = None if top.get("script") is None else script_source(top["script"])
    if "model" not in top and script is None:
        raise ConfigError("the configuration names no model: want model.path")
    check_script(top, script)
    return Config(
        model=model_source(top.get("model") or {}, script),
        script=script,
        deployment=text(top.get("deployment"), "deployment"),
        engine=engine(top.get("engine") or {}),
        request=request_settings(top.get("requestSettings") or {}),
        max_request_bytes=whole(top.get("maxRequestBytes", 1 << 30), "maxRequestBytes", 1),
        batching=batching(top.get("batching") or {}),
        warmup=warmup(top.get("warmup") or {}),
        contract=top.get("contract"),
        tracing=None if top.get("tracing") is None else tracing(top["tracing"]),
    )


TOP_KEYS = (
    "deployment",
    "model",
    "engine",
    "requestSettings",
    "maxRequestBytes",
    "batching",
    "warmup",
    "contract",
    "script",
    "tracing",
)
OF_MODELS = ("contract",)  # what a script has no use for


def model_source(body: object, script: ScriptSource | None = None) -> ModelSource:
    """The `model` object; ConfigError names the field that is wrong."""
    given = known(body, "model", names(ModelSource))
    path = text(given.get("path"), "model.path") or ""
    if not path and script is None:
        raise ConfigError("the configuration names no model: want model.path")
    version = given.get("version", "1")
    return ModelSource(
        path=path,
        name=text(given.get("name"), "model.name") or Path(path).stem or "script",
        version=str(version) if type(version) is int else text(version, "model.version") or "1",
        sha256=(text(given.get("sha256"), "model.sha256") or "").lower() or None,
        uri=text(given.get("uri"), "model.uri"),
    )


def script_source(body: object) -> ScriptSource:
    """The `script` object; ConfigError names the field that is wrong."""
    given = known(body, "script", names(ScriptSource))
    folder, file = (text(given.get(name), f"script.{name}") for name in ("folder", "file"))
    if not (folder and file):
        raise ConfigError("the configuration names no script: want script.folder and script.file")
    if Path(file).is_absolute() or ".." in Path(file).parts:
        raise ConfigError(f"script.file is {shown(file)}, want a path inside script.folder")
    return ScriptSource(folder, file)


def check_script(top: Mapping[str, Any], script: ScriptSource | None) -> None:
    """A script answers by itself: what would be ignored is refused."""
    for name in OF_MODELS:
        if script is not None and top.get(name) is not None:
            raise ConfigError(f"{name} cannot stand beside script: the script says what it takes and gives")


def engine(body: object) -> Engine:
    """The `engine` object; ConfigError names the field that is wrong."""
    given = known(body, "engine", names(Engine))
    provider = given.get("provider", "Auto")
    if provider not in PROVIDERS:
        raise ConfigError(f"engine.provider is {shown(provider)}, want one of {', '.join(PROVIDERS)}")
    options = strings(given, "providerOptions")
    if options and provider not in GPU_PROVIDERS:
        raise ConfigError(f"engine.providerOptions is set where engine.provider is {provider}, want CUDA or TensorRT")
    if not options.get("device_id", "0").isdecimal():
        raise ConfigError(f"engine.providerOptions.device_id is {shown(options['device_id'])}, want a number")
    told = strings(given, "sessionOptions")
    for name, value in told.items():
        check_session_option(name, value)
    if told.get(NO_CPU) == "1" and provider not in GPU_PROVIDERS:
        raise ConfigError(
            f"engine.sessionOptions has {NO_CPU} where engine.provider is {provider}, want CUDA or TensorRT"
        )
    return Engine(provider, optional_whole(given.get("threads"), "engine.threads"), options, told)


def strings(given: Mapping[str, Any], name: str) -> dict[str, str]:
    """An object of strings in `engine`; ConfigError where it is something else."""
    options = given.get(name) or {}
    if not isinstance(options, dict) or not all(isinstance(value, str) for value in options.values()):
        raise ConfigError(f"engine.{name} is {shown(options)}, want an object of strings")
    return options


def request_settings(body: object) -> RequestSettings:
    """The `requestSettings` object; ConfigError names the field that is wrong."""
    given = known(body, "requestSettings", names(RequestSettings))
    slots = given.get("maxConcurrentRequestsPerInstance")
    return RequestSettings(
        whole(given.get("requestTimeoutMs", 5000), "requestSettings.requestTimeoutMs", 1),
        optional_whole(slots, "requestSettings.maxConcurrentRequestsPerInstance"),
        whole(given.get("maxQueueWaitMs", 500), "requestSettings.maxQueueWaitMs", 0),
    )


def batching(body: object) -> BatchingSettings:
    """The `batching` object; ConfigError names the field that is wrong."""
    given = known(body, "batching", names(BatchingSettings))
    mode = given.get("mode", "Auto")
    if mode not in BATCHING_MODES:
        raise ConfigError(f"batching.mode is {shown(mode)}, want one of {', '.join(BATCHING_MODES)}")
    return BatchingSettings(
        mode,
        optional_whole(given.get("maxBatchSize"), "batching.maxBatchSize"),
        whole(given.get("maxDelayMs", 0), "batching.maxDelayMs", 0),
    )


def tracing(body: object) -> Tracing:
    """The `tracing` object; ConfigError names the field that is wrong."""
    given = known(body, "tracing", ("endpoint", "resource"))
    endpoint, resource = given.get("endpoint"), given.get("resource", {})
    found = COLLECTOR.fullmatch(endpoint) if isinstance(endpoint, str) else None
    if found is None or int(found["port"]) > 65_535:
        raise ConfigError(f"tracing.endpoint is {shown(endpoint)}, want http://HOST:PORT")
    if not isinstance(resource, dict) or not all(isinstance(value, str) for value in resource.values()):
        raise ConfigError(f"tracing.resource is {shown(resource)}, want an object of strings")
    return Tracing(found["host"], int(found["port"]), resource)


def warmup(body: object) -> Warmup:
    """The `warmup` object; ConfigError names the field that is wrong."""
    given = known(body, "warmup", names(Warmup))
    return Warmup(whole(given.get("requests", 3), "warmup.requests", 0), given.get("input"))


def names(shape: type) -> tuple[str, ...]:
    """The fields of a settings class."""
    return tuple(each.name for each in fields(shape))


def known(body: object, where: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """The object itself, once it is one and all its keys are known."""
    if not isinstance(body, dict):
        raise ConfigError(f"{where} is {shown(body)}, want an object")
    unknown = sorted(set(body) - set(keys))
    if unknown:
        raise ConfigError(f"{where} has unknown keys {', '.join(unknown)}; known: {', '.join(keys)}")
    return body


def text(value: object, where: str) -> str | None:
    """A text, or None where there is none; ConfigError where it is something else."""
    if value is None or isinstance(value, str):
        return value
    raise ConfigError(f"{where} is {shown(value)}, want a string")


def whole(value: object, where: str, least: int) -> int:
    """A whole number, at least so large; ConfigError where it is none."""
    if type(value) is int and value >= least:
        return value
    raise ConfigError(f"{where} is {shown(value)}, want an integer of at least {least}")


def optional_whole(value: object, where: str) -> int | None:
    """A whole number of at least one, or None where there is none."""
    return None if value is None else whole(value, where, 1)


def environment() -> Environment:
    """The variables of docs/concepts/wire.md."""
    asked = os.environ.get("WYE_LOG_SAMPLE") or "0"
    try:
        sample = float(asked)
    except ValueError:
        sample = -1.0
    if not 0 <= sample <= 1:
        raise ConfigError(f"WYE_LOG_SAMPLE is {shown(asked)}, want a number from 0 to 1")
    lane = os.environ.get("WYE_FAST_LANE") or "1"
    if lane not in ("0", "1"):
        raise ConfigError(f"WYE_FAST_LANE is {shown(lane)}, want 1 or 0")
    cache = os.environ.get("WYE_CACHE")
    return Environment(sample, termination_log(), lane == "1", Path(cache) if cache else None)


def termination_log() -> Path | None:
    """The file for the last words, also of a process whose other settings are wrong."""
    named = os.environ.get("WYE_TERMINATION_LOG")
    path = Path(named or TERMINATION_LOG)
    return path if named or path.exists() else None


def variables() -> dict[str, str]:
    """All of the environment: the credentials of a fetch, each store's by their own names."""
    return dict(os.environ)


def credentials(given: Mapping[str, str]) -> dict[str, str]:
    """The headers for https:// (docs/concepts/wire.md): one of a token, a user with password, a whole header."""
    token, user, header = (given.get(f"WYE_FETCH_{name}") for name in ("TOKEN", "USERNAME", "HEADER"))
    if sum(map(bool, (token, user, header))) > 1:
        raise ConfigError("want one of WYE_FETCH_TOKEN, WYE_FETCH_USERNAME and WYE_FETCH_HEADER, not several")
    if user:
        pair = f"{user}:{given.get('WYE_FETCH_PASSWORD', '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    name, colon, value = (header or (f"Authorization: Bearer {token.strip()}" if token else "")).partition(":")
    if header and not (colon and name.strip()):
        raise ConfigError('WYE_FETCH_HEADER has no colon, want "Name: value"')
    return {name.strip(): value.strip()} if name else {}


def cpu_count(root: Path = Path("/sys/fs/cgroup")) -> int:
    """The CPUs this process may use: the cgroup's quota rounded up, else the scheduler's mask."""
    allowed = len(os.sched_getaffinity(0))
    quota = cgroup_quota(root)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def processor() -> str:
    """What this machine computes with, in its own words."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def cgroup_quota(root: Path) -> float | None:
    """The CPU quota in cores; cgroup v2 first, then v1; None where there is none."""
    try:
        limit, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return cgroup_v1_quota(root)
    return None if limit == "max" else int(limit) / int(period)


def cgroup_v1_quota(root: Path) -> float | None:
    """CPUs, as the older cgroups say it; None where they set no limit."""
    try:
        limit = int((root / "cpu/cpu.cfs_quota_us").read_text())
        period = int((root / "cpu/cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return limit / period if limit > 0 and period > 0 else None
