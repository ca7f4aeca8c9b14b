"""Make the cluster as the Plan wants it: write what differs and is ours, and remove what is ours and not wanted.

    wanted ──> same hash, and contained in the live one? ──yes──> nothing to do
                     │no
               ours? ──no──> NameTaken, or OwnerGoing while the garbage collector is at it
                     │yes, or not there
               server-side apply

Nothing is removed because something is missing: only what belongs to an owner that is there now, and that the Plan
leaves out.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from wye_operator.api.status import Reason
from wye_operator.cluster.base import Cluster, Memory, Owner, annotations_of, is_going, owner_of, place_of, uid_of
from wye_operator.cluster.errors import ApiError, Conflict, is_about_the_object
from wye_operator.cluster.kinds import (
    ACCOUNTS,
    BUDGETS,
    CONFIGMAPS,
    ENDPOINTS,
    HTTP_ROUTES,
    INGRESSES,
    NETWORK_POLICIES,
    SECRETS,
    SERVICES,
    WORKLOADS,
    Kind,
    Object,
    kind_of,
)
from wye_operator.cluster.routers import nonce_for, refresh_routers
from wye_operator.cluster.store import Key
from wye_operator.cluster.templates import contains
from wye_operator.cluster.upgrades import Step
from wye_operator.errors import WyeError
from wye_operator.plan.names import APPLIED, MANAGED_BY, MANAGER, router_name
from wye_operator.plan.wanted import Plan
from wye_operator.plan.world import Obstacle
from wye_operator.render.kubernetes import ClusterPlace, keys_object, objects_for
from wye_operator.render.kubernetes.metadata import annotated

log = logging.getLogger(__name__)
REMOVABLE = (WORKLOADS, SERVICES, CONFIGMAPS, ACCOUNTS, NETWORK_POLICIES, BUDGETS, INGRESSES, HTTP_ROUTES)
NO_VERSION = "1"  # of any object: the first ones that an API server writes are its own
# times that one child may be missing and made anew, or be written by another operator, and the seconds for it
MOST_MADE, MOST_FOUGHT, WITHIN = 4, 3, 60.0


class Fought(WyeError):
    """Another operator writes what this one writes."""


async def apply(cluster: Cluster, key: Key, wanted: Plan, memory: Memory) -> None:
    """Write, remove, and ask the routers to read."""
    memory.changed = False
    if wanted.status_only:
        return
    place = await _place(cluster, key, wanted, memory)
    refusal = await _make_keys(cluster, key, keys_object(wanted, place), memory)
    if refusal is not None:  # what would be rendered from keys that nobody has
        memory.obstacles = {(ENDPOINTS.name, key.name): (refusal,)}
        return
    obstacles: dict[Owner, list[Obstacle]] = {}
    objects = list(objects_for(wanted, place))
    for step in cluster.upgrades.steps(key, objects):
        obstacle = await _write(cluster, key, step, memory)
        if obstacle is not None:
            obstacles.setdefault(_owner(step.manifest), []).append(obstacle)
    memory.obstacles = {owner: tuple(found) for owner, found in obstacles.items()}
    await _remove(cluster, key, wanted.held, objects, memory)
    if wanted.router is not None:
        await refresh_routers(cluster, key, wanted.router, memory)


async def _place(cluster: Cluster, key: Key, wanted: Plan, memory: Memory) -> ClusterPlace:
    """Where the objects are, with what stands in the routers' files now."""
    secret = await cluster.reads.get(SECRETS, router_name(key.name), key) if wanted.router else None
    files = cluster.store.get(CONFIGMAPS, key.namespace, router_name(key.name))
    return replace(
        place_of(cluster, key, memory),
        auth_in_force=(secret or {}).get("data") or {},
        routes_in_force=(files or {}).get("data") or {},
        routers=memory.routers,
        now=cluster.now(),
        nonce=nonce_for(files, memory.routers, wanted.record, cluster.now()),
    )


