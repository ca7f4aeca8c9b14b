"""The flags of `wye operator`: what cannot be is exit code 2, with a sentence."""

from __future__ import annotations

import sys

import pytest

from wye_operator.cli.main import main, parser

IMAGES = ("operator", "--runtime-image", "r", "--router-image", "e")


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--port=99999", "99999 is no port; must be a number from 0 to 65535"),
        ("--workers=0", "'0' is not a whole number of at least 1"),
        ("--upgrade-max-concurrent=0", "'0' is not a whole number of at least 1"),
        ("--progress-deadline=-1", "-1 is no time; must be a number of seconds, 0 or more"),
        ("--endpoint-grace=soon", "soon is no time; must be a number of seconds, 0 or more"),
        ("--image-pull-policy=Sometimes", "invalid choice: 'Sometimes'"),
        ("--metrics-from=x", "'x' is no list of a NetworkPolicy's peers; must be like [{"),
        ("--metrics-from={}", "'{}' is no list of a NetworkPolicy's peers; must be like [{"),
    ],
)
def test_a_flag_that_cannot_be(flag, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*IMAGES, flag])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_deep_object_does_not_end_it(monkeypatch):
    before, during = sys.getrecursionlimit(), []

    def serve(coroutine):
        coroutine.close()
        during.append(sys.getrecursionlimit())

    monkeypatch.setattr("asyncio.run", serve)
    monkeypatch.setattr("wye_operator.cli.operator.log_as_json", lambda **_: None)
    try:
        assert main([*IMAGES]) == 0
    finally:
        sys.setrecursionlimit(before)
    assert during[0] > 2 * 10_000


def test_peers_are_read():
    given = parser("operator").parse_args([*IMAGES, '--metrics-from=[{"podSelector": {}}]'])
    assert given.metrics_from == ({"podSelector": {}},)
