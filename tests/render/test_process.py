"""Processes: arguments, environment, configuration."""

from __future__ import annotations

import pytest

from wye_operator.plan.wanted import Workload
from wye_operator.plan.world import Address
from wye_operator.render.process import (
    router_argv,
    runtime_argv,
    runtime_config,
    runtime_environment,
)

BLUE = Workload(
    deployment="fraud-blue",
    namespace="default",
    instances=2,
    uri="file:///models/fraud.onnx",
    content="",
    settings={
        "deployment": "default/fraud-blue",
        "model": {"name": "fraud", "version": "1", "sha256": None, "uri": "file:///m.onnx"},
        "warmup": {"requests": 3, "input": None},
    },
    environment={"WYE_LOG_SAMPLE": "0.1", "MALLOC_TRIM_THRESHOLD_": "1"},
    grace_seconds=5.0,
)


def test_the_runtimes_configuration_is_the_settings_and_where_the_model_is() -> None:
    assert runtime_config(BLUE, "/model/model.onnx") == (
        b'{"deployment":"default/fraud-blue",'
        b'"model":{"name":"fraud","path":"/model/model.onnx","sha256":null,"uri":"file:///m.onnx","version":"1"},'
        b'"warmup":{"input":null,"requests":3}}'
    )


def test_the_runtimes_command_line() -> None:
    argv = runtime_argv(
        ("python", "-m", "wye_runtime"),
        "/run/blue.json",
        Address("127.0.0.1", 8080),
        Address("127.0.0.1", 8081),
    )
    assert argv == (
        *("python", "-m", "wye_runtime", "serve", "--config", "/run/blue.json"),
        *("--host", "127.0.0.1", "--port", "8080", "--inner-port", "8081"),
    )


def test_two_hosts_for_one_runtime_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^the inner host is 127\.0\.0\.2, want 127\.0\.0\.1"):
        runtime_argv(("r",), "c", Address("127.0.0.1", 1), Address("127.0.0.2", 2))


def test_the_users_variables_win_over_ours() -> None:
    assert runtime_environment(BLUE) == {
        "MALLOC_MMAP_THRESHOLD_": "268435456",
        "MALLOC_TRIM_THRESHOLD_": "1",
        "WYE_LOG_SAMPLE": "0.1",
    }


def test_the_routers_command_line() -> None:
    assert router_argv("/opt/envoy", "/run/bootstrap.json", concurrency=2) == (
        *("/opt/envoy", "--config-path", "/run/bootstrap.json"),
        "--reject-unknown-dynamic-fields",
        "--disable-hot-restart",
        *("--concurrency", "2"),
        *("--drain-time-s", "5", "--drain-strategy", "immediate"),
        *("--log-level", "warning", "--log-format-escaped"),
        *("--component-log-level", "http:critical,misc:error"),
        *("--log-format", "%Y-%m-%dT%T.%e %l %v"),
        *("--file-flush-interval-msec", "500"),
    )
