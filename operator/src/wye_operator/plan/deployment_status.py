"""What the Deployments' status should say."""

from __future__ import annotations

from collections.abc import Iterator

from wye_operator.api.status import DeploymentStatus, LastFailure, ModelStatus, Reason, Tensor
from wye_operator.plan.conditions import Before, Now, Problem, clock, sorted_problems, verdict
from wye_operator.plan.facts import Facts
from wye_operator.plan.members import Member
from wye_operator.plan.workloads import unsupported, workload_of
from wye_operator.plan.world import DeploymentSeen, Failure, InstanceSeen, Signature

MOST_TENSORS = 64
NOTHING_READ = Signature("", "", "", 0, (), ())
CRASHES = 3  # ends without a word of its own before it is called a crash loop
OWN_WORDS = (  # of the model server, as it ends
    Reason.MODEL_FETCH,
    Reason.MODEL_DIGEST_MISMATCH,
    Reason.MODEL_INVALID,
    Reason.INVALID_DEPLOYMENT_SPEC,
    Reason.SCRIPT_IMPORT,
    Reason.SCRIPT_FUNCTION,
    Reason.SCRIPT_INIT,
)
CLUSTERS_WORDS = (Reason.IMAGE_PULL_LOOP, Reason.OUT_OF_MEMORY, Reason.IMAGE_PULL, Reason.POD_UNSCHEDULABLE)
WORDS = (*OWN_WORDS, *CLUSTERS_WORDS)


def deployment_status(
    facts: Facts, seen: DeploymentSeen, member: Member | None
) -> tuple[DeploymentStatus, float | None]:
    """(one Deployment's status, seconds until its deadline strikes); `member` None: another one has its name."""
    old, world = seen.status, facts.world
    ready = member.workload.ready if member else ()
    before = Before(
        old.conditions if old else (),
        old.waiting if old else None,
        old.ready_replicas if old else 0,
        old.provisioning_state if old else "",
    )
    now = Now(world.now, seen.generation, len(ready), world.deadlines.progress)
    problems = sorted_problems(_deployment_problems(facts, seen, member))
    result = verdict(before, now, problems, clock(before, now, problems))
    weight = facts.weights.get(seen.name, 0) if member else 0
    mirror = facts.mirrors.get(seen.name, 0) if member else 0
    return DeploymentStatus(
        observed_generation=seen.generation,
        conditions=list(result.conditions),
        provisioning_state=_scaling(member, result.provisioning),
        replicas=len(member.workload.instances) if member else 0,
        ready_replicas=len(ready),
        traffic=weight / 100,
        mirror=mirror / 100,
        traffic_text=f"mirror {mirror / 100:g}" if mirror else f"{weight / 100:g}",
        model=_model(seen, member),
        last_failure=_last_failure(member) or (old.last_failure if old else None),
        waiting=result.waiting,
    ), result.deadline_in


def _scaling(member: Member | None, provisioning: str) -> str:
    """Azure says Scaling where nothing but the number of instances changes."""
    if provisioning != "Updating" or member is None or not member.workload.ready:
        return provisioning
    return "Scaling" if all(_is_asked(member, i) for i in member.workload.instances) else provisioning


def _is_asked(member: Member, instance: InstanceSeen) -> bool:
    wanted = workload_of(member)
    return member.workload.is_asked(instance, wanted.origin, wanted.revision)


def _deployment_problems(facts: Facts, seen: DeploymentSeen, member: Member | None) -> Iterator[Problem]:
    if member is None:
        holder = facts.members.crowded[seen.object_name]
        yield Problem(
            Reason.NAME_TAKEN,
            f"the name {seen.name} at Endpoint {seen.spec.endpoint_name} belongs to the older Deployment {holder}: "
            "set another spec.name",
        )
        return
    if facts.world.endpoint is None:
        yield Problem(
            Reason.ENDPOINT_NOT_FOUND,
            f"there is no Endpoint {seen.spec.endpoint_name} in namespace {seen.namespace}: create it, "
            "or mend spec.endpointName",
        )
        return
    for obstacle in seen.obstacles:
        yield Problem(obstacle.reason, obstacle.message)
    source = unsupported(facts.world, seen)
    if source:
        yield Problem(Reason.MODEL_SOURCE_UNSUPPORTED, source)
    if member.misfit:
        yield Problem(Reason.INVALID_DEPLOYMENT_SPEC, member.misfit)
    if seen.content_problem:
        yield Problem(seen.content_reason, seen.content_problem)
    mismatch = facts.routing.mismatched.get(seen.name)
    if mismatch:
        yield Problem(Reason.SIGNATURE_MISMATCH, mismatch)
    yield from _instance_problems(facts, member)


