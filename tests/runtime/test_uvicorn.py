"""What the fast lane leans on inside of uvicorn: a new version that changes one of these must be looked at."""

from __future__ import annotations

import inspect

import uvicorn
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import Server, ServerState

CALLBACKS = {
    "connection_made": ["transport"],
    "connection_lost": ["exc"],
    "data_received": ["data"],
    "on_message_begin": [],
    "on_url": ["url"],
    "on_header": ["name", "value"],
    "on_headers_complete": [],
    "on_body": ["body"],
    "on_message_complete": [],
    "on_response_complete": [],
    "resume_writing": [],
    "shutdown": [],
    "send_400_response": ["msg"],
    "_start_asgi_task": ["cycle", "app"],
    "_unsupported_upgrade_warning": [],
}
OF_A_CONNECTION = (
    "loop",
    "transport",
    "flow",
    "parser",
    "headers",
    "expect_100_continue",
    "cycle",
    "pipeline",
    "server_state",
)
OF_A_CYCLE = ("keep_alive", "response_started", "response_complete", "more_body")
OF_THE_FLOW = ("read_paused", "write_paused")


def test_the_version_is_the_one_that_was_looked_at() -> None:
    assert uvicorn.__version__.startswith("0.54.")


def test_the_callbacks_are_called_as_we_override_them() -> None:
    found = {name: [*inspect.signature(getattr(HttpToolsProtocol, name)).parameters][1:] for name in CALLBACKS}
    assert found == CALLBACKS


def test_the_attributes_are_there() -> None:
    for cls, names in (
        (HttpToolsProtocol, OF_A_CONNECTION),
        (RequestResponseCycle, OF_A_CYCLE),
        (FlowControl, OF_THE_FLOW),
    ):
        made_by_init = inspect.getsource(cls.__init__)
        assert [name for name in names if f"self.{name}" not in made_by_init] == []


def test_the_protocol_is_made_with_these_arguments() -> None:
    assert [*inspect.signature(HttpToolsProtocol).parameters] == ["config", "server_state", "app_state", "_loop"]
    assert "config.http_protocol_class(" in inspect.getsource(Server.startup)


def test_a_request_begins_with_its_message_and_is_dispatched_behind_its_headers() -> None:
    """The ordinary way is uvicorn's callbacks, called later: the scope must be made in the first of them."""
    begin, complete = (
        inspect.getsource(getattr(HttpToolsProtocol, f"on_{name}")) for name in ("message_begin", "headers_complete")
    )
    assert all(f"self.{name} = " in begin for name in ("url", "headers", "scope", "expect_100_continue"))
    assert "self._start_asgi_task(self.cycle, app)" in complete
    assert "self.pipeline.appendleft((self.cycle, app))" in complete
    assert "self.parser.feed_data(data)" in inspect.getsource(HttpToolsProtocol.data_received)


def test_an_answers_head_begins_like_uvicorns() -> None:
    assert httptools_impl.STATUS_LINE[404] == b"HTTP/1.1 404 Not Found\r\n"
    assert ServerState().default_headers == []
    assert "self.server_state.default_headers = date_header + " in inspect.getsource(Server.on_tick)
