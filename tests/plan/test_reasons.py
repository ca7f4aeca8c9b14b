"""Every reason that this step can set, the condition it sets, its deadline and its place among the others."""

from __future__ import annotations

import dataclasses

import pytest

import make
from make import deployment, edited, settle, with_failure, with_ready, world
from wye_operator.api.status import Reason
from wye_operator.plan.conditions import ORDER
from wye_operator.plan.planner import plan
from wye_operator.plan.world import CLUSTER_SOURCES, Failure, KeySet, Obstacle, RouterSeen, TlsSeen

BLUE, GREEN, VIOLET = deployment("blue"), deployment("green", created=1), deployment("violet", created=2)
SERVING_REASONS = {Reason.SERVING, Reason.NO_DEPLOYMENT, Reason.NO_LIVE_TRAFFIC, Reason.NO_READY_POD}


def base(**spec):
    return settle(world(BLUE, spec={"traffic": {"blue": 100}} | spec))[0]


def failing(reason: str, message: str = "why", restarts: int = 1, ready: int = 0):
    return with_failure(with_ready(base(), blue=ready), "blue", Failure("fraud-blue-0", 3, reason, message, restarts))


def of_an_image_here():
    seen = with_ready(base(), blue=0)
    obstacle = Obstacle(Reason.ENVIRONMENT_UNSUPPORTED, "there is no program tritonserver")
    return dataclasses.replace(seen, deployments=(dataclasses.replace(BLUE, obstacles=(obstacle,)),))


def crowded():
    return dataclasses.replace(base(), deployments=(BLUE, deployment("second", called="blue", created=5)))


def unread_issuer():
    issuer = {"issuer": "https://id.example.com", "audiences": ["fraud"], "jwksUri": "https://id.example.com/keys"}
    seen = base(authMode="Token", token={"issuers": [issuer]})
    return dataclasses.replace(seen, key_sets={issuer["jwksUri"]: KeySet(problem="it answers 500")})


def rejected():
    seen = behind()
    (router,) = seen.routers
    return dataclasses.replace(seen, routers=(dataclasses.replace(router, rejected="unknown field"),))


def behind():
    seen, made = settle(base())
    stale = dataclasses.replace(make.taken_of(made.router), routes="old")
    return dataclasses.replace(seen, routers=(RouterSeen("router-0", ready=True, taken=stale),))


def half_the_routers():
    seen = base()
    return dataclasses.replace(seen, routers=(*seen.routers, RouterSeen("router-1", ready=False)))


def different_digests():
    seen = base()
    one, two = make.instances("blue", 2).instances
    two = dataclasses.replace(two, signature=make.signature(sha256="b" * 64))
    workload = dataclasses.replace(seen.workloads["fraud-blue"], instances=(one, two))
    blue = deployment("blue", instanceCount=2)
    return dataclasses.replace(seen, deployments=(blue,), workloads={"fraud-blue": workload})


def without_gateway_api():
    route = {"parentRefs": [{"name": "gateway"}], "hostnames": ["fraud.test"]}
    return dataclasses.replace(base(expose={"httpRoute": route}), has_gateway_api=False)


def uncertified(reason: Reason, why: str):
    found = base(tls={"secretName": "fraud-tls"})
    return dataclasses.replace(found, tls=TlsSeen(obstacle=Obstacle(reason, why), in_force="placeholder"))


def mismatched():
    seen = base()
    seen = edited(dataclasses.replace(seen, deployments=(*seen.deployments, GREEN)), traffic={"blue": 50, "green": 50})
    other = make.instances("green", 1, read=make.signature({"z": ("FP32", [-1, 7])}))
    return dataclasses.replace(seen, workloads={**seen.workloads, "fraud-green": other})


def unfit_contract():
    contract = {"inputs": [{"name": "a"}], "outputs": [{"name": "d", "labels": ["x", "y", "z"]}]}
    own = deployment("blue", contract={"outputs": [{"name": "d", "tensor": "p", "threshold": 0.5}]})
    return world(own, spec={"contract": contract})


def no_source():
    return world(dataclasses.replace(BLUE, content="", content_problem="no such file: m.onnx"), ready={})


def of_a_claim():
    blue = deployment("blue", model={"uri": "pvc://models/blue.onnx"})
    return dataclasses.replace(base(), deployments=(blue,))


