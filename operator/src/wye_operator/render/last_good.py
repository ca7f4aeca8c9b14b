"""What stands in a router's files while every router refuses what should: the content that all of them took last.

    wanted ──> written, and the last good content beside it ──> every ready router has it: it is the last good one
                 └──> every ready router refuses it: the last good one is written back, and stays until other content
                      is wanted, or for ten minutes: then the same is offered once more

So a router that starts anew begins with what the others go on with, and neither needs the operator for that. Addresses
are not among these files: those of before are wrong by themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from wye_operator.plan.names import digest
from wye_operator.plan.record import Published, Record
from wye_operator.plan.world import OFFERED_AGAIN, FileSeen, Refused, RouterSeen
from wye_operator.render import auth, tls
from wye_operator.render.resources import canonical

FILES = {"clusters": "cds.json", "routes": "rds.json", "auth": auth.FILE, "certificate": tls.FILE}
BESIDE = "last-good-"
REFUSED = "refused.json"
VERSION = b'"version_info":"'  # the last member of each file
Files = Mapping[str, bytes]


def files_in(files: Files) -> dict[str, FileSeen]:
    """What stands in each kind of file; its version is what routers say back."""
    return {kind: _seen(files[name]) for kind, name in FILES.items() if name in files}


def _seen(content: bytes) -> FileSeen:
    return FileSeen(_version(content), digest(content.decode()))


def _version(content: bytes) -> str:
    return content.rpartition(VERSION)[2].partition(b'"')[0].decode()


def refused_in(files: Files) -> dict[str, Refused]:
    """What every router refused of this folder's files; nothing where it is not what Wye writes."""
    try:
        return {str(kind): Refused(**of) for kind, of in json.loads(files[REFUSED]).items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def with_last_good(
    wanted: Files, had: Files, routers: Sequence[RouterSeen], good: Mapping[str, str], now: float
) -> dict[str, bytes]:
    """The files of one folder to write in the place of those it has.

    `good`: the versions that all routers had last; `now` in Unix seconds.
    """
    files, refused, before = dict(wanted), {}, refused_in(had)
    for kind, name in FILES.items():
        last = _last_good(name, had, good.get(kind, ""))
        if name not in wanted or last is None or _version(wanted[name]) == good[kind]:
            continue
        file, known = _seen(wanted[name]), before.get(kind)
        why = _why(kind, routers, good[kind]) if had.get(name) == wanted[name] else ""
        if known is not None and known.content == file.content and now - known.since < OFFERED_AGAIN:
            refused[kind] = asdict(known)
        elif why:
            refused[kind] = asdict(Refused(file.version, file.content, why, now))
        files[name if kind in refused else BESIDE + name] = last
    return {**files, REFUSED: canonical(refused)} if refused else files


def _last_good(name: str, had: Files, version: str) -> bytes | None:
    found = (had[n] for n in (name, BESIDE + name) if n in had and _version(had[n]) == version)
    return next(found, None) if version else None


def _why(kind: str, routers: Sequence[RouterSeen], good: str) -> str:
    """The reason of all ready routers, "" where one has none. One that has nothing yet may have started with it."""
    ready = [router for router in routers if router.ready]
    everyone = all(kind in r.refused and r.taken.versions[kind] in (good, "") for r in ready)
    return next((router.rejected for router in ready if router.rejected), "") if everyone else ""


def standing(record: Record, had: Record, *folders: Files) -> Record:
    """The record of files of which some are not what is wanted: it ends with what is written."""
    written = {kind: file.version for files in folders for kind, file in files_in(files).items()}
    stands = {kind for files in folders for kind in refused_in(files)}
    if "clusters" in stands:
        record = replace(record, clusters=_until(written["clusters"], had.clusters))
    if "routes" in stands:
        record = replace(record, routes=_until(written["routes"], had.routes))
    return record


def _until(version: str, history: tuple[Published, ...]) -> tuple[Published, ...]:
    """Where nobody remembers that version, it may name whatever a later one does."""
    ends = next((place for place, of in enumerate(history, 1) if of.version == version), 0)
    if ends:
        return history[:ends]
    clusters = {cluster for published in history for cluster in published.clusters}
    return (Published(version, tuple(sorted(clusters)), history[-1].since if history else 0.0),)
