"""`wye validate`: mistakes, warnings, objects, as text and as JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from api.texts import DEPLOYMENT, ENDPOINT, validated, written
from wye_operator.cli import validate


def test_all_mistakes_are_told_at_once_and_in_order(tmp_path: Path) -> None:
    wrong = ENDPOINT.replace("90", "ninety").replace("green: 10", "Green: 200") + "  failover: Retry\n"
    written(tmp_path, b__yaml=wrong, a__yaml="x: 1: 2")
    status, out = validated(tmp_path)
    assert status == 2
    assert out.splitlines() == [
        f"{tmp_path}/a.yaml:1: has a second ': ' or wrong indentation; put a text with ': ' in quotes",
        f"{tmp_path}/b.yaml:6: spec.traffic.blue: is 'ninety' (a string); must be a number from 0 to 100",
        f"{tmp_path}/b.yaml:7: spec.traffic.Green: is 200 (a number); must be a number from 0 to 100",
        f"{tmp_path}/b.yaml:7: spec.traffic.Green: is no name to use here; must be lower-case letters, digits and '-', "
        "beginning with a letter, ending with a letter or digit, at most 40 characters; use 'green'",
        f"{tmp_path}/b.yaml:8: spec.failover: is 'Retry'; must be Redistribute or Fail",
        "5 mistakes",
    ]


def test_what_is_not_there(tmp_path: Path) -> None:
    assert validated(tmp_path / "nowhere") == (2, f"{tmp_path}/nowhere: there is no such file or folder\n1 mistake\n")


def test_nothing_to_serve(tmp_path: Path) -> None:
    written(tmp_path, a__yaml="apiVersion: v1\nkind: Service\nmetadata: {name: x}\n")
    status, out = validated(tmp_path)
    assert (status, out) == (
        2,
        f"{tmp_path}: no Endpoint and no Deployment here\npassed over: {tmp_path}/a.yaml:1: Service of v1\n1 mistake\n",
    )


def test_folders_below_are_named_and_not_read(tmp_path: Path) -> None:
    for name in ("a", "b", ".git", "models"):
        (tmp_path / name).mkdir()
    written(tmp_path / "a", endpoint__yaml=ENDPOINT)
    written(tmp_path / "b", blue__yaml=DEPLOYMENT)
    written(tmp_path / ".git", c__yaml=ENDPOINT)
    told = "no Endpoint and no Deployment here; only the top level of a folder is read, so name"
    assert validated(tmp_path) == (2, f"{tmp_path}: {told} {tmp_path}/a, {tmp_path}/b\n1 mistake\n")


def test_warnings_are_no_mistakes(tmp_path: Path) -> None:
    stray = DEPLOYMENT.replace("endpointName: fraud", "endpointName: other").replace("fraud-blue", "stray")
    written(tmp_path, a__yaml=ENDPOINT + "  mirrorTraffic: {violet: 1}\n", b__yaml=DEPLOYMENT, c__yaml=stray)
    status, out = validated(tmp_path)
    absent = "names the Endpoint other, which is not among these manifests"
    there = "is no Deployment of this Endpoint among these manifests; there are: blue"
    assert status == 0
    assert out.splitlines() == [
        f"{tmp_path}/c.yaml:5: warning: spec.endpointName: {absent}",
        f"{tmp_path}/a.yaml:7: warning: spec.traffic.green: {there}",
        f"{tmp_path}/a.yaml:8: warning: spec.mirrorTraffic.violet: {there}",
        "3 objects are valid",
        f"  Endpoint fraud ({tmp_path}/a.yaml:1)",
        f"  Deployment fraud-blue ({tmp_path}/b.yaml:1)",
        f"  Deployment stray ({tmp_path}/c.yaml:1)",
    ]


def test_json_output(tmp_path: Path) -> None:
    written(tmp_path, a__yaml=ENDPOINT.replace("90", "80"))
    status, out = validated(tmp_path, output="json")
    assert (status, json.loads(out)) == (
        2,
        {
            "valid": False,
            "mistakes": [
                {
                    "file": f"{tmp_path}/a.yaml",
                    "line": 5,
                    "field": "spec.traffic",
                    "message": "adds up to 90; it must be 100, or 0 for no live traffic",
                }
            ],
            "warnings": [],
            "objects": [],
            "passedOver": [],
        },
    )


def test_the_command_is_wired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    validate.add_parser(parser.add_subparsers())
    args = parser.parse_args(["validate", str(written(tmp_path, a__yaml=ENDPOINT)), "--output", "json"])
    assert args.func(args) == 0
    assert json.loads(capsys.readouterr().out)["valid"] is True