def of_a_file_in_a_cluster():
    return dataclasses.replace(world(BLUE, ready={}), sources=CLUSTER_SOURCES)


def hindered(reason: Reason, message: str):
    seen = base()
    return dataclasses.replace(
        seen,
        endpoint=dataclasses.replace(seen.endpoint, obstacles=(Obstacle(reason, message),)),
        deployments=(dataclasses.replace(BLUE, obstacles=(Obstacle(reason, message),)),),
    )


def misfit(own, *, of):
    seen = base()
    return dataclasses.replace(
        seen,
        endpoint=dataclasses.replace(seen.endpoint, misfit=of or ""),
        deployments=(dataclasses.replace(BLUE, misfit=own or ""),),
    )


def test_what_is_not_right_is_left_as_it_is_and_keeps_its_share() -> None:
    made = plan(misfit("spec.x is wrong", of=None))
    assert (made.held, make.shares(made)) == (("fraud-blue",), {"blue": 100})


NEEDS_EDIT, WAITS = ("False", "False", "True"), ("False", "True", "False")

# reason, whose, the world, (Ready, Reconciling, Stalled), part of the sentence
TABLE = [
    ("Ready", None, base, ("True", "False", "False"), "as asked"),
    ("NameTaken", "second", crowded, NEEDS_EDIT, "belongs to the older Deployment fraud-blue"),
    ("TrafficNotSet", None, lambda: world(BLUE, GREEN), NEEDS_EDIT, "write for example traffic: {blue: 100, green: 0}"),
    (
        "ModelDigestMismatch",
        "blue",
        lambda: failing("ModelDigestMismatch", "sha256 is 1, want 2"),
        NEEDS_EDIT,
        "want 2",
    ),
    ("ModelInvalid", "blue", lambda: failing("ModelInvalid", "not ONNX"), NEEDS_EDIT, "not ONNX"),
    (
        "SignatureMismatch",
        None,
        mismatched,
        NEEDS_EDIT,
        "green does not keep what callers are promised: it has no input x",
    ),
    ("SignatureMismatch", "green", mismatched, NEEDS_EDIT, "it has no input x"),
    ("InvalidDeploymentSpec", "blue", unfit_contract, NEEDS_EDIT, "labels must be two where there is one threshold"),
    ("InvalidDeploymentSpec", "blue", lambda: failing("InvalidDeploymentSpec", "no CUDA"), NEEDS_EDIT, "no CUDA"),
    ("InvalidDeploymentSpec", "blue", lambda: misfit("spec.x is wrong", of=None), NEEDS_EDIT, "spec.x is wrong"),
    ("InvalidDeploymentSpec", None, lambda: misfit(None, of="spec.y is"), NEEDS_EDIT, "spec.y is"),
    (
        "InvalidDeploymentSpec",
        "blue",
        lambda: misfit(None, of="spec.y is"),
        NEEDS_EDIT,
        "its Endpoint is not right: spec.y",
    ),
    ("UserScriptImportError", "blue", lambda: failing("UserScriptImportError", "no x\n  line 1"), NEEDS_EDIT, "no x"),
    ("UserScriptInitFailed", "blue", lambda: failing("UserScriptInitFailed", "init() failed"), NEEDS_EDIT, "init()"),
    (
        "UserScriptFunctionNotFound",
        "blue",
        lambda: failing("UserScriptFunctionNotFound", "it has no run()"),
        NEEDS_EDIT,
        "it has no run()",
    ),
    ("RouterRejected", None, rejected, NEEDS_EDIT, "keeps the last good one: unknown field"),
    (
        "DeploymentCrashLoopBackOff",
        "blue",
        lambda: failing("", "boom", 3),
        NEEDS_EDIT,
        "exit code 3 (3 restarts): boom",
    ),
    (
        "Degraded",
        None,
        lambda: with_ready(base(), blue=0),
        WAITS,
        "blue has no ready instance: its share is answered 503",
    ),
    ("Degraded", None, half_the_routers, WAITS, "router router-1 is not ready"),
    ("ModelDigestsDiffer", "blue", different_digests, WAITS, "aaaaaaaaaaaa, bbbbbbbbbbbb"),
    (
        "EndpointNotFound",
        "blue",
        lambda: dataclasses.replace(base(), endpoint=None),
        WAITS,
        "there is no Endpoint fraud",
    ),
    (
        "WaitingForDeployment",
        None,
        lambda: edited(base(), traffic={"red": 100}),
        WAITS,
        "no Deployment named red (there are blue)",
    ),
    (
        "KeysNotFound",
        None,
        lambda: dataclasses.replace(base(keys={"secretName": "mine"}), keys=None, keys_problem="no Secret mine"),
        WAITS,
        "no Secret mine",
    ),
    (
        "CertificateNotFound",
        None,
        lambda: uncertified(Reason.CERTIFICATE_NOT_FOUND, "no Secret fraud-tls"),
        WAITS,
        "no Secret fraud-tls; until there is one, nobody is served",
    ),
    ("GatewayApiMissing", None, without_gateway_api, NEEDS_EDIT, "this cluster does not have the Gateway API"),
    (
        "CertificateInvalid",
        None,
        lambda: uncertified(Reason.CERTIFICATE_INVALID, "it expired"),
        NEEDS_EDIT,
        "it expired; until there is one, nobody is served",
    ),
    ("RouterStarting", None, lambda: dataclasses.replace(base(), routers=()), WAITS, "no router is ready yet"),
    ("RouterBehind", None, behind, WAITS, "1 of 1 routers have not taken version"),
    ("PodsStarting", "blue", lambda: with_ready(base(), blue=0), WAITS, "0 of 1 instances of this revision are ready"),
    ("ModelFetch", "blue", no_source, WAITS, "no such file: m.onnx"),
    ("ModelFetch", "blue", lambda: failing("ModelFetch", "cannot read"), WAITS, "cannot read"),
    ("ModelSourceUnsupported", "blue", of_a_claim, NEEDS_EDIT, "pvc:// cannot be read here"),
    (
        "ModelSourceUnsupported",
        "blue",
        of_a_file_in_a_cluster,
        NEEDS_EDIT,
        "reads configmap://, pvc://, https://",
    ),
    ("EnvironmentUnsupported", "blue", of_an_image_here, NEEDS_EDIT, "no program tritonserver"),
    ("ImagePullLoopBackOff", "blue", lambda: failing("ImagePullLoopBackOff", "no such image"), NEEDS_EDIT, "no such"),
    ("PodOutOfMemory", "blue", lambda: failing("PodOutOfMemory", "more than 1Gi"), NEEDS_EDIT, "more than 1Gi"),
    ("ImagePull", "blue", lambda: failing("ImagePull", "pulling"), WAITS, "pulling"),
    ("PodUnschedulable", "blue", lambda: failing("PodUnschedulable", "0/3 nodes"), WAITS, "0/3 nodes"),
    ("OwnerGoing", "blue", lambda: hindered(Reason.OWNER_GOING, "ConfigMap goes"), WAITS, "ConfigMap goes"),
    ("OwnerGoing", None, lambda: hindered(Reason.OWNER_GOING, "Service goes"), WAITS, "Service goes"),
    ("TokenKeysNotFound", None, unread_issuer, WAITS, "issuer https://id.example.com: it answers 500; none of its"),
    ("NameTaken", None, lambda: hindered(Reason.NAME_TAKEN, "Service fraud is not ours"), NEEDS_EDIT, "is not ours"),
]