def _instance_problems(facts: Facts, member: Member) -> Iterator[Problem]:
    wanted = member.seen.spec.instance_count
    held = bool(member.misfit or member.seen.content_problem or unsupported(facts.world, member.seen))
    current = [i for i in member.workload.ready if held or _is_asked(member, i)]
    failure = member.workload.failure
    digests = {i.signature.sha256 for i in member.workload.ready if i.signature}
    if len(current) < wanted:
        if failure:
            yield _failed(failure, serving=len(member.workload.ready))
        if not (failure and failure.reason in WORDS) and not _is_known(facts, member):
            yield Problem(
                Reason.INSTANCES_STARTING,
                f"{len(current)} of {wanted} instances of this revision are ready",
            )
    elif len(member.workload.instances) > wanted:
        yield Problem(
            Reason.INSTANCES_STARTING,
            f"{len(member.workload.instances)} instances run, want {wanted}: the rest is ending",
        )
    if len(digests) > 1 and len(current) >= wanted:
        yield Problem(
            Reason.MODEL_DIGESTS_DIFFER,
            f"instances run models with different bytes ({', '.join(sorted(d[:12] for d in digests))}): "
            "name the model by sha256",
        )


def _is_known(facts: Facts, member: Member) -> bool:
    """Whether another problem says already why no instance starts."""
    return bool(member.seen.content_problem or unsupported(facts.world, member.seen))


def _failed(failure: Failure, *, serving: int) -> Problem:
    older = "older instance goes" if serving == 1 else "older instances go"
    rest = f"; {serving} {older} on serving" if serving else ""
    if failure.reason in WORDS:
        sentence = failure.message.partition("\n")[0]  # a script's traceback stands below it, for lastFailure
        return Problem(Reason(failure.reason), f"{sentence}{rest}")
    looping = failure.restarts >= CRASHES
    return Problem(
        Reason.CRASH_LOOP if looping else Reason.INSTANCES_STARTING,
        f"{failure.instance} ended with exit code {failure.exit_code} ({failure.restarts} restarts): "
        f"{failure.message or 'it left no word'}{rest}",
    )


def _model(seen: DeploymentSeen, member: Member | None) -> ModelStatus | None:
    before = seen.status.model if seen.status else None
    signature = member.promise.signature if member else None
    if seen.misfit:  # what runs is of an earlier spec
        return before
    if member is not None and member.own:  # without tensors; and another server does not know a digest, either
        known = NOTHING_READ if seen.spec.environment else member.signature or NOTHING_READ
        read = {"sha256": known.sha256 or None, "size_bytes": known.size_bytes or None}
        return ModelStatus.model_validate({"uri": seen.spec.uri, **read}) if seen.spec.uri else None
    if signature is None:
        return before
    return ModelStatus(
        uri=seen.spec.uri,
        sha256=signature.sha256,
        size_bytes=signature.size_bytes,
        inputs=_tensors(signature, "inputs"),
        outputs=_tensors(signature, "outputs"),
    )


def _tensors(signature: Signature, side: str) -> list[Tensor]:
    seen = signature.inputs if side == "inputs" else signature.outputs
    return [
        Tensor(name=tensor.name, datatype=tensor.datatype, shape=list(tensor.shape)) for tensor in seen[:MOST_TENSORS]
    ]


def _last_failure(member: Member | None) -> LastFailure | None:
    failure = member.workload.failure if member else None
    if failure is None:
        return None
    lines = failure.message.splitlines()[-5:]
    return LastFailure(
        pod=failure.instance,
        exit_code=failure.exit_code,
        reason=failure.reason or "Error",
        restart_count=failure.restarts,
        log="\n".join(lines)[-1024:],
    )
