"""What does not agree gets nothing new, and what is missing stops nothing."""

from __future__ import annotations

import dataclasses

import make
from make import deployment, edited, settle, shares, with_ready, world
from wye_operator.plan.planner import plan

BLUE, GREEN, VIOLET = deployment("blue"), deployment("green", created=1), deployment("violet", created=2)


def serving(*deployments, **spec):
    """A settled world with this Endpoint spec and one ready instance of each Deployment."""
    return settle(world(*deployments, spec=spec))[0]


def test_what_does_not_agree_gets_no_new_share_and_no_mirror_and_the_difference_is_named() -> None:
    seen = serving(BLUE, traffic={"blue": 100})
    seen = dataclasses.replace(seen, deployments=(BLUE, GREEN))
    other = make.instances("green", 1, read=make.signature({"z": ("FP32", [-1, 7])}))
    seen = dataclasses.replace(seen, workloads={**seen.workloads, "fraud-green": other})
    for spec in ({"traffic": {"blue": 90, "green": 10}}, {"traffic": {"blue": 100}, "mirrorTraffic": {"green": 10}}):
        made = settle(edited(seen, **spec))[1]
        assert (shares(made), make.mirrors(made)) == ({"blue": 100}, {})
        assert make.condition(made, "Ready") == ("False", "SignatureMismatch")
        assert make.condition(made, "Ready", of="green") == ("False", "SignatureMismatch")
        assert "it has no input x" in make.message(made)


def test_a_share_in_effect_is_never_taken_away_for_its_contract() -> None:
    seen = serving(BLUE, GREEN, traffic={"blue": 90, "green": 10})
    other = make.instances("green", 1, read=make.signature({"z": ("FP32", [-1, 7])}))
    made = settle(dataclasses.replace(seen, workloads={**seen.workloads, "fraud-green": other}))[1]
    assert shares(made) == {"blue": 90, "green": 10}


def test_a_signature_that_could_not_be_read_yet_waits_with_why() -> None:
    seen = serving(BLUE, traffic={"blue": 100})
    seen = with_ready(dataclasses.replace(seen, deployments=(BLUE, GREEN)), green=1)
    (instance,) = seen.workloads["fraud-green"].instances
    unread = dataclasses.replace(instance, signature=None, unread="timed out")
    workload = dataclasses.replace(seen.workloads["fraud-green"], instances=(unread,))
    seen = dataclasses.replace(seen, workloads={**seen.workloads, "fraud-green": workload})
    made = settle(edited(seen, traffic={"blue": 50, "green": 50}))[1]
    assert shares(made) == {"blue": 100}
    assert make.message(made) == "the signature of green could not be read yet (timed out)"


def test_another_model_name_is_a_mismatch() -> None:
    seen = serving(BLUE, traffic={"blue": 100})
    named = deployment("green", created=1, model={"uri": "file://m", "name": "other"})
    seen = with_ready(dataclasses.replace(seen, deployments=(BLUE, named)), green=1)
    made = settle(edited(seen, traffic={"blue": 50, "green": 50}))[1]
    assert make.message(made) == "green does not keep what callers are promised: its model is called other, want fraud"


def test_a_model_source_that_is_gone_leaves_the_workload_as_it_is() -> None:
    gone = dataclasses.replace(BLUE, content="", content_problem="no such file: model.onnx")
    seen = serving(BLUE, traffic={"blue": 100})
    made = settle(dataclasses.replace(seen, deployments=(dataclasses.replace(gone, status=None),)))[1]
    assert (made.held, made.workloads) == (("fraud-blue",), ())
    assert make.condition(made, "Ready", of="blue") == ("False", "ModelFetch")
    assert shares(made) == {"blue": 100}


def test_the_deployments_of_a_gone_endpoint_run_on_for_its_grace_then_scale_to_zero_and_come_back() -> None:
    seen = serving(BLUE, traffic={"blue": 100})
    gone = dataclasses.replace(seen, endpoint=None)
    first = plan(gone)
    assert (first.held, first.router) == (("fraud-blue",), None)
    assert first.look_again == 300
    later = make.after(gone, first, seconds=299)
    assert plan(later).held == ("fraud-blue",)
    over = plan(make.after(later, plan(later), seconds=1))
    assert [(w.deployment, w.instances) for w in over.workloads] == [("fraud-blue", 0)]
    back = plan(dataclasses.replace(later, endpoint=seen.endpoint))
    assert [(w.deployment, w.instances) for w in back.workloads] == [("fraud-blue", 1)]


def test_a_deployment_whose_endpoint_never_existed_runs_nothing() -> None:
    made = plan(dataclasses.replace(world(BLUE, ready={}), endpoint=None))
    assert [(w.deployment, w.instances) for w in made.workloads] == [("fraud-blue", 0)]
    assert make.condition(made, "Ready", of="blue") == ("False", "EndpointNotFound")


def test_what_an_orphan_does_does_not_prolong_its_grace() -> None:
    gone = dataclasses.replace(serving(BLUE, traffic={"blue": 100}), endpoint=None)
    gone = make.after(gone, plan(gone), seconds=200)
    (blue,) = gone.deployments
    restarted = dataclasses.replace(with_ready(gone, blue=2), deployments=(dataclasses.replace(blue, generation=2),))
    gone = make.after(restarted, plan(restarted), seconds=100)
    assert [w.instances for w in plan(gone).workloads] == [0]