@pytest.mark.parametrize(
    ("reason", "whose", "seen", "states", "sentence"),
    TABLE,
    ids=[f"{r} of {w or 'the Endpoint'}" for r, w, *_ in TABLE],
)
def test_the_conditions_of(reason, whose, seen, states, sentence) -> None:
    made = plan(seen())
    assert [make.condition(made, kind, of=whose) for kind in ("Ready", "Reconciling", "Stalled")] == [
        (state, reason) for state in states
    ]
    assert sentence in make.message(made, of=whose)


def test_unknown_deployment_is_said_after_the_deadline() -> None:
    seen = settle(edited(base(), traffic={"red": 100}))[0]
    almost = dataclasses.replace(seen, now=seen.now + 599)
    assert make.condition(plan(almost), "Ready") == ("False", "WaitingForDeployment")
    over = plan(dataclasses.replace(seen, now=seen.now + 600))
    assert make.condition(over, "Stalled") == ("True", "UnknownDeployment")
    assert make.message(over).startswith("spec names red, and no Deployment has that name: there are blue")


def test_every_reason_of_this_step_is_in_a_test() -> None:
    tested = {reason for reason, *_ in TABLE} | {"UnknownDeployment"} | {r.value for r in SERVING_REASONS}
    assert {reason.value for reason in Reason} == tested
    assert set(Reason) == {*ORDER, Reason.READY, *SERVING_REASONS}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (base, ("True", "Serving")),
        (lambda: world(), ("False", "NoDeployment")),
        (lambda: settle(world(BLUE, spec={"traffic": {}}))[0], ("False", "NoLiveTraffic")),
        (lambda: with_ready(base(), blue=0), ("False", "NoReadyPod")),
        (lambda: dataclasses.replace(base(), routers=()), ("False", "NoReadyPod")),
    ],
    ids=[
        "a plain request is answered",
        "nobody is there",
        "nobody has a share",
        "nobody is ready",
        "no router is ready",
    ],
)
def test_serving(seen, expected) -> None:
    assert make.condition(plan(seen()), "Serving") == expected


