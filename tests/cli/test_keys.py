"""`wye keys show`: the keys, and nothing else on stdout."""

from __future__ import annotations

import base64

import pytest

from .things import endpoint, secret


@pytest.fixture
def fraud(server):
    server.add("mlendpoints", endpoint())
    server.add("secrets", secret())


@pytest.mark.parametrize(
    ("options", "out"),
    [
        pytest.param([], "primary    first-key\nsecondary  second-key\n", id="both, with their names"),
        pytest.param(["--key", "primary"], "first-key\n", id="one, for a script"),
        pytest.param(["--key", "secondary"], "second-key\n", id="the other"),
        pytest.param(
            ["-o", "json"], '{\n  "primaryKey": "first-key",\n  "secondaryKey": "second-key"\n}\n', id="as data"
        ),
        pytest.param(["-o", "json", "--key", "primary"], '{\n  "primaryKey": "first-key"\n}\n', id="one, as data"),
    ],
)
def test_keys_are_printed(fraud, config, wye, options, out):
    assert wye("keys", "show", "fraud", *options) == 0
    assert (wye.out, wye.err) == (out, "")


def test_the_secret_that_the_endpoint_names_is_read(config, wye, server):
    server.add("mlendpoints", endpoint(spec={"keys": {"secretName": "mine"}}))
    server.add("secrets", secret("mine", "a", "b"), secret())
    assert wye("keys", "show", "fraud", "-n", "team", "--key", "primary") == 0
    assert wye.out == "a\n"


@pytest.mark.parametrize(
    ("spec", "data", "sentence"),
    [
        pytest.param({"authMode": "None"}, None, "fraud asks for no key: its authMode is None", id="open"),
        pytest.param({"authMode": "Token"}, None, "Endpoint fraud has no keys: its authMode is Token", id="tokens"),
        pytest.param(
            {},
            None,
            "there is no Secret fraud-keys in namespace team yet: wye status fraud says what is waited for",
            id="no Secret",
        ),
        pytest.param({}, {}, "Secret fraud-keys has no primaryKey", id="no key in it"),
        pytest.param(
            {},
            {"primaryKey": "", "secondaryKey": "Yg=="},
            "a key in Secret fraud-keys is empty",
            id="an empty key",
        ),
        pytest.param(
            {},
            {"primaryKey": base64.b64encode(b"\xff").decode()},
            "a key in Secret fraud-keys is not text",
            id="a key that is no text",
        ),
    ],
)
def test_without_keys_nothing_is_printed_but_why(config, wye, server, spec, data, sentence):
    server.add("mlendpoints", endpoint(spec=spec))
    if data is not None:
        server.add("secrets", secret() | {"data": data})
    assert wye("keys", "show", "fraud") == 1
    assert (wye.out, wye.err) == ("", f"wye: {sentence}\n")


def test_an_endpoint_that_is_not_there_is_told_with_those_that_are(fraud, config, wye):
    assert wye("keys", "show", "other") == 1
    assert wye.err == "wye: there is no Endpoint other in namespace team of context dev; there is: fraud\n"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        pytest.param(
            ["http://x"], 2, "http://x is a URL; must be an Endpoint of a cluster, or the folder of a twin", id="a URL"
        ),
        pytest.param(
            ["fraud", "--state", "x"],
            1,
            "with --state it must be the folder of a twin (wye keys show DIR), and fraud is an Endpoint of a cluster",
            id="an option of folders",
        ),
        pytest.param(
            ["examples/fraud", "-n", "team", "--context", "dev"],
            1,
            "with -n and --context it must be an Endpoint of a cluster, and examples/fraud is no Endpoint's name; "
            "for the twin of a folder: wye keys show examples/fraud\n",
            id="a folder with -n",
        ),
        pytest.param(
            ["examples/fraud"],
            1,
            "there is no folder examples/fraud; must be the folder of a twin, or an Endpoint's name",
            id="a folder that is not there",
        ),
        pytest.param(["."], 1, "no twin is running for .: wye local up . starts one\n", id="a folder"),
    ],
)
def test_what_is_no_endpoint_is_said(fraud, config, wye, arguments, code, sentence):
    assert wye("keys", "show", *arguments) == code
    assert sentence in wye.err


def test_a_folder_wins_over_an_endpoint_of_its_name_until_a_namespace_is_given(fraud, config, home, wye):
    (home / "fraud").mkdir()
    assert wye("keys", "show", "fraud") == 1
    assert wye.err == (
        "wye: no twin is running for fraud: wye local up fraud starts one; "
        "for the Endpoint fraud of a cluster, name its namespace: -n NAMESPACE\n"
    )
    assert wye("keys", "show", "fraud", "-n", "team", "--key", "primary") == 0
    assert wye.out == "first-key\n"
    assert wye("keys", "show", "fraud", "--context", "dev", "--key", "primary") == 0


def test_the_name_may_be_written_as_kubectl_does(fraud, config, wye):
    assert wye("keys", "show", "mle/fraud", "--key", "primary") == 0
    assert wye.out == "first-key\n"


def test_a_file_of_an_endpoints_name_is_no_obstacle(fraud, config, home, wye):
    (home / "fraud").touch()
    assert wye("keys", "show", "fraud") == 0
