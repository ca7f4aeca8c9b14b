"""The operator in the cluster: from `kubectl apply` to answers, and what it leaves alone."""

from __future__ import annotations

import time
from collections.abc import Callable

from cluster.kube import PATIENCE
from cluster.serving import Served, deployment, endpoint, settled, versions, waited

Figure = Callable[[str], None]


def test_from_apply_to_the_first_answer(served: Served, figure: Figure):
    begun = time.monotonic()
    served.namespace.apply(endpoint(), deployment("blue"))
    served.namespace.wait("create", "secret/fraud-keys", "service/fraud")
    key = served.key
    waited(lambda: served.ask(key)[0] == 200)
    figure(f"apply to first 200: {time.monotonic() - begun:.1f} s (goal 8 s)")
    served.ready()
    assert '"probability"' in served.answered(key)[1]
    assert served.answered("")[0] == 401
    assert served.traffic() == {"blue": 100}


def test_a_restart_of_the_operator_writes_nothing(served: Served, operator: str):
    served.apply(endpoint(), deployment("blue"))
    before = settled(served.namespace)
    cluster = served.namespace.cluster
    cluster.kubectl("-n", operator, "rollout", "restart", "deployment/wye")
    cluster.kubectl("-n", operator, "rollout", "status", "deployment/wye", f"--timeout={PATIENCE}s")
    time.sleep(10)
    assert versions(served.namespace) == before
