"""The World of one Endpoint from the store, and from the few things that are asked for: keys, signatures, routers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from wye_operator.api.deployment import DeploymentSpec
from wye_operator.api.endpoint import EndpointSpec
from wye_operator.api.endpoint import Keys as NamedKeys
from wye_operator.api.status import DeploymentStatus, EndpointStatus, Reason
from wye_operator.api.validation import understood
from wye_operator.cluster.base import Cluster, Memory, annotations_of, is_going, is_part, owner_of, uid_of
from wye_operator.cluster.errors import NotFound
from wye_operator.cluster.kinds import (
    CONFIGMAPS,
    DEPLOYMENTS,
    ENDPOINTS,
    SECRETS,
    WORKLOADS,
    Kind,
    Object,
)
from wye_operator.cluster.pods import refusal_of
from wye_operator.cluster.reach import entries_of, has_gateway_api, router_secrets, tls_of, url_of
from wye_operator.cluster.running import routers_of, workloads_of
from wye_operator.cluster.store import Key, key_of
from wye_operator.cluster.templates import has_its_pods
from wye_operator.errors import WyeError
from wye_operator.plan.issuers import sources_of
from wye_operator.plan.keys import keys_in
from wye_operator.plan.names import (
    MODEL,
    RENEWED,
    keys_secret,
    model_name,
    router_name,
)
from wye_operator.plan.record import Record, from_json
from wye_operator.plan.shares import hundredths
from wye_operator.plan.world import (
    CLUSTER_SOURCES,
    DeploymentSeen,
    EndpointSeen,
    Keys,
    Obstacle,
    TlsSeen,
    World,
)
from wye_operator.render.auth import written_key_sets, written_keys, written_open
from wye_operator.render.kubernetes.routers import RECORD
from wye_operator.render.last_good import files_in, refused_in
from wye_operator.render.resources import canonical

# what a spec needs, where it is of a version that is not understood; nothing is made of it
STAND_INS: dict[Kind, Object] = {ENDPOINTS: {}, DEPLOYMENTS: {"model": {"uri": "pvc://not/understood"}}}
M = TypeVar("M", bound=BaseModel)


class NotYet(WyeError):
    """The evidence for a decision is not there yet."""


async def gather(cluster: Cluster, key: Key, memory: Memory) -> World:
    """Everything there is to know about the Endpoint of that name."""
    found = await _confirmed(cluster, ENDPOINTS, key, key.name)
    deployments = await _deployments(cluster, key)
    memory.uids = {(b["kind"], b["metadata"]["name"]): uid_of(b) for b in (*([found] if found else []), *deployments)}
    endpoint = _endpoint_seen(cluster, found, memory) if found else None
    keys, problem = None, ""
    if found and endpoint and endpoint.spec.auth_mode == "Key":
        endpoint, keys, problem = await _keys(cluster, key, endpoint, memory)
    files = await router_secrets(cluster, key) if endpoint else {}
    written = (cluster.store.get(CONFIGMAPS, key.namespace, router_name(key.name)) or {}).get("data") or {}
    routes = {name: content.encode() for name, content in written.items()}
    record = _record(cluster, key, endpoint)
    workloads, routers = await asyncio.gather(
        workloads_of(cluster, key, memory, deployments),
        routers_of(cluster, key, memory, (record, files_in({**routes, **files}))),
    )
    memory.routers = routers
    return World(
        name=key.name,
        namespace=key.namespace,
        endpoint=endpoint,
        deployments=tuple([await _deployment_seen(cluster, key, body, memory) for body in deployments]),
        workloads=workloads,
        routers=routers,
        record=record,
        keys=keys,
        keys_problem=problem,
        fresh_keys=Keys(cluster.fresh_key(), cluster.fresh_key()),
        now=cluster.now(),
        written_keys=written_keys(files),
        written_open=written_open(files),
        refused=refused_in(routes) | refused_in(files),
        key_sets=cluster.key_sets.of(key, sources_of(endpoint.spec) if endpoint else (), written_key_sets(files)),
        deadlines=cluster.deadlines,
        sources=CLUSTER_SOURCES,
        tls=await tls_of(cluster, key, endpoint.spec, files) if endpoint else TlsSeen(),
        has_gateway_api=has_gateway_api(cluster),
    )


async def _confirmed(cluster: Cluster, kind: Kind, key: Key, name: str) -> Object | None:
    """The object; None only when a LIST of its kind succeeded since start and a GET says that it is not there.

    What another Endpoint's pass looks at is not kept: its event would be no news then, and wake nobody.
    """
    found = cluster.store.get(kind, key.namespace, name)
    if found is None:
        if kind not in cluster.store.listed:
            raise NotYet(f"{kind.plural} could not be listed yet")
        try:
            found = await cluster.api.get(kind, key.namespace, name)
        except NotFound as error:
            if f'"{name}"' not in str(error):  # the kind is missing, not the object
                raise NotYet(f"the cluster knows no {kind.plural} now: {error}") from error
            return None
        if key_of(kind, found) == key:
            cluster.store.put(kind, found)
    return None if is_going(found) else found


async def _deployments(cluster: Cluster, key: Key) -> list[Object]:
    """The Deployments that name the Endpoint, those included that the store lost while something runs for them."""
    found = {body["metadata"]["name"]: body for body in cluster.store.of(DEPLOYMENTS, key) if not is_going(body)}
    running = {owner_of(w) for w in cluster.store.of(WORKLOADS, key) if is_part(w, MODEL)}
    for name in sorted(running - set(found) - {""}):
        missing = await _confirmed(cluster, DEPLOYMENTS, key, name)
        if missing is not None and key_of(DEPLOYMENTS, missing) == key:
            found[name] = missing
    return [found[name] for name in sorted(found)]


def _parsed(model: type[M], kind: Kind, body: Object) -> tuple[M, str]:
    """The spec, and what of it only Wye can refuse: that is left out, and what runs stays as it is."""
    metadata = body["metadata"]
    try:
        return understood(model, body.get("spec") or {}, STAND_INS[kind])
    except ValidationError as error:  # the API server checked it, by the rules of another version
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        name = f"{kind.name} {metadata['namespace']}/{metadata['name']}"
        raise WyeError(
            f"{name} is not understood, and nothing of it is touched: spec.{field}: {first['msg']}"
        ) from error


def _status(model: type[M], body: Object) -> M | None:
    try:
        return model.model_validate(body["status"]) if body.get("status") else None
    except ValidationError:  # another version wrote it
        return None


def _endpoint_seen(cluster: Cluster, body: Object, memory: Memory) -> EndpointSeen:
    metadata = body["metadata"]
    spec, misfit = _parsed(EndpointSpec, ENDPOINTS, body)
    return EndpointSeen(
        name=metadata["name"],
        namespace=metadata["namespace"],
        generation=metadata["generation"],
        spec=spec,
        status=_status(EndpointStatus, body),
        url=url_of(cluster, metadata["namespace"], metadata["name"], spec),
        obstacles=_obstacles(cluster, body, router_name(metadata["name"]), memory),
        misfit=misfit,
    )


def _obstacles(cluster: Cluster, body: Object, workload: str, memory: Memory) -> tuple[Obstacle, ...]:
    """What kept the last pass from writing, and the cluster from making the pods of what was written."""
    metadata = body["metadata"]
    told = list(memory.obstacles.get((body["kind"], metadata["name"]), ()))
    live = cluster.store.get(WORKLOADS, metadata["namespace"], workload)
    refusal = refusal_of(live)
    if refusal:
        sentence = f"the cluster refuses the pods of Deployment {workload}: {refusal}"
        told.append(Obstacle(Reason.INVALID_DEPLOYMENT_SPEC, sentence))
    if live is not None and body["kind"] == ENDPOINTS.name and not has_its_pods(live):
        updated, wanted = (live.get("status") or {}).get("updatedReplicas", 0), live["spec"]["replicas"]
        told.append(Obstacle(Reason.ROUTER_STARTING, f"{updated} of {wanted} routers run as asked"))
    return tuple(told)


async def _deployment_seen(cluster: Cluster, key: Key, body: Object, memory: Memory) -> DeploymentSeen:
    metadata = body["metadata"]
    spec, misfit = _parsed(DeploymentSpec, DEPLOYMENTS, body)
    content, problem = await _content(cluster, key, spec)
    return DeploymentSeen(
        object_name=metadata["name"],
        namespace=metadata["namespace"],
        generation=metadata["generation"],
        created=datetime.fromisoformat(metadata["creationTimestamp"]).timestamp(),
        spec=spec,
        status=_status(DeploymentStatus, body),
        content=content,
        content_problem=problem,
        obstacles=_obstacles(cluster, body, model_name(metadata["name"]), memory),
        misfit=misfit,
    )


async def _content(cluster: Cluster, key: Key, spec: DeploymentSpec) -> tuple[str, str]:
    """(digest of what ConfigMaps hold of it, why one leads nowhere); others are checked where they are fetched."""
    found = [await _content_at(cluster, key, uri) for uri in spec.places.values()]
    return "".join(digest for digest, _ in found), next((problem for _, problem in found if problem), "")


async def _content_at(cluster: Cluster, key: Key, uri: str) -> tuple[str, str]:
    scheme, _, rest = uri.partition("://")
    if scheme != "configmap":
        return "", ""
    name, _, entry = rest.partition("/")
    found = await cluster.reads.get(CONFIGMAPS, name, key)
    if found is None:
        return "", f"there is no ConfigMap {name} in namespace {key.namespace}"
    texts, binaries = found.get("data") or {}, found.get("binaryData") or {}
    if not entry:
        return hashlib.sha256(canonical([texts, binaries])).hexdigest(), ""
    if entry not in texts and entry not in binaries:
        return "", f"ConfigMap {name} has no key {entry}"
    content = texts[entry].encode() if entry in texts else base64.b64decode(binaries[entry])
    return hashlib.sha256(content).hexdigest(), ""


async def _keys(
    cluster: Cluster, key: Key, endpoint: EndpointSeen, memory: Memory
) -> tuple[EndpointSeen, Keys | None, str]:
    """(the Endpoint, its keys, why there are none). A Secret of the default name that is not ours is the user's."""
    named = endpoint.spec.keys.secret_name if endpoint.spec.keys else None
    name, uid = named or keys_secret(key.name), memory.uids[ENDPOINTS.name, key.name]
    files = cluster.store.get(CONFIGMAPS, key.namespace, router_name(key.name))
    told = str(annotations_of(files).get(RENEWED, "")) if files else ""
    secret = await cluster.reads.get(SECRETS, name, key, fresh=told != memory.keys_asked)
    memory.keys_asked = told
    if not named and _is_of_earlier_life(secret, key, uid):
        secret = await cluster.reads.get(SECRETS, name, key, fresh=True)
        if _is_of_earlier_life(secret, key, uid):
            raise NotYet(f"Secret {name} of an earlier Endpoint {key.name} is still being removed by the cluster")
    if secret is None:
        return endpoint, None, f"there is no Secret {name} in namespace {key.namespace}" if named else ""
    keys, problem = keys_in(name, entries_of(secret))
    if not named and (problem or not _owners(secret, key)):
        spec = endpoint.spec.model_copy(update={"keys": NamedKeys.model_validate({"secretName": name})})
        endpoint = replace(endpoint, spec=spec)
    return endpoint, keys, problem


def _owners(secret: Object, key: Key) -> list[str]:
    """The uids of the Endpoints of that name that own it."""
    references = secret["metadata"].get("ownerReferences") or ()
    return [r["uid"] for r in references if (r["kind"], r["name"]) == (ENDPOINTS.name, key.name)]


def _is_of_earlier_life(secret: Object | None, key: Key, uid: str) -> bool:
    owners = _owners(secret, key) if secret else []
    return bool(owners) and uid not in owners


def _record(cluster: Cluster, key: Key, endpoint: EndpointSeen | None) -> Record:
    """What was in effect when it was last written; where somebody removed that, the shares that status tells."""
    found = cluster.store.get(CONFIGMAPS, key.namespace, router_name(key.name))
    if CONFIGMAPS not in cluster.store.listed:
        raise NotYet("configmaps could not be listed yet")
    try:
        return from_json(json.loads((found or {})["data"][RECORD]))
    except (KeyError, TypeError, ValueError):
        told = endpoint.status.traffic if endpoint and endpoint.status else None
        return Record(traffic=hundredths(told) if told else None)
