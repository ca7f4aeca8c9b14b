"""An Endpoint of a folder whose twin runs: its address and its keys, for `wye invoke` and `wye keys`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wye_operator.cli.where import Folder, is_name
from wye_operator.errors import WyeError
from wye_operator.local import files
from wye_operator.local.lookup import Secret, secret_for
from wye_operator.local.manifests import read_manifests
from wye_operator.local.state import KeyFiles, holder, label
from wye_operator.local.status import Item
from wye_operator.plan.world import Keys


@dataclass(frozen=True, slots=True)
class Served:
    """One Endpoint of a folder. `key_secret` None: its keys are not in a Secret that the manifests name."""

    directory: Path
    state: Path
    namespace: str
    name: str
    address: str
    auth_mode: str
    key_secret: str | None

    @property
    def keys(self) -> Keys | None:
        """Of the user's Secret where there is one, else of the twin's own file; None: nobody needs any.

        A mistake elsewhere in the folder does not matter: what is in force goes on.
        """
        if self.auth_mode != "Key":
            return None
        secret = self._secret
        if secret is not None:
            keys, problem = secret.keys, secret.problem
        else:
            keys, problem = KeyFiles(self.state / "keys").read(label(self.namespace, self.name))
        if problem:
            raise WyeError(problem)
        return keys

    @property
    def secret(self) -> str | None:
        """The user's Secret in the folder that has its keys, None where the twin keeps them."""
        return self._secret.name if self._secret else None

    @property
    def _secret(self) -> Secret | None:
        return secret_for(read_manifests(self.directory), self.namespace, self.name, self.key_secret)


def served_by(given: Folder, state: Path, name: str | None) -> Served:
    """The Endpoint of that name, or the only one."""
    _insist_on_a_twin(given, state)
    return _served(given.path, state, _item(state, name))


def status_of(served: Served) -> Mapping[str, Any]:
    """What the twin says of it now."""
    _insist_on_a_twin(Folder(served.directory), served.state)
    status: Mapping[str, Any] = _item(served.state, label(served.namespace, served.name))["status"]
    return status


def objects_of(given: Folder, state: Path) -> tuple[list[Item], list[dict[str, str]]]:
    """The objects of a running twin, and its processes with their inner ports."""
    _insist_on_a_twin(given, state)
    path = state / "status.json"
    try:
        written = files.read_json(path) or {}
    except files.MISSHAPEN:
        raise WyeError(f"{path} is not what a twin writes: the twin's next change writes it anew") from None
    return written.get("items", []), written.get("processes", [])


def _item(state: Path, name: str | None) -> Item:
    path = state / "status.json"
    try:
        return _chosen((files.read_json(path) or {"items": []})["items"], name)
    except files.MISSHAPEN:
        raise WyeError(f"{path} is not what a twin writes: the twin's next change writes it anew") from None


def _insist_on_a_twin(given: Folder, state: Path) -> None:
    if holder(state) is None:
        insist_on_a_folder(given.path)
        other = f"; for the Endpoint {given.path} of a cluster, name its namespace: -n NAMESPACE"
        hint = other if is_name(str(given.path)) else ""
        raise WyeError(f"no twin is running for {given.path}: wye local up {given.path} starts one{hint}")


def insist_on_a_folder(path: Path) -> None:
    """Nobody is told to start a twin of what is not there."""
    if not path.is_dir():
        kinds = "the folder of a twin, or an Endpoint's name (lower-case letters, digits and '-')"
        raise WyeError(f"there is no folder {path}; must be {kinds}")


def _chosen(items: list[Item], name: str | None) -> Item:
    endpoints = {label(i["metadata"]["namespace"], i["metadata"]["name"]): i for i in items if i["kind"] == "Endpoint"}
    names = ", ".join(endpoints)
    if name is None and len(endpoints) != 1:
        raise WyeError(
            f"there are several Endpoints, name one with --endpoint: {names}" if names else "no Endpoint here"
        )
    if name is not None and name not in endpoints:
        raise WyeError(f"there is no Endpoint {name} here, there is: {names}")
    return endpoints[name or next(iter(endpoints))]


def _served(directory: Path, state: Path, item: Item) -> Served:
    return Served(
        directory=directory,
        state=state,
        namespace=item["metadata"]["namespace"],
        name=item["metadata"]["name"],
        address=item["status"].get("scoringUri") or "",
        auth_mode=item["spec"].get("authMode") or "Key",
        key_secret=(item["spec"].get("keys") or {}).get("secretName"),
    )
