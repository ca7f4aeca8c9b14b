"""Who stands behind the Endpoint's name: each Deployment that has its name to itself, and what stands in its way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wye_operator.api.contract import Contract
from wye_operator.api.status import ModelStatus
from wye_operator.plan.acknowledged import Known
from wye_operator.plan.contracts import ContractsDoNotFit, Promise, disagreement, merged
from wye_operator.plan.shares import hundredths
from wye_operator.plan.tracing import runtime_tracing
from wye_operator.plan.world import DeploymentSeen, Signature, TensorSeen, WorkloadSeen, World


@dataclass(frozen=True, slots=True)
class Member:
    """One Deployment with its name to itself; `misfit` says why it cannot be made as its spec asks."""

    seen: DeploymentSeen
    workload: WorkloadSeen
    contract: Contract | None
    misfit: str = ""
    tracing: Mapping[str, Any] | None = None  # as the runtime is told

    @property
    def ready(self) -> bool:
        """Whether at least one instance answers."""
        return bool(self.workload.ready)

    @property
    def own(self) -> bool:
        """Whether it is a script or another server than our runtime: nobody can read what it does."""
        return self.seen.spec.environment is not None or self.seen.spec.code_configuration is not None

    @property
    def unread(self) -> str:
        """Why no ready instance's signature is known, "" when one is, or when there is none to know."""
        if self.own or any(instance.signature for instance in self.workload.ready):
            return ""
        return next((i.unread for i in self.workload.ready if i.unread), "not asked yet")

    @property
    def promise(self) -> Promise:
        """What it promises its callers, by a ready instance, else by what its status remembers."""
        model = self.seen.spec.model
        if self.own:
            return Promise(model.name or "" if model else "", None, None, own=True)
        remembered = self.seen.status.model if self.seen.status else None
        name = (model and model.name) or self.seen.spec.endpoint_name
        return Promise(name, self.contract, self.signature or _remembered(remembered))

    @property
    def signature(self) -> Signature | None:
        """What a ready instance says of its model."""
        return next((i.signature for i in reversed(self.workload.ready) if i.signature), None)


def _remembered(model: ModelStatus | None) -> Signature | None:
    if model is None:
        return None
    inputs, outputs = (
        tuple(TensorSeen(t.name, t.datatype, tuple(t.shape)) for t in side) for side in (model.inputs, model.outputs)
    )
    return Signature("", "", model.sha256 or "", model.size_bytes or 0, inputs, outputs)


@dataclass(frozen=True, slots=True)
class Members:
    """Everybody behind the Endpoint: `by_name`, and `crowded`: who came too late for a name, with who has it."""

    by_name: Mapping[str, Member]
    crowded: Mapping[str, str]


def members_of(world: World) -> Members:
    """The older of two Deployments keeps a name; the newer is NameTaken."""
    by_name: dict[str, Member] = {}
    crowded: dict[str, str] = {}
    for seen in sorted(world.deployments, key=lambda d: (d.created, d.object_name)):
        if seen.name in by_name:
            crowded[seen.object_name] = by_name[seen.name].seen.object_name
        else:
            by_name[seen.name] = _member(world, seen)
    return Members(dict(sorted(by_name.items())), crowded)


def _member(world: World, seen: DeploymentSeen) -> Member:
    workload = world.workloads.get(seen.object_name, WorkloadSeen())
    endpoint = world.endpoint
    if seen.misfit or (endpoint and endpoint.misfit):
        whose = "" if seen.misfit else f"its Endpoint is not right: {endpoint.misfit if endpoint else ''}"
        return Member(seen, workload, None, seen.misfit or whose)
    try:
        contract = merged(endpoint.spec.contract if endpoint else None, seen.spec.contract)
        return Member(seen, workload, contract, tracing=runtime_tracing(world, seen))
    except ContractsDoNotFit as misfit:
        return Member(seen, workload, None, f"the Endpoint's contract and its own do not fit: {misfit}")


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a name may be given something: `obstacle` says why not, `mismatch` how its promise differs."""

    obstacle: str
    mismatch: str

    @property
    def eligible(self) -> bool:
        """Nothing stands in the way of a share or a mirror."""
        return not self.obstacle and not self.mismatch


def standing_of(name: str, members: Members, known: Known, reference: Promise | None) -> Standing:
    """Why `name` gets no new share or mirror now, if there is a reason."""
    member, others = members.by_name.get(name), list(members.by_name)
    if member is None:
        return Standing(f"there is no Deployment named {name}{_others(others)}", "")
    if member.misfit:
        return Standing(f"{name} stays as it is: {member.misfit}", "")
    if not member.ready:
        return Standing(f"{name} has no ready instance{_failure(member)}", "")
    if member.unread:
        return Standing(f"the signature of {name} could not be read yet ({member.unread})", "")
    mismatch = disagreement(reference, member.promise) if reference else ""
    if mismatch:
        return Standing("", f"{name} does not keep what callers are promised: {mismatch}")
    return Standing(known.obstacle(name), "")


def _others(names: list[str]) -> str:
    return f" (there are {', '.join(names)})" if names else ""


def _failure(member: Member) -> str:
    if member.seen.content_problem:
        return f" ({member.seen.content_problem})"
    failure = member.workload.failure
    return f" ({failure.reason or 'exit code ' + str(failure.exit_code)})" if failure else ""


def reference_for(world: World, members: Members) -> Promise | None:
    """Whose promise counts: the Endpoint's contract, else the deployment with the largest share in effect.

    With nothing in effect, the largest share that is asked for.
    """
    if world.endpoint is None:
        return None
    shares = world.record.traffic or hundredths(world.endpoint.spec.traffic)
    largest = sorted((-share, name) for name, share in shares.items() if name in members.by_name and share)
    promises = [members.by_name[name].promise for _, name in largest]
    leader = next((p for p in promises if p.contract or p.signature), None)  # an own server promises nothing
    contract = world.endpoint.spec.contract
    if contract is not None:
        return Promise(leader.model_name if leader else "", contract, None)
    return leader
