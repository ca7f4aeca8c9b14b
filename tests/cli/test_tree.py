"""The tree of `wye status`: from objects to lines, without a cluster. `tree.txt` is what all of it looks like."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from wye_operator.cli.drawing import Cell, Node, coloured, lines
from wye_operator.cli.seen import seen
from wye_operator.cli.tree import tree

from . import things
from .things import NOW, deployment, endpoint, pod, router

GOLDEN = Path(__file__).with_name("tree.txt")


def drawn(endpoints=(), deployments=(), pods=(), *, spaced: bool = False, ascii_only: bool = False) -> list[str]:
    return list(lines(tree(seen(endpoints, deployments, pods, NOW), spaced=spaced), ascii_only=ascii_only))


def everything() -> tuple[list, list, list]:
    """One Endpoint with whatever can happen to it, one that is well, one that only a Deployment speaks of."""
    fraud = endpoint(
        reason="Degraded",
        message="green has no ready instance: its share goes to blue",
        spec={"traffic": {"blue": 90, "green": 10}, "mirrorTraffic": {"violet": 50, "ghost": 5}},
        status={"traffic": {"blue": 100}, "mirrorTraffic": {"violet": 50}},
    )
    unscheduled = "fraud-green-model-1 cannot be scheduled: 0/3 nodes are available: 3 Insufficient cpu."
    failure = {"pod": "fraud-red-model-1", "exitCode": 3, "reason": "ModelInvalid", "restartCount": 4}
    past = {"pod": "fraud-blue-model-1", "exitCode": 137, "reason": "PodOutOfMemory", "restartCount": 1}
    deployments = [
        deployment("fraud-violet"),
        deployment("fraud-green", "PodUnschedulable", unscheduled),
        deployment(
            "fraud-blue",
            spec={"instanceCount": 2},
            status={"readyReplicas": 2, "model": {"uri": "x", "sha256": "ab12" * 16}, "lastFailure": past},
        ),
        deployment(
            "fraud-red",
            "ModelInvalid",
            "model.onnx is truncated",
            status={"lastFailure": failure | {"log": "loading\nmodel.onnx: 3 of 9 bytes"}},
        ),
        deployment("scores-v1", of="scores"),
        deployment("lonely", "EndpointNotFound", "there is no Endpoint nowhere in namespace team", of="nowhere"),
    ]
    restarted = [things.container("model", restartCount=1)]
    leaving = pod("fraud-blue", "3", ready=False, metadata={"deletionTimestamp": things.BORN})
    pods = [
        router(),
        pod("fraud-blue", status={"containerStatuses": restarted}),
        pod("fraud-blue", "2"),
        leaving,
        pod("fraud-green", ready=False, node="", status=things.UNSCHEDULABLE),
        pod("fraud-red", ready=False, status=things.CRASHING),
        pod("fraud-violet"),
        router(
            "scores", status={"conditions": [{"type": "Ready", "status": "False", "message": "not yet"}]}, ready=False
        ),
        pod("scores-v1", of="scores"),
    ]
    return [fraud, endpoint("scores", status={"traffic": {"v1": 100}})], deployments, pods


def test_all_that_can_be_shown(request: pytest.FixtureRequest):
    text = "\n".join(drawn(*everything())) + "\n"
    if request.config.getoption("--rewrite", default=False):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


@pytest.mark.parametrize(
    ("spec", "status", "said"),
    [
        pytest.param({}, {"traffic": {"blue": 100}}, "100%", id="traffic absent: what is in effect"),
        pytest.param({"traffic": {"blue": 10}}, {"traffic": {"blue": 10}}, "10%", id="as asked"),
        pytest.param({"traffic": {"blue": 10}}, {"traffic": {"blue": 2.5}}, "2.5% (asked 10%)", id="less than asked"),
        pytest.param({"traffic": {}}, {"traffic": {"blue": 100}}, "100% (asked 0%)", id="asked nothing, still has all"),
        pytest.param({"traffic": {"blue": 10}}, {}, "0% (asked 10%)", id="nothing in effect"),
        pytest.param({}, {}, "0%", id="nobody says anything"),
        pytest.param({"mirrorTraffic": {"blue": 5}}, {}, "mirror 0% (asked 5%)", id="a mirror that waits"),
        pytest.param(
            {"mirrorTraffic": {"blue": 5}},
            {"traffic": {"blue": 100}, "mirrorTraffic": {}},
            "100% mirror 0% (asked 5%)",
            id="a mirror whose target still has traffic",
        ),
    ],
)
def test_shares_are_those_in_effect_and_what_is_asked_where_it_differs(spec, status, said):
    line = drawn([endpoint(spec=spec, status=status)], [deployment()])[-1]
    assert f"  {said}  configmap://" in line


@pytest.mark.parametrize(
    ("status", "state", "why"),
    [
        pytest.param(things.UNSCHEDULABLE, "Pending", "0/3 nodes are available: 3 Insufficient cpu.", id="no node"),
        pytest.param(
            things.CRASHING, "CrashLoopBackOff", "ended with exit code 3: model.onnx is truncated", id="it crashes"
        ),
        pytest.param(
            {
                "containerStatuses": [
                    things.container(
                        "model",
                        ready=False,
                        state={"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image x"}},
                    )
                ]
            },
            "ImagePullBackOff",
            "Back-off pulling image x",
            id="no image",
        ),
        pytest.param(
            {
                "containerStatuses": [
                    things.container(
                        "model",
                        ready=False,
                        state={"running": {}},
                        restartCount=1,
                        lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": things.BORN}},
                    )
                ]
            },
            "Running",
            "ended with exit code 137: it used more memory than its limit: raise resources.limits.memory",
            id="too little memory",
        ),
        pytest.param(
            {
                "conditions": [
                    {"type": "Ready", "status": "False", "message": "containers with unready status: [model]"}
                ]
            },
            "Running",
            "containers with unready status: [model]",
            id="its probe says no",
        ),
        pytest.param({"phase": "Failed", "reason": "Evicted", "containerStatuses": []}, "Evicted", "", id="evicted"),
        pytest.param(
            {
                "initContainerStatuses": [
                    things.container("fetch", ready=False, state={"terminated": {"exitCode": 1, "message": "no route"}})
                ]
            },
            "Running",
            "ended with exit code 1: no route",
            id="the fetch fails",
        ),
    ],
)
def test_a_pod_that_is_not_ready_says_why(status, state, why):
    [one] = seen([endpoint()], [deployment()], [pod("fraud-blue", ready=False, status=status)], NOW)
    [shown] = one.deployments[0].pods
    assert (shown.state, shown.ready) == (state, False)
    assert why in shown.why
    assert bool(shown.why) == bool(why)


def test_what_a_message_says_is_not_said_again_below():
    told = "fraud-blue-model-1 cannot be scheduled: 0/3 nodes are available: 3 Insufficient cpu."
    shown = drawn(
        [endpoint()],
        [deployment("fraud-blue", "PodUnschedulable", told)],
        [pod("fraud-blue", ready=False, status=things.UNSCHEDULABLE)],
    )
    assert "\n".join(shown).count("Insufficient cpu") == 1


def test_a_generation_that_was_not_looked_at_is_not_ready():
    [one] = seen([endpoint(generation=2)], [], [], NOW)
    assert (one.ready, one.verdict.reason) == (False, "NotLookedAt")
    [bare] = seen([{k: v for k, v in endpoint().items() if k != "status"}], [], [], NOW)
    assert (bare.ready, bare.verdict.reason) == (False, "NotLookedAt")


def test_an_endpoint_is_ready_when_all_behind_it_is():
    ready = seen([endpoint()], [deployment()], [], NOW)
    assert [e.ready for e in ready] == [True]
    waiting = seen([endpoint()], [deployment("fraud-blue", "PodsStarting")], [], NOW)
    assert [e.ready for e in waiting] == [False]


def test_a_newer_operator_may_say_what_we_do_not_know():
    [one] = seen([endpoint(reason="SomethingNew", message="words", status={"new": {"field": 1}})], [], [], NOW)
    assert (one.verdict.reason, one.verdict.message) == ("SomethingNew", "words")


def test_namespaces_stand_before_names_where_there_are_several():
    other = endpoint()
    other["metadata"]["namespace"] = "another"
    shown = drawn([endpoint(), other], [], [pod("fraud-blue")], spaced=True)
    assert [line.split()[0] for line in shown if line and line[0].isalpha()] == [
        "another/fraud",
        "team/fraud",
    ]


NODES = (
    Node(
        (Cell("root"),),
        (Cell("a note\nof two lines"),),
        (Node((Cell("one"), Cell("x"))), Node((Cell("three"), Cell("y")), (Cell("note"),), (Node((Cell("leaf"),)),))),
    ),
)


def test_siblings_share_columns_and_notes_stand_beside_the_guides():
    assert list(lines(NODES)) == [
        "root",
        "│   a note",
        "│   of two lines",
        "├── one    x",
        "└── three  y",
        "    │   note",
        "    └── leaf",
    ]
    assert list(lines(NODES, ascii_only=True))[3:] == ["|-- one    x", "`-- three  y", "    |   note", "    `-- leaf"]


def test_a_terminal_shows_the_same_words_folded_beside_the_guides():
    screen = Console(file=io.StringIO(), width=30, force_terminal=True, color_system=None)
    screen.print(
        coloured(
            (
                Node(
                    (Cell("root"),),
                    (),
                    (
                        Node(
                            (Cell("leaf"), Cell("word " * 12)),
                        ),
                    ),
                ),
            )
        )
    )
    shown = screen.file.getvalue().splitlines()
    assert all(len(line) <= 30 for line in shown)
    assert " ".join(" ".join(shown).split()).count("word") == 12


def test_what_a_pod_wrote_does_nothing_to_a_terminal():
    """Who looks at all namespaces is an administrator, and what a container says at its end is anybody's."""
    evil = Cell("\x1b[31mred\x1b]0;owned\x07\r\u202e\x9b2J", "red")
    tree = [Node((Cell("a\x1bb"),), (Cell(f"{evil.text}\nsecond\tline"),))]
    assert list(lines(tree)) == ["a\\x1bb", "    \\x1b[31mred\\x1b]0;owned\\x07\\x0d\\x202e\\x9b2J", "    second\tline"]
    terminal = io.StringIO()
    Console(file=terminal, force_terminal=True, width=200, no_color=True).print(coloured(tree))
    shown = terminal.getvalue()
    assert "red" in shown
    assert [piece for piece in ("\x1b]", "\x1b[31m", "\x07", "\u202e", "\x9b") if piece in shown] == []


def test_a_note_on_a_terminal_is_indented_and_stays_so_where_it_is_folded():
    screen = Console(file=io.StringIO(), width=24, force_terminal=True, color_system=None)
    screen.print(coloured((Node((Cell("root"),), (Cell("one two three four five six"),)),)))
    assert [line.rstrip() for line in screen.file.getvalue().splitlines()] == [
        "root",
        "    one two three four",
        "    five six",
    ]