async def _make_keys(cluster: Cluster, key: Key, keys: Object | None, memory: Memory) -> Obstacle | None:
    """Make the keys where there are none: once, and before what is rendered from them."""
    if keys is None or await cluster.reads.get(SECRETS, keys["metadata"]["name"], key) is not None:
        return None
    try:
        made = await cluster.api.create(keys)
    except ApiError as error:
        return _refusal(keys, error)
    cluster.reads.put(SECRETS, made, key)
    cluster.metrics.count("wye_writes_total", verb="create", resource=SECRETS.plural)
    log.info("made keys", extra={"key": str(key)})
    if await cluster.reads.get(SECRETS, router_name(key.name), key) is not None:
        memory.renewed = made["metadata"]["creationTimestamp"]
    return None


async def _write(cluster: Cluster, key: Key, step: Step, memory: Memory) -> Obstacle | None:
    """Write one object where that is needed; returns what stands in the way."""
    manifest, kind = step.manifest, kind_of(step.manifest)
    live = await _known(cluster, key, kind, manifest)
    removed = _removed_again(cluster, manifest, memory) if live is None else None
    if removed is not None:
        return removed
    try:
        written = await _made(cluster, step, memory) if live is None else None
        if written is None:
            live = live or await cluster.api.get(kind, key.namespace, manifest["metadata"]["name"])
            obstacle = obstacle_of(live, manifest)
            if obstacle is not None or is_current(live, step):
                return obstacle
            _count_fought(cluster, live, manifest, memory)
            written = await cluster.api.apply(_noted(step))
    except ApiError as error:
        return _refusal(manifest, error)
    memory.changed, memory.wrote[_named(manifest)] = True, annotations_of(manifest)[APPLIED]
    if live is not None and (kind, manifest["metadata"]["name"]) == (WORKLOADS, router_name(key.name)):
        memory.rolls = written["metadata"].get("generation") != live["metadata"].get("generation")
    cluster.metrics.count("wye_writes_total", verb="apply", resource=kind.plural)
    log.info("applied", extra={"key": str(key), "object": _named(manifest), "new": live is None})
    if kind == SECRETS:
        cluster.reads.put(SECRETS, written, key)
    else:
        memory.overtaken |= cluster.store.answered(kind, written, "spec")
    return None


def _refusal(manifest: Object, error: ApiError) -> Obstacle:
    """What a write of the object was answered; raised where another object would be answered the same."""
    if not is_about_the_object(error):
        raise error
    log.warning("the cluster refuses an object", extra={"object": _named(manifest), "why": str(error)})
    return Obstacle(Reason.INVALID_DEPLOYMENT_SPEC, f"the cluster refuses {_named(manifest)}: {error}")


def _noted(step: Step) -> Object:
    return annotated(step.manifest, step.notes) if step.notes else step.manifest