def test_an_endpoint_without_deployments_and_without_traffic_is_ready_and_not_serving() -> None:
    made = settle(world())[1]
    assert make.condition(made, "Ready") == ("True", "Ready")
    assert make.condition(made, "Serving") == ("False", "NoDeployment")


def test_what_needs_an_edit_comes_first_and_the_message_names_the_others() -> None:
    made = plan(with_ready(mismatched(), blue=0))
    assert make.condition(made, "Ready") == ("False", "SignatureMismatch")
    assert "; blue has no ready instance" in make.message(made)


def test_degraded_comes_before_what_waits() -> None:
    made = plan(dataclasses.replace(with_ready(base(), blue=0), routers=()))
    assert make.condition(made, "Ready") == ("False", "Degraded")
    assert "no router is ready yet" in make.message(made)


def test_what_waits_is_stalled_after_the_deadline_and_its_clock_starts_again_with_progress() -> None:
    seen = settle(with_ready(world(deployment("blue", instanceCount=3)), blue=1))[0]
    almost = make.after(seen, plan(seen), seconds=599)
    assert make.condition(plan(almost), "Stalled", of="blue") == ("False", "PodsStarting")
    over = dataclasses.replace(almost, now=almost.now + 1)
    assert make.condition(plan(over), "Stalled", of="blue") == ("True", "PodsStarting")
    assert make.condition(plan(over), "Reconciling", of="blue") == ("False", "PodsStarting"), "kstatus takes the first"
    progressed = with_ready(over, blue=2)
    assert make.condition(plan(progressed), "Stalled", of="blue") == ("False", "PodsStarting")


def test_a_new_generation_starts_the_clock_again() -> None:
    seen = settle(edited(base(), traffic={"red": 100}))[0]
    over = dataclasses.replace(seen, now=seen.now + 700)
    assert make.condition(plan(over), "Stalled") == ("True", "UnknownDeployment")
    again = edited(make.after(over, plan(over)), traffic={"crimson": 100})
    assert make.condition(plan(again), "Stalled") == ("False", "WaitingForDeployment")


def test_the_deadline_is_when_to_look_again() -> None:
    seen = settle(edited(base(), traffic={"red": 100}))[0]
    assert plan(seen).look_again == 600


def test_transition_times_move_only_when_the_status_flips() -> None:
    seen, made = settle(base())
    ready = next(c for c in made.endpoint_status.conditions if c.type == "Ready")
    later = dataclasses.replace(seen, now=seen.now + 100)
    assert next(c for c in plan(later).endpoint_status.conditions if c.type == "Ready") == ready
    lost = plan(with_ready(later, blue=0)).endpoint_status.conditions
    assert next(c for c in lost if c.type == "Ready").last_transition_time == "1970-01-12T13:48:20Z"


def test_observed_generation_follows_every_pass() -> None:
    made = plan(edited(base(), traffic={"red": 100}))
    assert made.endpoint_status.observed_generation == 2
    assert {c.observed_generation for c in made.endpoint_status.conditions} == {2}


