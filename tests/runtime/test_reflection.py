"""Reflection over HTTP/1.1: a call stays open, and each of its messages is answered before the next one comes."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

import toys
from wye_runtime.codecs.messages import CLASSES

METHOD = "/grpc.reflection.{}.ServerReflection/ServerReflectionInfo"
SERVICES = [
    "inference.GRPCInferenceService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
    "grpc.reflection.v1.ServerReflection",
]
LIST = {"list_services": ""}


class Call:
    """An open call."""

    def __init__(self, wire: socket.socket, version: str) -> None:
        self.wire = wire
        self.stream = wire.makefile("rb")
        lines = [f"POST {METHOD.format(version)} HTTP/1.1", "host: a", "content-type: application/grpc"]
        wire.sendall("\r\n".join([*lines, "transfer-encoding: chunked", "", ""]).encode())

    def send(self, *messages: bytes) -> None:
        frames = b"".join(b"\0" + struct.pack(">I", len(each)) + each for each in messages)
        self.wire.sendall(b"%x\r\n%b\r\n" % (len(frames), frames))

    def ask(self, **what: str) -> None:
        self.send(CLASSES["ServerReflectionRequest"](host="h", **what).SerializeToString())

    def end(self) -> None:
        self.wire.sendall(b"0\r\n\r\n")

    def lines(self) -> dict[str, str]:
        """Headers or trailers."""
        found = {}
        while line := self.stream.readline().strip():
            name, _, value = line.decode().partition(": ")
            found[name] = value
        return found

    def message(self) -> object:
        """The next answer, None at the end."""
        size = int(self.stream.readline(), 16)
        if not size:
            return None
        frame = self.stream.read(size + 2)
        return CLASSES["ServerReflectionResponse"].FromString(frame[5:-2])


@pytest.fixture
def server(servers):
    return servers.one("reflection", toys.passing, requestSettings={"requestTimeoutMs": 500})


@contextmanager
def opened(server, version: str = "v1") -> Iterator[Call]:
    with socket.create_connection(("127.0.0.1", server.port), 30) as wire:
        yield Call(wire, version)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_each_question_is_answered_before_the_next_one_comes(server, version) -> None:
    with opened(server, version) as call:
        call.ask(**LIST)
        assert call.lines()["transfer-encoding"] == "chunked"
        first = call.message()
        assert [each.name for each in first.list_services_response.service] == SERVICES
        assert (first.valid_host, first.original_request.host) == ("h", "h")
        call.ask(file_containing_symbol="inference.ModelInferRequest.InferInputTensor")
        [by_symbol] = call.message().file_descriptor_response.file_descriptor_proto
        call.ask(file_by_filename="inference.proto")
        [by_name] = call.message().file_descriptor_response.file_descriptor_proto
        assert by_symbol == by_name
        call.end()
        assert (call.message(), call.lines()) == (None, {"grpc-status": "0"})
        assert server.load()["active"] == 0


def test_what_is_told_describes_the_protocol(server) -> None:
    with opened(server) as call:
        call.ask(file_containing_symbol="inference.GRPCInferenceService")
        call.lines()
        [told] = call.message().file_descriptor_response.file_descriptor_proto
    pool = descriptor_pool.DescriptorPool()
    pool.Add(descriptor_pb2.FileDescriptorProto.FromString(told))
    service = pool.FindServiceByName("inference.GRPCInferenceService")
    assert sorted(method.name for method in service.methods) == sorted(
        ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
    )
    request = service.FindMethodByName("ModelInfer").input_type
    assert request.fields_by_name["parameters"].message_type.GetOptions().map_entry
    choice = pool.FindMessageTypeByName("inference.InferParameter").oneofs_by_name["parameter_choice"]
    assert len(choice.fields) == 5


UNKNOWN = {
    "a symbol": {"file_containing_symbol": "inference.Nothing"},
    "a file": {"file_by_filename": "nothing.proto"},
    "extensions": {"all_extension_numbers_of_type": "inference.InferParameter"},
    "nothing at all": {},
}


@pytest.mark.parametrize("asked", UNKNOWN.values(), ids=UNKNOWN)
def test_who_asks_for_what_is_not_there_is_told_so_and_goes_on(server, asked) -> None:
    with opened(server) as call:
        call.ask(**asked)
        call.lines()
        assert call.message().error_response.error_code == 5
        call.ask(**LIST)
        assert call.message().list_services_response.service


def test_many_questions_at_once_and_one_in_pieces(server) -> None:
    asked = CLASSES["ServerReflectionRequest"](**LIST).SerializeToString()
    with opened(server) as call:
        call.send(asked, asked)
        frame = b"\0" + struct.pack(">I", len(asked)) + asked
        for byte in frame:
            call.wire.sendall(b"1\r\n%c\r\n" % byte)
        call.end()
        call.lines()
        assert [bool(call.message()) for _ in range(4)] == [True] * 3 + [False]


def test_nonsense_ends_the_call(server) -> None:
    with opened(server) as call:
        call.send(b"\xff\xff")
        assert call.lines()["grpc-status"] == "3"
    with opened(server) as call:
        call.ask(**LIST)
        call.lines()
        assert call.message()
        call.send(b"\xff\xff")
        assert call.message() is None
        assert call.lines()["grpc-status"] == "3"


def test_a_call_that_ends_within_a_message_is_no_whole_call(server) -> None:
    with opened(server) as call:
        call.ask(**LIST)
        call.lines()
        assert call.message()
        call.wire.sendall(b"3\r\n\0\0\0\r\n")
        call.end()
        assert call.message() is None
        assert call.lines()["grpc-status"] == "3"


def test_a_call_that_says_nothing_for_too_long_ends(server) -> None:
    with opened(server) as call:
        call.ask(**LIST)
        call.lines()
        assert call.message()
        assert call.message() is None
        trailers = call.lines()
        assert trailers["grpc-status"] == "4"
        assert "nothing more of the body came for 500 ms" in trailers["grpc-message"]


def test_a_call_without_end_ends(server) -> None:
    with opened(server) as call:
        for _ in range(3):
            call.send(b"\x3a\x00" * 15_000)
        told = call.lines()
        while call.message():
            pass
        assert (told.get("grpc-status"), call.lines()["grpc-status"]) == (None, "8")


def test_who_goes_leaves_nothing_behind(server, wait_until) -> None:
    with opened(server) as call:
        call.ask(**LIST)
        call.lines()
        assert call.message()
    gone = f'wye_requests_total{{code="499",route="{METHOD.format("v1")}",traffic="live"}}'
    wait_until(lambda: server.metric(gone) > 0)
    assert server.http.get("/healthz").status_code == 200
