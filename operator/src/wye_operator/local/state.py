"""The state folder beside the manifests (`.wye`): what the twin has to remember, and who holds it.

.wye/lock          held while a twin runs; says which process
.wye/state.json    generation and age of each object, the port of each Endpoint
.wye/status.json   what `wye local status` prints
.wye/keys/         the keys of each Endpoint: edit a file to change them
.wye/routers/      what Envoy reads, and in-effect.json
.wye/models/       the bytes that instances loaded
.wye/cache/        what instances measured of their models at load
.wye/run/          configuration of each process, those of models/ and routers/ apart
.wye/logs/         one file for each process, likewise; `*.requests.log` is the access log
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from wye_operator.errors import WyeError
from wye_operator.local import files
from wye_operator.plan.names import PRIMARY_KEY, SECONDARY_KEY, digest
from wye_operator.plan.world import Keys

FOLDER = ".wye"


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of an object."""

    generation: int
    created: float


def label(namespace: str, name: str) -> str:
    """How an object is called in file and process names: no name has a dot, so no two share one."""
    return name if namespace == "default" else f"{namespace}.{name}"


class State:
    """The folder. `hold` it before anything is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: IO[str] | None = None
        self._data: dict[str, Any] = {"objects": {}, "ports": {}}

    def hold(self) -> None:
        """Take the folder for this process. Raises WyeError when another twin has it."""
        self._make()
        lock = (self.folder / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise WyeError(f"{self.folder} is in use by process {holder(self.folder)}: stop that twin first") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock
        files.write(self.folder / ".gitignore", b"*\n")
        try:
            self._data = _remembered(files.read_json(self.folder / "state.json") or {})
        except files.MISSHAPEN:  # it only remembers ages and ports: begin anew
            self._data = {"objects": {}, "ports": {}}

    def _make(self) -> None:
        """Readable by its owner only; a folder that is there and none of ours keeps its mode."""
        if (self.folder / "lock").exists():
            self.folder.chmod(0o700)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def held(self) -> bool:
        """Whether the folder is still there, and still ours: somebody may have moved or deleted it."""
        try:
            return self._lock is not None and os.path.samestat(
                os.fstat(self._lock.fileno()), (self.folder / "lock").stat()
            )
        except OSError:
            return False

    def release(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None

    def known(self, key: str, spec: Any, now: float) -> Known:
        """Generation and age of an object; another spec is another generation."""
        identity, objects = digest(spec), self._data["objects"]
        before = objects.get(key)
        if before is None:
            objects[key] = {"generation": 1, "created": now, "spec": identity}
        elif before["spec"] != identity:
            objects[key] = {**before, "generation": before["generation"] + 1, "spec": identity}
        if objects[key] is not before:
            self._save()
        return Known(objects[key]["generation"], objects[key]["created"])

    def keep_only(self, keys: Iterable[str]) -> None:
        """Forget objects that left the folder: one of the same name is a new one."""
        gone = set(self._data["objects"]) - set(keys)
        for key in gone:
            del self._data["objects"][key]
        if gone:
            self._save()

    def port(self, endpoint: str) -> int | None:
        """The port that an Endpoint had before."""
        port: int | None = self._data["ports"].get(endpoint)
        return port

    def keeper(self, port: int) -> str | None:
        """The Endpoint that has a port."""
        return next((endpoint for endpoint, kept in self._data["ports"].items() if kept == port), None)

    def keep_ports(self, endpoints: Iterable[str]) -> None:
        """Forget the ports of all other Endpoints."""
        gone = set(self._data["ports"]) - set(endpoints)
        for endpoint in gone:
            del self._data["ports"][endpoint]
        if gone:
            self._save()

    def keep_port(self, endpoint: str, port: int) -> None:
        """Remember an Endpoint's port."""
        if self._data["ports"].get(endpoint) != port:
            self._data["ports"][endpoint] = port
            self._save()

    def _save(self) -> None:
        files.write_json(self.folder / "state.json", self._data)


def _remembered(data: Any) -> dict[str, Any]:
    objects = {key: _object(of) for key, of in data.get("objects", {}).items()}
    ports = {endpoint: int(port) for endpoint, port in data.get("ports", {}).items()}
    if not all(0 < port < 2**16 for port in ports.values()):
        raise ValueError
    return {"objects": objects, "ports": ports}


def _object(of: Any) -> dict[str, Any]:
    created = float(of["created"])
    datetime.fromtimestamp(created, UTC)  # raises when it is no time
    return {"generation": int(of["generation"]), "created": created, "spec": str(of["spec"])}


def holder(folder: Path) -> int | None:
    """The process of the twin that holds the folder, None when none runs."""
    try:
        with (folder / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(lock.read().strip() or 0)
    except FileNotFoundError:
        pass
    return None


class KeyFiles:
    """The default keys of the Endpoints, one file each; whoever edits one changes the keys at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._good: dict[str, Keys] = {}

    def path(self, endpoint: str) -> Path:
        """The file of one Endpoint."""
        return self._folder / f"{endpoint}.json"

    def read(self, endpoint: str) -> tuple[Keys | None, str]:
        """The keys and what is wrong with the file; a file with a mistake leaves the last good keys in force."""
        path = self.path(endpoint)
        try:
            keys = _keys(files.read_json(path))
        except (OSError, ValueError, KeyError, TypeError):
            wanted = f'{{"{PRIMARY_KEY}": "…", "{SECONDARY_KEY}": "…"}}'
            return self._good.get(endpoint), f"{path} is not {wanted}: mend it, or delete it to get fresh keys"
        if keys is None:
            self._good.pop(endpoint, None)
        else:
            self._good[endpoint] = keys
        return keys, ""

    def keep(self, endpoint: str, keys: Keys) -> None:
        """Write keys where there are none; a file that is there is its owner's."""
        path = self.path(endpoint)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.write(endpoint, keys)

    def write(self, endpoint: str, keys: Keys) -> None:
        """Replace the keys, for their owner."""
        files.write_json(self.path(endpoint), {PRIMARY_KEY: keys.primary, SECONDARY_KEY: keys.secondary}, 0o600)


def _keys(data: Any) -> Keys | None:
    if data is None:
        return None
    keys = Keys(data[PRIMARY_KEY], data[SECONDARY_KEY])
    if not all(isinstance(key, str) and key and key.isprintable() for key in (keys.primary, keys.secondary)):
        raise ValueError
    return keys
