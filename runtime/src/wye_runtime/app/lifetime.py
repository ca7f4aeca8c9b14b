"""From the first open port to the exit code.

loading ──loaded──> ready ──signal──> draining ──idle, or time is up──> exit 0
   │ CannotServe      │ DeviceLost        │ second signal
   └──> last words, exit 3                └──> exit 1
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import NoReturn, Protocol

import uvicorn
import uvloop
from starlette.types import ASGIApp

from wye_runtime.app.calls_port import CallsPort
from wye_runtime.endpoints import Inner, Ledger, inner_app, serving_app
from wye_runtime.errors import CannotServe, ConfigError, DeviceLost, WyeError
from wye_runtime.fastlane import BoundedProtocol, FastProtocol, Lane
from wye_runtime.logs import leave_words
from wye_runtime.metrics import Metrics
from wye_runtime.protocol import SERVER
from wye_runtime.service import Service
from wye_runtime.settings import Config, Environment
from wye_runtime.tracing import Tracer

log = logging.getLogger("wye")
DRAIN_EXTRA = 5.0  # seconds over the request's time-out
GOODBYE = 2.0  # seconds for answers that say that the device is lost
QUIET = 0.3  # seconds without a request that count as idle
TICK = 0.05
KEEP_ALIVE = int(BoundedProtocol.limits.idle)


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the ports are; 0 lets the system choose, and of gRPC's own None is none."""

    host: str
    port: int
    inner_port: int
    grpc_port: int | None = None


class Served(Protocol):
    """A model or a script, as this module sees it."""

    config: Config
    is_draining: bool
    lost: DeviceLost | None
    alarm: Callable[[], object]  # to be called where it is lost, in any thread

    def load(self) -> None:
        """Blocks; raises a WyeError."""

    def close(self) -> None:
        """Ends what still runs."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What is served, and by which applications."""

    service: Served
    serving: ASGIApp
    inner: ASGIApp
    protocol: Callable[..., asyncio.Protocol] = BoundedProtocol

    def model(self) -> Service:
        """For gRPC, which a script does not speak."""
        if not isinstance(self.service, Service):
            raise ConfigError("--grpc-port cannot stand beside a script, which is called by HTTP alone")
        return self.service


def model_parts(config: Config, environment: Environment, ledger: Ledger) -> Parts:
    """An ONNX model's: the short way goes with it unless it is switched off."""
    service = Service(config, ledger.metrics, environment)
    service.tracer = ledger.tracer
    fast = partial(FastProtocol, Lane(service, ledger)) if environment.fast_lane else BoundedProtocol
    return Parts(service, serving_app(service, ledger), inner_app(Inner(service)), fast)


def script_parts(config: Config, environment: Environment, ledger: Ledger) -> Parts:
    """Only here is what scripts need imported: the way of a model does without."""
    from wye_runtime.scripts import ScriptService, script_app, script_inner_app, script_settings

    assert config.script is not None
    service = ScriptService(config, config.script, script_settings(), ledger.metrics, environment.cache)
    return Parts(service, script_app(service, ledger), script_inner_app(service))


class Listener(uvicorn.Server):
    """A server on one socket that leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def run(config: Config, environment: Environment, listen: Listen) -> NoReturn:
    """Serves until told to stop; ends the process itself, because a run in a thread may never end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(served(config, environment, listen))
        sys.stdout.flush()
        os._exit(code)


