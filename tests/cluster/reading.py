"""What the tests read again and again, without a kubectl for each time: a twentieth of its processor time.

Called by `kube.Cluster.json`. It reads through the client of our own command line.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wye_operator.cli.kubeconfig import Access, connect
from wye_operator.cluster.errors import ApiError
from wye_operator.cluster.kinds import EVENTS, KINDS, OURS, WORKLOADS, Kind

SHORT = {"mle": OURS[:1], "mld": OURS[1:], "wye": OURS, "deployment.apps": (WORKLOADS,)}
THEIRS = [kind for kind in KINDS if kind not in (*OURS, EVENTS)]  # of Events kubectl shows an older form
NAMED = {kind.plural: (kind,) for kind in (*OURS, *THEIRS)} | {kind.name.lower(): (kind,) for kind in THEIRS}
KNOWN: dict[str, tuple[Kind, ...]] = {**NAMED, **SHORT, "deployments.apps": (WORKLOADS,)}


class Reader:
    """`kubectl -n NAMESPACE get KINDS [NAME | -l SELECTOR]`, of the kinds that are known here."""

    def __init__(self, kubeconfig: Path) -> None:
        self._api = connect(Access(kubeconfig=str(kubeconfig)))

    def read(self, words: tuple[str, ...]) -> Any:
        """What kubectl would print as JSON; None: ask kubectl, which also says what is wrong."""
        match words:
            case ("-n", namespace, "get", what) if "/" in what:
                return self._read(namespace, *what.split("/"))
            case ("-n", namespace, "get", what):
                return self._read(namespace, what)
            case ("-n", namespace, "get", what, name) if not name.startswith("-"):
                return self._read(namespace, what, name)
            case ("-n", namespace, "get", what, "-l", labels):
                return self._read(namespace, what, labels=labels)
        return None

    def _read(self, namespace: str, what: str, name: str = "", labels: str = "") -> Any:
        kinds = [kind for each in what.split(",") for kind in KNOWN.get(each, ())]
        if len(kinds) < len(what.split(",")):
            return None
        try:
            if name:
                return as_kubectl(kinds[0], self._api.get(kinds[0], namespace, name))
            return {"items": list(self._all(kinds, namespace, labels))}
        except ApiError:  # the API server may just have been started anew, or there is no such object
            return None

    def _all(self, kinds: Iterable[Kind], namespace: str, labels: str) -> Iterable[Any]:
        for kind in kinds:
            for body in self._api.find(kind, namespace, labels=labels):
                yield as_kubectl(kind, body)

    def close(self) -> None:
        self._api.__exit__()


def as_kubectl(kind: Kind, body: Any) -> Any:
    """With the kind, which a list leaves out, and without who manages which field."""
    metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    return {**body, "apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
