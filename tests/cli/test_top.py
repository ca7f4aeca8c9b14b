"""`wye top`: what two looks at pages of figures say, and the command against an API server with pods behind it."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from wye_operator.cli import watching
from wye_operator.cli.kubeconfig import Access, connect
from wye_operator.cli.samples import ALL, of_model, of_router
from wye_operator.cluster.errors import Unavailable

from .things import deployment, endpoint, pod, router

ROUTER = """\
# TYPE envoy_cluster_upstream_rq_xx counter
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="blue"} @90
envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",envoy_cluster_name="blue"} @10
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="violet~mirror"} @40
envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",envoy_cluster_name="violet~mirror"} @20
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="wye~admin"} @7
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="blue",le="5"} @50
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="blue",le="10"} @90
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="blue",le="25"} @100
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="blue",le="+Inf"} @100
envoy_cluster_upstream_rq_active{envoy_cluster_name="blue"} 3
envoy_cluster_upstream_rq_pending_overflow{envoy_cluster_name="violet~mirror"} @20
envoy_http_downstream_rq_xx{envoy_response_code_class="2",envoy_http_conn_manager_prefix="router"} @90
envoy_http_downstream_rq_xx{envoy_response_code_class="4",envoy_http_conn_manager_prefix="router"} @5
envoy_http_downstream_rq_xx{envoy_response_code_class="5",envoy_http_conn_manager_prefix="router"} @10
this is no sample
"""
MODEL = 'wye_queue_depth 4\nwye_requests_dropped_total{reason="queue_full"} @6\n'
TRAFFIC = {"traffic": {"blue": 100}, "mirrorTraffic": {"violet": 50}}


def page(text: str, times: int) -> str:
    return "".join(
        f"{head}{int(number) * times}\n" if mark else f"{head}\n"
        for head, mark, number in (line.partition("@") for line in text.splitlines())
    )


def test_two_pages_say_what_happened_between() -> None:
    first, last = of_router(page(ROUTER, 1)), of_router(page(ROUTER, 3))
    assert set(first) == {ALL, ("blue", "live"), ("violet", "mirror")}
    blue = last["blue", "live"].since(first["blue", "live"])
    assert (blue.answers, blue.errors, blue.active) == (200, 20, 3)
    assert (blue.quantile(0.5), blue.quantile(0.7), blue.quantile(0.99)) == (5.0, 7.5, pytest.approx(23.5))
    assert last["violet", "mirror"].since(first["violet", "mirror"]).left_out == 40
    assert of_model(page(MODEL, 2)).queued == 4


def test_counters_of_a_router_that_was_started_anew_count_from_nothing() -> None:
    first, last = of_router(page(ROUTER, 5)), of_router(page(ROUTER, 1))
    assert last["blue", "live"].since(first["blue", "live"]).answers == 100


def test_nothing_that_was_answered_has_no_latency() -> None:
    same = of_router(page(ROUTER, 1))["blue", "live"]
    assert same.since(same).quantile(0.99) is None


class Pods(BaseHTTPRequestHandler):
    """Any pod: each question finds more counted than the one before."""

    protocol_version = "HTTP/1.1"
    asked: dict[str, int]

    def do_GET(self) -> None:
        times = self.asked[self.path] = self.asked.get(self.path, 0) + 1
        body = page({"/stats/prometheus": ROUTER, "/metrics": MODEL}[self.path], times).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing on the test's output."""


@pytest.fixture(autouse=True)
def patient(monkeypatch) -> None:
    """A busy machine is no pod that stands still."""
    monkeypatch.setattr(watching, "PATIENCE", 60.0)
    monkeypatch.setattr(watching, "HASTE", 60.0)


