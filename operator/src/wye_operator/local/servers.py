"""Other servers than our runtime, on a machine that runs no images: `environment.command`, as a process.

Where the command's program is here, it is started with free ports and the model in its environment; else the
Deployment says what is missing. What only an image has (its files, its user, /dev/shm of a size) is not there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wye_operator.api.environment import Environment
from wye_operator.local.inner import Answer, Inner
from wye_operator.local.ports import LOOPBACK, free_port
from wye_operator.plan.wanted import OwnServer, Workload
from wye_operator.plan.world import Address
from wye_operator.render.process import expanded, placed_as, server_environment


@dataclass(frozen=True, slots=True)
class OwnProcess:
    """What instances of another server are started from; relative paths are relative to the manifests' folder."""

    workload: Workload
    server: OwnServer
    folder: Path
    model: Path | None

    def ports(self) -> dict[int, int]:
        """A free port for each one of the manifest, so that instances can stand beside each other."""
        routes = (self.server.scoring, self.server.readiness, self.server.liveness)
        return {port: free_port() for port in dict.fromkeys(route.port for route in routes)}

    def address(self, ports: Mapping[int, int]) -> Address:
        """Where it takes requests, and where it is asked whether it does."""
        check = ports[self.server.readiness.port] if self.server.check else 0
        return Address(LOOPBACK, ports[self.server.scoring.port], check)

    def started(self, ports: Mapping[int, int], home: Path) -> tuple[tuple[str, ...], dict[str, str]]:
        """Its command line and environment; `home` is where it finds the model under the model's own name."""
        model = _linked(self.model, self.workload.uri, home) if self.model else ""
        values: dict[str, str] = {}
        for name, value in server_environment(self.workload, self.server, model, ports).items():
            values[name] = expanded(value, values)
        program, *words = (expanded(word, values) for word in (*self.server.command, *self.server.args))
        return (str(found(program, self.folder) or program), *words), values

    async def ready(self, inner: Inner, address: Address) -> Answer:
        """Whether it takes requests, as kubelet counts; a server of gRPC alone is asked by the routers."""
        at = Address(address.host, address.check or address.port)
        if self.server.speaks_grpc(self.server.readiness):
            return await inner.connects(at)
        answer = await inner.get(at, self.server.readiness.path)
        return Answer(200, answer.text) if 200 <= answer.status < 400 else answer


def found(program: str, folder: Path) -> Path | None:
    """A program on the PATH, or by a path."""
    path = shutil.which(program if os.sep not in program else folder / program)
    return Path(path) if path else None


def obstacle_of(environment: Environment, folder: Path) -> str:
    """Why another server cannot be run here, "" when it can."""
    here = "spec.environment: this machine runs no images, but the program of environment.command"
    if not environment.command:
        return f"{here}, and there is none: the image's own entry point is not known here"
    program = environment.command[0]
    return "" if found(program, folder) else f"{here}, and {program} is not on the PATH"


def _linked(model: Path, uri: str, home: Path) -> str:
    """The kept copy under the name that it has in a pod.

    Hard links of its files: some servers refuse what leads out of their folder.
    """
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    at = home / placed_as(uri)
    if model.is_dir():
        shutil.copytree(model, at, copy_function=os.link, dirs_exist_ok=True)
    else:
        os.link(model, at)
    return str(at)
