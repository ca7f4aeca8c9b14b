"""`wye logs`: several pods as one, in the order of time, and followed while they come and go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from wye_operator.cli import kubeconfig, logs, streams
from wye_operator.cli.streams import STAMP, Following, Range, _instant

from .server import Log
from .things import container, deployment, endpoint, pod, router

ROUTER, BLUE, GREEN = "fraud-router-1", "fraud-blue-model-1", "fraud-green-model-1"


@pytest.fixture
def fraud(server):
    server.add("mlendpoints", endpoint())
    server.add("mldeployments", deployment(), deployment("fraud-green"))
    fetch = container("fetch", life=BLUE, state={"terminated": {"exitCode": 0}})
    server.add("pods", router(), pod("fraud-blue", status={"initContainerStatuses": [fetch]}), pod("fraud-green"))
    server.add("pods", pod("other-blue", of="other"))
    server.logs = {
        (ROUTER, "router"): Log((20, "starting"), (41, "POST /score")),
        (BLUE, "fetch"): Log((10, "fetched 3 MB")),
        (BLUE, "model"): Log((30, "ready"), (42, "slow")),
        (GREEN, "model"): Log((31, "ready")),
    }


def test_all_pods_in_the_order_of_time_each_line_with_its_pod(fraud, config, wye):
    assert wye("logs", "fraud") == 0
    assert wye.out.splitlines() == [
        f"{BLUE} fetch | fetched 3 MB",
        f"{ROUTER} | starting",
        f"{BLUE} | ready",
        f"{GREEN} | ready",
        f"{ROUTER} | POST /score",
        f"{BLUE} | slow",
    ]
    assert wye.err == ""


@pytest.mark.parametrize(
    ("arguments", "pods"),
    [
        pytest.param(["fraud", "--router"], {ROUTER}, id="the routers"),
        pytest.param(["fraud", "--deployment", "green"], {GREEN}, id="a Deployment by its name in traffic"),
        pytest.param(["fraud", "--deployment", "fraud-green"], {GREEN}, id="or by its own"),
        pytest.param(["fraud", "--deployment", "green", "--router"], {GREEN, ROUTER}, id="both"),
        pytest.param(["fraud-blue"], {BLUE}, id="a Deployment"),
        pytest.param(["mld/fraud-blue"], {BLUE}, id="a Deployment, said so"),
        pytest.param(["mle/fraud"], {ROUTER, BLUE, GREEN}, id="an Endpoint, said so"),
    ],
)
def test_whose_logs(fraud, config, wye, arguments, pods):
    assert wye("logs", *arguments) == 0
    assert {line.split()[0] for line in wye.out.splitlines()} == pods


@pytest.mark.parametrize(
    ("options", "query"),
    [
        ([], {"tailLines": "100"}),
        (["--tail", "5"], {"tailLines": "5"}),
        (["--tail", "-1"], {}),
        (["--since", "1h30m"], {"sinceSeconds": "5400"}),
        (["--since", "90s", "--tail", "5"], {"sinceSeconds": "90", "tailLines": "5"}),
    ],
)
def test_how_much_of_a_log(fraud, config, wye, server, options, query):
    assert wye("logs", "fraud", "--router", *options) == 0
    assert server.asked[-1][1] == {"container": "router", "timestamps": "true"} | query


def test_the_life_before_the_last_restart(fraud, config, wye, server):
    server.logs[BLUE, "model/previous"] = Log((5, "out of memory"))
    assert wye("logs", "fraud", "--previous") == 0
    assert (wye.out, wye.err) == (f"{BLUE} | out of memory\n", "")


def test_where_nothing_was_written_it_says_why(fraud, config, wye, server):
    server.logs.clear()
    assert wye("logs", "fraud-green") == 0
    assert wye.err == f'wye: {GREEN}: container "model" in pod "{GREEN}" is waiting to start: PodInitializing\n'
    server.logs[GREEN, "model"] = Log()
    assert wye("logs", "fraud-green") == 0
    assert (wye.out, wye.err) == ("", "wye: nothing was written yet\n")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        pytest.param(
            ["fruad"],
            1,
            "there is neither an Endpoint nor a Deployment fruad in namespace team of context dev "
            "(Endpoints: fraud; Deployments: fraud-blue, fraud-green)",
            id="a name that is not there",
        ),
        pytest.param(["mle/fraud-blue"], 1, "there is no Endpoint fraud-blue in namespace team", id="of another kind"),
        pytest.param(["."], 1, "for the twin of a folder: its logs are files, ./.wye/logs\n", id="a folder"),
        pytest.param(["pod/x"], 1, "pod/x is no name; must be NAME, mle/NAME for an Endpoint or", id="no kind of ours"),
        pytest.param(
            ["fraud", "--deployment", "red"],
            1,
            "Endpoint fraud has no Deployment red; there is: blue, green",
            id="a Deployment that is not there",
        ),
        pytest.param(
            ["fraud-blue", "--router"],
            1,
            "--router and --deployment choose among the pods of an Endpoint, and fraud-blue is a Deployment",
            id="the router of a Deployment",
        ),
        pytest.param(["fraud", "-f", "--previous"], 1, "--previous is of what has ended", id="following the past"),
        pytest.param(["fraud", "--since", "soon"], 2, "soon is no time; must be like 90s, 5m or 1h30m", id="no time"),
        pytest.param(["fraud", "--tail", "-2"], 2, "-2 is no number of lines; must be 0 or more", id="no number"),
    ],
)
def test_what_cannot_be_is_said(fraud, config, wye, arguments, code, sentence):
    assert wye("logs", *arguments) == code
    assert sentence in wye.err
    assert wye.out == ""


def test_an_endpoint_and_a_deployment_of_one_name_are_told_apart(fraud, config, wye, server):
    server.add("mldeployments", deployment("fraud", spec={"name": "main"}))
    server.add("pods", pod("fraud"))
    server.logs["fraud-model-1", "model"] = Log((1, "here"))
    assert wye("logs", "fraud") == 1
    assert wye.err == "wye: fraud is an Endpoint and a Deployment: name mle/fraud or mld/fraud\n"
    assert wye("logs", "mld/fraud") == 0
    assert wye.out == "fraud-model-1 | here\n"


def test_without_a_pod_it_says_where_to_look(fraud, config, wye, server):
    server.objects["team", "pods"].clear()
    assert wye("logs", "fraud") == 1
    assert wye.err == "wye: no such pod is there; wye status fraud says why\n"


def test_names_of_pods_have_a_colour_on_a_terminal(fraud, config, wye, monkeypatch):
    monkeypatch.setattr(logs, "console", object)
    assert wye("logs", "fraud", "--router") == 0
    assert wye.out.splitlines()[0] == f"\x1b[36m{ROUTER}\x1b[0m | starting"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:10.5Z x", (10, 500_000_000)),
        ("1970-01-01T02:00:10.000000001+02:00 x", (10, 1)),
        ("1970-01-01T00:00:10Z", (10, 0)),
    ],
)
def test_stamps_of_all_nodes_compare(text, instant):
    assert _instant(STAMP.match(text)) == instant


class Stopped(Exception):
    """The end of a test."""


class Follower:
    """Follows in a thread until `stop`; `lines` is what came so far."""

    def __init__(self, api, server) -> None:
        self.lines: list[str] = []
        self.warned: list[str] = []
        self._stopped = False

        def pods():
            if self._stopped:
                raise Stopped
            return [dict(body) for body in server.objects["team", "pods"].values()]

        self._following = Following(api, pods, Range(tail=1), self.warned.append, every=0.05)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with suppress(Stopped):
            for line in self._following.lines():
                self.lines.append(f"{line.source.label} | {line.text}")

    def stop(self) -> None:
        self._stopped = True
        self._thread.join(10)

    def until(self, holds: Callable[[list[str]], bool]) -> None:
        end = time.monotonic() + 10
        while not holds(self.lines):
            assert time.monotonic() < end, self.lines
            time.sleep(0.01)


@pytest.fixture
def following(fraud, config, server):
    """Follows the pods of `server`, with one line of what was before."""
    del server.objects["team", "pods"]["other-blue-model-1"]
    for log in server.logs.values():
        log.ended = False
    server.logs[BLUE, "fetch"].ended = True
    begun: list[Follower] = []

    def begin() -> Follower:
        begun.append(Follower(api, server))
        return begun[-1]

    with kubeconfig.connect(kubeconfig.Access()) as api:
        yield begin
        for log in server.logs.values():
            log.ended = True
        for follower in begun:
            follower.stop()


def test_following_begins_with_the_tail_and_goes_on(following, server):
    follower = following()
    follower.until(lambda lines: len(lines) == 4)
    assert sorted(follower.lines) == [
        f"{BLUE} fetch | fetched 3 MB",
        f"{BLUE} | slow",
        f"{GREEN} | ready",
        f"{ROUTER} | POST /score",
    ]
    server.logs[GREEN, "model"].lines.append((50, "news"))
    follower.until(lambda lines: lines[4:] == [f"{GREEN} | news"])


def test_a_pod_that_goes_is_followed_by_its_successor_from_its_first_line(following, server):
    follower = following()
    follower.until(lambda lines: len(lines) == 4)
    server.logs[GREEN, "model"].ended = True
    del server.objects["team", "pods"][GREEN]
    server.logs["fraud-green-model-2", "model"] = Log((60, "loading"), (61, "ready"), ended=False)
    server.add("pods", pod("fraud-green", "2"))
    follower.until(lambda lines: lines[4:] == [f"fraud-green-model-2 | {word}" for word in ("loading", "ready")])


def test_a_container_that_restarts_is_followed_in_its_next_life(following, server):
    follower = following()
    follower.until(lambda lines: len(lines) == 4)
    server.logs[GREEN, "model"].ended = True
    server.logs[GREEN, "model"] = Log((70, "again"), ended=False)
    server.add("pods", pod("fraud-green", status={"containerStatuses": [container("model", life="second")]}))
    follower.until(lambda lines: lines[4:] == [f"{GREEN} | again"])


def test_a_stream_that_breaks_is_taken_up_where_it_stopped(following, server):
    follower = following()
    follower.until(lambda lines: len(lines) == 4)
    log = server.logs[GREEN, "model"]
    log.cut = True
    log.lines.append((80, "after"))
    follower.until(lambda lines: f"{GREEN} | after" in lines)
    server.logs[ROUTER, "router"].lines.append((81, "end"))
    follower.until(lambda lines: f"{ROUTER} | end" in lines)
    assert follower.lines.count(f"{GREEN} | after") == 1
    assert follower.lines.count(f"{GREEN} | ready") == 1


def test_without_a_pod_it_waits_and_says_so_once(following, server):
    kept = dict(server.objects["team", "pods"])
    server.objects["team", "pods"].clear()
    follower = following()
    follower.until(lambda _: follower.warned == ["waiting for a pod"])
    server.objects["team", "pods"].update(kept)
    follower.until(lambda lines: len(lines) == 4)
    assert follower.warned == ["waiting for a pod"]


def test_who_may_not_read_logs_is_told_so_while_following_too(fraud, config, wye, server):
    server.forbidden.add("pods/log")
    assert wye("logs", "fraud", "-f") == 1
    assert wye.err.startswith('wye: User "me" cannot get resource "pods/log"')


def test_ctrl_c_ends_following(fraud, config, wye, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(streams.Following, "lines", interrupted)
    assert wye("logs", "fraud", "-f") == 130