async def _made(cluster: Cluster, step: Step, memory: Memory) -> Object | None:
    """The object, made where nothing of its name is; None: something is, and it may be somebody else's.

    No object has the version that it is applied over, so the API server refuses to change one with it (of a Service
    since 1.23: kubernetes#106745).
    """
    manifest = _noted(step)
    try:
        made = await cluster.api.apply(
            {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": NO_VERSION}}
        )
    except Conflict:
        return None
    _counted(memory.made, _named(manifest), cluster.clock())
    return made


async def _known(cluster: Cluster, key: Key, kind: Kind, manifest: Object) -> Object | None:
    """The object as it is, as far as it is known to be there."""
    name = manifest["metadata"]["name"]
    if kind == SECRETS:
        read = await cluster.reads.get(SECRETS, name, key)
        stale = read is not None and obstacle_of(read, manifest) is not None
        return await cluster.reads.get(SECRETS, name, key, fresh=True) if stale else read
    return cluster.store.get(kind, key.namespace, name)


def _removed_again(cluster: Cluster, manifest: Object, memory: Memory) -> Obstacle | None:
    """Somebody may remove what we make: then a fight would be all that the two of us do."""
    name = _named(manifest)
    times = [at for at in memory.made.get(name, []) if cluster.clock() - at < WITHIN]
    if len(times) < MOST_MADE:
        return None
    told = f"{name} was made {len(times)} times within a minute and is gone again: somebody removes it"
    return Obstacle(Reason.INVALID_DEPLOYMENT_SPEC, told)


def _count_fought(cluster: Cluster, live: Object, manifest: Object, memory: Memory) -> None:
    """Another operator wants it otherwise. Once, that is one that ends; again and again, both would only write."""
    name = _named(manifest)
    if annotations_of(live).get(APPLIED) == memory.wrote.get(name, annotations_of(live).get(APPLIED)):
        return
    if _counted(memory.fought, name, cluster.clock()) >= MOST_FOUGHT:
        own = cluster.place.operator_namespace
        raise Fought(
            f"another Wye operator writes {name} too, beside that in namespace {own}: a namespace has one, either that "
            "for all namespaces or one with --namespace; uninstall the other"
        )


def _counted(of: dict[str, list[float]], name: str, now: float) -> int:
    """How often that happened within a minute, before this time."""
    times = [at for at in of.get(name, []) if now - at < WITHIN]
    of[name] = [*times, now]
    return len(times)


def obstacle_of(live: Object, manifest: Object) -> Obstacle | None:
    """Why an object that is there must be left alone; None: it is ours."""
    owner = manifest["metadata"]["ownerReferences"][0]
    group = owner["apiVersion"].partition("/")[0]
    references = [
        r
        for r in live["metadata"].get("ownerReferences") or ()
        if (r["apiVersion"].partition("/")[0], r["kind"], r["name"]) == (group, owner["kind"], owner["name"])
    ]
    labels = live["metadata"].get("labels") or {}
    if labels.get(MANAGED_BY) != MANAGER or not references:
        return Obstacle(
            Reason.NAME_TAKEN,
            f"{_named(live)} is there and is not Wye's, so it is left alone: remove it, or name the {owner['kind']} "
            "differently",
        )
    if is_going(live) or all(r["uid"] != owner["uid"] for r in references):
        whose = f"an earlier {owner['kind']} {owner['name']}"
        return Obstacle(Reason.OWNER_GOING, f"{_named(live)} of {whose} is still being removed by the cluster")
    return None


def is_current(live: Object, step: Step) -> bool:
    """Whether there is nothing to write: the same was applied, and nobody changed it since.

    What is held is not written anew for a hash alone: it will be written whole when it is not held any more.
    """
    same = annotations_of(live).get(APPLIED) == annotations_of(step.manifest).get(APPLIED)
    if step.held:
        return contains(live, annotated(step.manifest, {APPLIED: annotations_of(live).get(APPLIED, "")}))
    return same and contains(live, step.manifest)


async def _remove(cluster: Cluster, key: Key, held: tuple[str, ...], objects: list[Object], memory: Memory) -> None:
    """Remove what is left over. What belongs to an owner that is gone is the garbage collector's."""
    wanted = {(kind_of(o), o["metadata"]["name"]) for o in objects}
    for kind in REMOVABLE:
        for name in cluster.store.names(kind, key) if kind in cluster.store.listed else ():
            live = cluster.store.get(kind, key.namespace, name) if (kind, name) not in wanted else None
            if live is None or owner_of(live) in held or not _is_leftover(live, memory.uids):
                continue
            await cluster.api.delete(kind, key.namespace, name, uid_of(live))
            cluster.metrics.count("wye_writes_total", verb="delete", resource=kind.plural)
            log.info("removed", extra={"key": str(key), "object": _named(live)})


def _is_leftover(live: Object, owners: dict[tuple[str, str], str]) -> bool:
    """Whether its owner is there, by its uid, and it is not going already."""
    references = live["metadata"].get("ownerReferences") or ()
    owned = any(r["uid"] and owners.get((r["kind"], r["name"])) == r["uid"] for r in references)
    return owned and not is_going(live)


def _owner(manifest: Object) -> Owner:
    owner = manifest["metadata"]["ownerReferences"][0]
    return owner["kind"], owner["name"]


def _named(body: Object) -> str:
    return f"{body['kind']} {body['metadata']['name']}"