@pytest.fixture
def pods(server) -> Iterator[type[Pods]]:
    handler = type("Handler", (Pods,), {"asked": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.target = ("127.0.0.1", serving.server_port)
        yield handler
        serving.shutdown()
        thread.join()


@pytest.fixture
def fraud(server, pods) -> None:
    server.add("mlendpoints", endpoint(spec=TRAFFIC, status=TRAFFIC))
    server.add("mldeployments", deployment(), deployment("fraud-violet"))
    server.add("pods", router(), pod("fraud-blue"))


def test_once_prints_a_line_for_each_with_rates(fraud, config, wye) -> None:
    assert wye("top", "--once", "--window", "0.2") == 0
    assert wye.err == ""
    head, *lines = (line.split() for line in wye.out.splitlines())
    assert head[:3] == ["ENDPOINT", "DEPLOYMENT", "TRAFFIC"]
    assert [line[0] for line in lines] == ["fraud", "blue", "violet"]
    assert "10.00%" in lines[1]
    assert lines[2][1:3] == ["mirror", "50%"]


def test_json_has_the_same_for_programs(fraud, config, wye) -> None:
    assert wye("top", "fraud", "--once", "--json", "--window", "0.2") == 0
    whole, blue, violet = wye.data["rows"]
    seconds = wye.data["seconds"]
    assert blue["requestsPerSecond"] * seconds == pytest.approx(100, rel=0.05)
    assert whole["requestsPerSecond"] * seconds == pytest.approx(105, rel=0.05)
    assert (blue["errorShare"], blue["p50Ms"], blue["active"], blue["queued"]) == (0.1, 5.0, 3, 4)
    assert blue["lostPerSecond"] * seconds == pytest.approx(6, rel=0.05)
    assert (violet["traffic"], violet["percent"]) == ("mirror", 50)
    assert violet["lostPerSecond"] * seconds == pytest.approx(20, rel=0.05)
    # the router answers a copy 503 that it does not make, and counts that
    assert (violet["requestsPerSecond"] * seconds, violet["errorShare"]) == (pytest.approx(40, rel=0.05), 0)
    assert wye.data["unreachable"] == []


def test_a_queue_stands_in_the_first_line_of_its_deployment_and_the_live_ones_in_that_of_the_endpoint(
    fraud, config, wye, server
) -> None:
    server.add("pods", pod("fraud-blue", "2"), pod("fraud-violet"))
    assert wye("top", "fraud", "--once", "--json", "--window", "0.2") == 0
    whole, blue, violet = wye.data["rows"]
    assert [row["queued"] for row in (whole, blue, violet)] == [8, 8, 4]
    assert whole["lostPerSecond"] == blue["lostPerSecond"] > 0


def test_what_nobody_says_is_not_nothing(fraud, config, wye, server) -> None:
    """The router cannot be asked, and violet has no instance: of neither it is known that it has no requests."""
    del server.objects["team", "pods"]["fraud-router-1"]
    assert wye("top", "fraud", "--once", "--json", "--window", "0.2") == 0
    whole, blue, violet = wye.data["rows"]
    for row in (whole, blue, violet):
        assert (row["requestsPerSecond"], row["errorShare"], row["p99Ms"], row["active"]) == (None, None, None, None)
    assert [row["queued"] for row in (whole, blue, violet)] == [4, 4, None]
    assert wye("top", "fraud", "--once", "--window", "0") == 0
    assert wye.out.splitlines()[2].split()[-8:-2] == ["1/1", "-", "-", "-", "-", "-"]


def test_where_no_endpoint_is_it_says_where_it_looked(config, wye) -> None:
    for words, where in (((), "in namespace team; -A looks in all"), (("-A",), "in any namespace")):
        assert wye("top", "--once", "--window", "0", *words) == 0
        assert (wye.out, wye.err) == ("", f"there is no Endpoint {where} (context dev)\n")


def test_a_pod_that_cannot_be_asked_is_said_once_and_the_rest_is_shown(fraud, config, wye, server) -> None:
    server.target = None
    assert wye("top", "--once", "--window", "0.1") == 0
    assert sorted(line.split()[2] for line in wye.err.splitlines()) == [
        "team/fraud-blue-model-1",
        "team/fraud-router-1",
    ]
    assert len(wye.out.splitlines()) == 4


def test_pods_of_a_node_that_is_lost_are_asked_at_the_same_time(fraud, config, wye, server) -> None:
    late = {f"fraud-blue-model-{number}" for number in range(2, 8)}
    server.late = set(late)  # none of them is answered before all were asked
    server.add("pods", *(pod("fraud-blue", str(number)) for number in range(2, 8)))
    assert wye("top", "fraud", "--once", "--json", "--window", "0") == 0
    assert server.late == set()
    assert {each["pod"] for each in wye.data["unreachable"]} <= late  # to the second look they answer


def test_a_port_forward_that_nobody_answers_is_given_up(fraud, config, server) -> None:
    server.lost = {"fraud-blue-model-1"}
    forward = connect(Access()).forward("team", "fraud-blue-model-1", 8081, 0.2)
    with pytest.raises(Unavailable, match=r"no port-forward to it within 0.2 s"), forward:
        pass


class Mute(socketserver.BaseRequestHandler):
    """A pod that stands still: it takes connections, and says nothing."""

    asked: list[bytes]

    def handle(self) -> None:
        while said := self.request.recv(65_536):
            self.asked.append(said)


def test_a_pod_that_stands_still_holds_up_a_look_for_its_patience_once(monkeypatch) -> None:
    monkeypatch.setattr(watching, "PATIENCE", 0.5)
    monkeypatch.setattr(watching, "HASTE", 0.1)
    handler = type("Handler", (Mute,), {"asked": []})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        still = watching.Pod("team", "fraud", "blue", "model", "one", f"127.0.0.1:{serving.server_address[1]}")
        with watching.watching(lambda: [still], None) as watch:
            for number in range(3):
                begun = time.monotonic()
                assert watch.look().silent == {still: "timed out"}
                assert time.monotonic() - begun >= (0.1 if number else 0.5)
        while len(handler.asked) < 3 and time.monotonic() < begun + 60:
            time.sleep(0.01)
        serving.shutdown()
    assert len(handler.asked) == 3


def test_another_server_has_no_port_to_ask_and_nothing_is_said_of_it(fraud, config, wye, server, pods) -> None:
    server.objects["team", "pods"]["fraud-blue-model-1"]["spec"]["containers"] = [{"ports": [{"name": "http"}]}]
    assert wye("top", "--once", "--window", "0") == 0
    assert wye.err == ""
    assert set(pods.asked) == {"/stats/prometheus"}


def test_who_may_not_look_into_pods_is_told_which_role_would_do(fraud, config, wye, server) -> None:
    server.forbidden.add("pods/portforward")
    assert wye("top", "--once", "--window", "0") == 1
    assert "ClusterRole edit" in wye.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--json",), "--json goes with --once"),
        (("fraud", "-A", "--once"), "do not go together"),
        (("other", "--once"), "there is no Endpoint other"),
        (("no/folder", "--once"), "there is no folder no/folder; must be"),
        ((".", "--once"), "no twin is running for .: wye local up . starts one"),
        ((".", "-A"), "a folder and -A do not go together"),
        (("fraud", "--state", "x"), "with --state it must be the folder of a twin (wye top DIR), and fraud is an"),
        (("--state", "x"), "with --state it must be the folder of a twin (wye top DIR), and none is named"),
    ],
)
def test_what_is_wrong_with_the_command_is_one_sentence(fraud, config, wye, words, told) -> None:
    assert wye("top", *words) == 1
    assert told in wye.err
    assert len(wye.err.splitlines()) == 1


def test_a_name_that_is_wrong_ends_what_would_go_on(fraud, config, wye) -> None:
    assert wye("top", "other") == 1
    assert "there is no Endpoint other" in wye.err
