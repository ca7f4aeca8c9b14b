"""A scoring script in a cluster: the example as it stands, an edit of its code, and code that fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest

from cluster.harness.places import CHECKOUT
from cluster.kube import Namespace
from cluster.serving import Served, waited

Figure = Callable[[str], None]
EXAMPLE = CHECKOUT / "examples/scoring-script"
BODY = (EXAMPLE / "request.json").read_text()
SCRIPT = (EXAMPLE / "code/score.py").read_text()
ASK = """
import sys, urllib.request
url, key, body = sys.argv[1:]
headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
with urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers), timeout=30) as answer:
    print(answer.headers["x-ms-run-function-failed"], answer.read().decode())
"""


@pytest.fixture
def churn(operator: str, namespace: Namespace) -> Served:
    """The example, applied by kustomize."""
    namespace.kubectl("apply", "-k", str(EXAMPLE))
    served = Served(namespace, "churn")
    served.ready()
    return served


def coded(served: Served, script: str) -> None:
    change = json.dumps({"data": {"score.py": script}})
    served.namespace.kubectl("patch", "configmap/churn-code", "--type=merge", "-p", change)


def test_an_edit_of_the_code_loses_nothing_and_one_that_fails_says_why(churn: Served, figure: Figure) -> None:
    served = churn

    def asked() -> str:
        return served.namespace.cluster.run(sys.executable, "-c", ASK, served.url, served.key, BODY).strip()

    served.answered(served.key)  # the node knows the Service
    assert asked() == "False [0.9191, 0.0232]"
    model = served.namespace.json("get", "mld", "churn-blue")["status"]["model"]
    assert (model["uri"], model["inputs"]) == ("configmap://churn-model/churn.json", [])
    with served.load(body=BODY) as load:
        before = served.pods("model")
        coded(served, SCRIPT.replace(".tolist()", ".tolist()[::-1]"))
        waited(lambda: not set(before) & set(served.pods("model")))
        served.ready()
        coded(served, SCRIPT.replace('"churn.json"', '"no-such.json"'))
        waited(lambda: served.reason("mld/churn-blue") == "UserScriptInitFailed")
    assert asked() == "False [0.0232, 0.9191]"
    figure(f"an edit of the code, and one that fails, under load: lost {load.lost} of {load.answers.total()}")
    served.lost_nothing(load)
    status = served.namespace.json("get", "mld", "churn-blue")["status"]
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    assert "/no-such.json" in ready["message"]
    assert "in init" in status["lastFailure"]["log"]
