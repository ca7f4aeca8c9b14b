"""Which cluster: options, files, contexts, and a sentence for each way it can go wrong."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest

from wye_operator import settings
from wye_operator.cli import kubeconfig as module
from wye_operator.cli.kubeconfig import Access, find
from wye_operator.errors import WyeError

from . import things
from .conftest import kubeconfig


def write(path: Path, content: dict) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_the_options_win_over_the_context(home, monkeypatch):
    write(home / ".kube" / "config", kubeconfig("http://a", context="mine", namespace=None))
    assert find(Access()) == module.Found(str(home / ".kube" / "config"), "mine", "default")
    other = write(home / "other", kubeconfig("http://b", context="prod", namespace="shop"))
    monkeypatch.setenv("KUBECONFIG", str(other))
    assert find(Access()) == module.Found(str(other), "prod", "shop")
    assert find(Access(namespace="x")).namespace == "x"
    assert find(Access(kubeconfig=str(home / ".kube" / "config"))).name == "mine"


def test_of_several_files_the_first_says_what_is_current_and_missing_ones_do_not_matter(home, monkeypatch):
    first = write(home / "first", kubeconfig("http://a", context="one", namespace="a"))
    second = write(home / "second", kubeconfig("http://b", context="two", namespace="b"))
    monkeypatch.setenv("KUBECONFIG", f"{home / 'none'}:{first}:{second}")
    assert find(Access()).name == "one"
    assert find(Access(context="two")).namespace == "b"


def test_in_a_pod_it_is_the_service_account(home, monkeypatch):
    monkeypatch.setattr(settings, "own_namespace", lambda: "shop")
    assert find(Access()) == module.Found("", "", "shop")
    assert find(Access(namespace="other")).namespace == "other"
    with pytest.raises(WyeError, match="there is no context prod: there is no kubeconfig, only this pod's service"):
        find(Access(context="prod"))


@pytest.mark.parametrize(
    ("content", "options", "sentence"),
    [
        pytest.param(
            None,
            [],
            "there is no kubeconfig at ~/.kube/config; name a kubeconfig with --kubeconfig or $KUBECONFIG; "
            "for the twin of a folder: wye local status DIR\n",
            id="no kubeconfig",
        ),
        pytest.param(None, ["--kubeconfig", "none"], "there is no kubeconfig at none", id="the one that is named"),
        pytest.param("{", [], "{home}/.kube/config is not a kubeconfig", id="no YAML"),
        pytest.param("[1]", [], "{home}/.kube/config is not a kubeconfig", id="no kubeconfig in it"),
        pytest.param(
            json.dumps(kubeconfig("http://a")),
            ["--context", "prod"],
            "there is no context prod in {home}/.kube/config; there is: dev",
            id="an unknown context",
        ),
        pytest.param(
            json.dumps(kubeconfig("http://a") | {"current-context": ""}),
            [],
            "no context is chosen in {home}/.kube/config: name one with --context; there is: dev",
            id="no current context",
        ),
        pytest.param(
            json.dumps(kubeconfig("http://a") | {"clusters": []}),
            [],
            "{home}/.kube/config cannot be used: Invalid kube-config file. Expected object with name here in ",
            id="a context without its cluster",
        ),
        pytest.param(
            json.dumps(
                kubeconfig(
                    "http://a", exec={"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-login"}
                )
            ),
            [],
            "the credentials of context dev could not be had: [Errno 2] No such file or directory: 'no-such-login'",
            id="a credential plugin that is not there",
        ),
        pytest.param(
            json.dumps(
                kubeconfig(
                    "http://a",
                    exec={
                        "apiVersion": "client.authentication.k8s.io/v1",
                        "command": "sh",
                        "args": ["-c", "echo log in first >&2; exit 1"],
                    },
                )
            ),
            [],
            "the credentials of context dev could not be had: exec: process returned 1. log in first",
            id="a credential plugin that fails",
        ),
    ],
)
def test_what_is_wrong_with_a_kubeconfig_is_one_sentence(home, wye, content, options, sentence):
    if content is not None:
        (home / ".kube" / "config").write_text(content)
    assert wye("status", *options) == 1
    assert wye.err.startswith(f"wye: {sentence.format(home=home)}")
    assert wye.err.count("\n") == 1


def test_a_cluster_that_cannot_be_reached_is_named(home, wye):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    write(home / ".kube" / "config", kubeconfig(f"http://127.0.0.1:{port}"))
    assert wye("status") == 1
    assert wye.err == f"wye: context dev cannot be reached at http://127.0.0.1:{port}: [Errno 111] Connection refused\n"


def test_a_server_without_tls_behind_https_is_one_sentence(home, wye, url):
    write(home / ".kube" / "config", kubeconfig(url.replace("http:", "https:")))
    assert wye("status") == 1
    assert wye.err.startswith(f"wye: context dev cannot be reached at {url.replace('http:', 'https:')}: ")
    assert wye.err.count("\n") == 1


def test_credentials_that_are_not_accepted(config, wye, server):
    server.tokens = {"another"}
    assert wye("status") == 1
    assert wye.err == "wye: context dev does not accept its credentials (401): log in again\n"


def test_a_cluster_without_wye_says_how_to_install_it(config, wye, server):
    server.kinds -= {"mlendpoints", "mldeployments"}
    for command in (["status"], ["status", "fraud"], ["keys", "show", "fraud"], ["logs", "fraud"]):
        assert wye(*command) == 1
        assert wye.err == (
            "wye: context dev does not know mlendpoints.wye.dev: is Wye installed? "
            "helm install wye charts/wye -n wye-system --create-namespace\n"
        )


@pytest.mark.parametrize(
    ("resource", "command", "sentence"),
    [
        pytest.param(
            "mlendpoints",
            ["status"],
            'User "me" cannot list resource "mlendpoints" in API group "wye.dev" in the namespace "team"; '
            "the ClusterRole view, bound in namespace team, would allow it",
            id="status",
        ),
        pytest.param(
            "mlendpoints",
            ["status", "-A"],
            'User "me" cannot list resource "mlendpoints" in API group "wye.dev" at the cluster scope; '
            "the ClusterRole view, bound in all namespaces, would allow it",
            id="status of all namespaces",
        ),
        pytest.param(
            "secrets",
            ["keys", "show", "fraud"],
            'User "me" cannot get resource "secrets" in API group "" in the namespace "team"; '
            "the ClusterRole edit, bound in namespace team, would allow it",
            id="keys",
        ),
        pytest.param(
            "pods/log",
            ["logs", "fraud"],
            'User "me" cannot get resource "pods/log" in API group "" in the namespace "team"; '
            "the ClusterRole view, bound in namespace team, would allow it",
            id="logs",
        ),
        pytest.param(
            "pods/portforward",
            ["invoke", "fraud", "-f", "request.json"],
            'User "me" cannot create resource "pods/portforward" in API group "" in the namespace "team"; '
            "the ClusterRole edit, bound in namespace team, would allow it",
            id="invoke",
        ),
    ],
)
def test_what_is_forbidden_names_verb_resource_and_role(config, home, wye, server, resource, command, sentence):
    server.add("mlendpoints", things.endpoint())
    server.add("secrets", things.secret())
    server.add("pods", things.router())
    (home / "request.json").write_text("{}")
    server.forbidden.add(resource)
    assert wye(*command) == 1
    assert wye.err == f"wye: {sentence}\n"
    assert wye.out == ""


def test_without_the_client_the_sentence_says_what_to_install(config, wye, monkeypatch):
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    assert wye("status") == 1
    assert wye.err == "wye: this command needs the Kubernetes client: pip install 'wye-operator[cli]'\n"


def test_a_list_of_many_pages_is_read_to_its_end(config, wye, server, monkeypatch):
    monkeypatch.setattr(module, "PAGE", 2)
    server.add("mlendpoints", *(things.endpoint(f"e{number}") for number in range(5)))
    assert wye("status", "-o", "json") == 0
    assert [e["name"] for e in wye.data["endpoints"]] == ["e0", "e1", "e2", "e3", "e4"]
