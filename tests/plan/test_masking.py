"""Credentials in the words of other programs, as a table."""

from __future__ import annotations

import pytest

from wye_operator.plan.masking import masked


@pytest.mark.parametrize(
    ("text", "values", "shown"),
    [
        pytest.param("cannot open m.onnx", [], "cannot open m.onnx", id="what holds no credential stays"),
        pytest.param(
            "GET https://me:p@ss@host/m: 403", [], "GET https://…@host/m: 403", id="user and password of a URL"
        ),
        pytest.param("see https://host/a@b", [], "see https://host/a@b", id="an at sign in a path is none"),
        pytest.param("sent Bearer abc.def-1, got 401", [], "sent Bearer …, got 401", id="a bearer token"),
        pytest.param("authorization: Basic bWU6cA==", [], "authorization: Basic …", id="a basic one"),
        pytest.param('{"api-key": "k1"} api_key=k2&x=1', [], '{"api-key": "…"} api_key=…&x=1', id="an API key"),
        pytest.param("AWS_SECRET_ACCESS_KEY=abc/d+e", [], "AWS_SECRET_ACCESS_KEY=…", id="an access key"),
        pytest.param("password 'x' password=hunter2", [], "password 'x' password=…", id="a password"),
        pytest.param("no user hunter2", ["hunter2"], "no user …", id="a value of the environment"),
        pytest.param("hunter2-long", ["hunter2", "hunter2-long"], "…", id="the longest value first"),
        pytest.param("1 of 10", ["1", ""], "1 of 10", id="a value too short to be a secret stays"),
        pytest.param("key a\nb!", ["a\nb!"], "key …", id="a value of two lines"),
    ],
)
def test_masked(text, values, shown):
    assert masked(text, values) == shown