async def served(config: Config, environment: Environment, listen: Listen) -> int:
    """The exit code."""
    ledger = Ledger(Metrics(), config.request.timeout)
    ledger.tracer = tracer_of(config, ledger.metrics)
    parts = (
        model_parts(config, environment, ledger) if config.script is None else script_parts(config, environment, ledger)
    )
    service = parts.service
    beside = None if listen.grpc_port is None else CallsPort(parts.model(), ledger)
    try:
        sockets = opened(listen.host, listen.port), opened(listen.host, listen.inner_port)
        extra = {} if beside is None else {"grpcPort": await beside.open(listen.host, listen.grpc_port or 0)}
    except OSError as error:
        log.error("cannot listen", extra={"why": str(error)})
        return 2
    servers = [listener(parts.serving, parts.protocol), listener(parts.inner, BoundedProtocol)]
    async with asyncio.TaskGroup() as tasks:
        for server, each in zip(servers, sockets, strict=True):
            tasks.create_task(server.serve(sockets=[each]))
        ports = [each.getsockname()[1] for each in sockets]
        log.info("listening", extra={"port": ports[0], "innerPort": ports[1], "pid": os.getpid(), **extra})
        code = await lifetime(service, ledger, environment)
        if beside is not None:
            await beside.close()
        service.close()
        if ledger.tracer is not None:
            ledger.tracer.close()
        for server in servers:
            server.should_exit = True
    log.info("ended", extra={"exitCode": code})
    return code


def tracer_of(config: Config, metrics: Metrics) -> Tracer | None:
    """None where traces are off, and then nothing of them is there."""
    told = config.tracing
    if told is None:
        return None
    from wye_runtime.tracing.exporting import Exporter

    resource = {**told.resource, "service.instance.id": socket.gethostname(), "service.version": str(SERVER["version"])}
    exporter = Exporter(told.host, told.port, resource)
    tracer = Tracer(exporter)
    metrics.traces = tracer.counts
    exporter.start()
    return tracer


def opened(host: str, port: int) -> socket.socket:
    """A socket that listens; an OSError where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def listener(app: ASGIApp, protocol: Callable[..., asyncio.Protocol]) -> Listener:
    """uvicorn, with nothing of its own that we do ourselves."""
    config = uvicorn.Config(
        app,
        http=protocol,  # type: ignore[arg-type]  # it calls whatever stands there
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=KEEP_ALIVE,  # of the ordinary way, which keeps its own time
    )
    return Listener(config)


async def lifetime(service: Served, ledger: Ledger, environment: Environment) -> int:
    """Loads, serves, drains; the exit code."""
    stop = stop_event()
    service.alarm = partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set)
    loading: asyncio.Future[object] = asyncio.get_running_loop().run_in_executor(None, service.load)
    stopping: asyncio.Future[object] = asyncio.ensure_future(stop.wait())
    await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not loading.done():
        return 0
    gc.enable()  # the command line switched it off
    try:
        loading.result()
    except WyeError as error:
        return refused(error, environment)
    log.info("ready")
    # what the first request needs not: whoever asks for it would hold up everybody else
    asyncio.get_running_loop().run_in_executor(None, import_module, "wye_runtime.metrics.exposition")
    await stopping
    code = refused(service.lost, environment) if service.lost else 0
    service.is_draining = True
    log.info("draining", extra={"active": ledger.active})
    await drained(ledger, GOODBYE if service.lost else service.config.request.timeout + DRAIN_EXTRA)
    return code


def stop_event() -> asyncio.Event:
    """Set by the first signal; the second one ends the process."""
    stop = asyncio.Event()

    def stopped() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped)
    return stop


async def drained(ledger: Ledger, patience: float) -> None:
    """Until no request is active and none came for a moment, or until patience ends."""
    began = time.perf_counter()  # the ledger's clock
    while time.perf_counter() - began < patience:
        if not ledger.active and time.perf_counter() - max(ledger.latest, began) >= QUIET:
            return
        await asyncio.sleep(TICK)
    log.warning("drain ended with requests left", extra={"active": ledger.active})


def refused(error: WyeError, environment: Environment) -> int:
    """Says why this process cannot serve; the exit code."""
    log.error("cannot serve", extra={"reason": error.code, "why": error.message})
    leave_words(environment.termination_log, error)
    return 2 if isinstance(error, ConfigError) else 3 if isinstance(error, CannotServe) else 1
