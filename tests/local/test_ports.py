"""Which Endpoint gets which port, in one run and in the next ones."""

from __future__ import annotations

import socket

import pytest

from ports import free_port
from wye_operator.local.ports import PortInUse, Ports
from wye_operator.local.state import State


@pytest.fixture
def state(tmp_path):
    state = State(tmp_path / ".wye")
    state.hold()
    yield state
    state.release()


@pytest.fixture
def run(state):
    """One run of a twin: the ports of these Endpoints, in the order in which they are taken."""

    def taken(asked: int | None, *endpoints: str) -> list[int]:
        ports = Ports(asked, state)
        try:
            return [ports.take(endpoint).getsockname()[1] for endpoint in endpoints]
        finally:
            ports.close()

    return taken


def test_a_port_once_given_is_kept_when_a_new_endpoint_comes_first(run):
    port = free_port()
    [beta] = run(port, "beta")
    alpha, again = run(port, "alpha", "beta")
    assert (beta, again) == (port, port)
    assert alpha != port
    assert run(None, "alpha", "beta") == [alpha, port]
    assert run(port, "alpha", "beta") == [alpha, port]


def test_a_port_that_is_asked_for_and_nobody_has_goes_to_the_first(run):
    first, *_, second = (free_port() for _ in range(9))  # beta has the one after the first
    alpha, beta = run(first, "alpha", "beta")
    assert alpha == first
    assert run(second, "alpha", "beta") == [second, beta]


def test_an_endpoint_that_is_new_does_not_take_a_port_that_another_one_had(run, state):
    first = free_port()
    state.keep_port("beta", first + 1)
    alpha, gamma = run(first, "alpha", "gamma")
    assert alpha == first
    assert gamma != first + 1


def test_a_kept_port_in_use_by_another_program_is_said(run):
    port = free_port()
    run(port, "beta")
    with socket.create_server(("127.0.0.1", port)), pytest.raises(PortInUse) as error:
        run(None, "beta")
    assert str(error.value) == f"port {port} is in use by another program, try --port {port + 10}"


def test_the_port_of_an_endpoint_that_left_the_folder_is_free_again(run, state):
    port = free_port()
    run(port, "old")
    state.keep_ports(["new"])
    assert run(port, "new") == [port]


def test_no_free_port_says_which_were_tried(state, monkeypatch):
    ports = Ports(free_port(), state)
    first = ports.take("alpha").getsockname()[1]
    monkeypatch.setattr("wye_operator.local.ports.reserve", lambda port: None)
    with pytest.raises(PortInUse) as error:
        ports.take("beta")
    ports.close()
    last = min(first + 100, 65535)
    assert str(error.value) == f"no port is free; tried {first + 1} to {last}"


def test_any_port_will_do_when_zero_is_asked_for(run):
    alpha, beta = run(0, "alpha", "beta")
    assert len({alpha, beta} - {0}) == 2