def test_an_old_failure_is_history_once_all_instances_are_ready() -> None:
    made = plan(failing("", "boom", 5, ready=1))
    assert make.condition(made, "Ready", of="blue") == ("True", "Ready")
    failure = made.deployment_statuses["fraud-blue"].last_failure
    assert (failure.exit_code, failure.restart_count, failure.log) == (3, 5, "boom")


def test_a_failing_new_revision_names_the_older_instances_that_go_on() -> None:
    seen = failing("ModelInvalid", "not ONNX", ready=1)
    (old,) = (dataclasses.replace(i, revision="old") for i in seen.workloads["fraud-blue"].instances)
    workload = dataclasses.replace(seen.workloads["fraud-blue"], instances=(old,))
    made = plan(dataclasses.replace(seen, workloads={"fraud-blue": workload}))
    assert make.condition(made, "Ready", of="blue") == ("False", "ModelInvalid")
    assert make.message(made, of="blue") == "not ONNX; 1 older instance goes on serving"
    assert make.shares(made) == {"blue": 100}


def test_a_scripts_traceback_is_in_the_last_failure_and_not_in_the_message() -> None:
    made = plan(failing("UserScriptInitFailed", "init() of score.py failed: ValueError: so\n  File score.py\n    so()"))
    assert make.message(made, of="blue") == "init() of score.py failed: ValueError: so"
    assert made.deployment_statuses["fraud-blue"].last_failure.log.splitlines()[-1].strip() == "so()"


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (lambda: settle(world(BLUE))[0], "Succeeded"),
        (lambda: world(BLUE, ready={}), "Creating"),
        (lambda: edited(base(), traffic={"red": 100}), "Updating"),
        (lambda: world(BLUE, GREEN), "Failed"),
    ],
    ids=["as asked", "not there yet", "was there, changes", "needs an edit"],
)
def test_azures_word_for_it(seen, expected) -> None:
    assert plan(seen()).endpoint_status.provisioning_state == expected


def test_scaling_is_azures_word_when_only_the_count_changes() -> None:
    seen = settle(base())[0]
    more = deployment("blue", instanceCount=2, generation=2)
    more = dataclasses.replace(more, status=seen.deployments[0].status)
    revision = plan(seen).workloads[0].revision
    workload = seen.workloads["fraud-blue"]
    workload = dataclasses.replace(
        workload, instances=tuple(dataclasses.replace(i, revision=revision) for i in workload.instances)
    )
    made = plan(dataclasses.replace(seen, deployments=(more,), workloads={"fraud-blue": workload}))
    assert made.deployment_statuses["fraud-blue"].provisioning_state == "Scaling"


def test_what_a_router_rejected_and_took_when_it_was_asked_again_is_not_told() -> None:
    seen = base()
    (router,) = seen.routers
    seen = dataclasses.replace(seen, routers=(dataclasses.replace(router, rejected="unknown cluster 'blue'"),))
    assert plan(seen).endpoint_status.conditions[0].reason == "Ready"


# -- keys ------------------------------------------------------------------------------------------


def test_fresh_keys_are_kept_under_the_default_name_when_there_are_none() -> None:
    made = plan(dataclasses.replace(base(), keys=None))
    assert made.keys == make.FRESH
    assert made.router.auth.keys == make.FRESH


def test_keys_that_exist_stay() -> None:
    assert plan(base()).keys == make.KEYS


def test_named_keys_are_the_users_and_only_read() -> None:
    made = plan(base(keys={"secretName": "mine"}))
    assert (made.keys, made.router.auth.keys) == (None, make.KEYS)


def test_named_keys_that_are_missing_leave_what_is_in_force() -> None:
    made = plan(dataclasses.replace(base(keys={"secretName": "mine"}), keys=None, keys_problem="no Secret mine"))
    assert (made.router.auth.open, made.router.auth.keys, made.router.auth.version) == (False, None, "")


def test_auth_mode_none_is_open_and_makes_no_keys() -> None:
    made = plan(dataclasses.replace(base(authMode="None"), keys=None))
    assert (made.keys, made.router.auth.open) == (None, True)


def test_no_key_is_in_what_a_plan_prints() -> None:
    made = plan(base())
    assert make.KEYS.primary not in repr(made)
    assert made.router.auth.version not in (make.KEYS.primary, "")
