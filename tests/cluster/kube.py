"""kubectl for the tests: the cluster, a namespace of one test, and what is kept of it when the test fails."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .asker import Asker
from .harness.machine import Backend
from .harness.say import PATIENCE
from .reading import Reader

Manifest = Mapping[str, Any]
TEST_LABEL = "wye.dev/test"
# what the API promises of every pod: "restricted"
NAMESPACE_LABELS = {TEST_LABEL: "true", "pod-security.kubernetes.io/enforce": "restricted"}


class KubectlFailed(AssertionError):
    """kubectl said no; the message is all it said."""


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    backend: Backend
    env: Mapping[str, str]

    @classmethod
    def of(cls, backend: Backend) -> Cluster:
        env = {"KUBECONFIG": str(backend.kubeconfig()), "PATH": backend.programs()}
        return cls(backend, os.environ | env)

    def attempt(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl, whatever becomes of it."""
        return subprocess.run(["kubectl", *words], input=stdin, capture_output=True, text=True, env=self.env)

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """What kubectl prints; a refusal fails the test with kubectl's words."""
        done = self.attempt(*words, stdin=stdin)
        if done.returncode:
            raise KubectlFailed(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def json(self, *words: str) -> Any:
        """`kubectl ... -o json`, parsed; what is asked for most often is read without it."""
        found = self._reader.read(words)
        return json.loads(self.kubectl(*words, "-o", "json")) if found is None else found

    @cached_property
    def _reader(self) -> Reader:
        return Reader(self.backend.kubeconfig())

    @cached_property
    def asker(self) -> Asker:
        """Who calls an Endpoint from inside the cluster's network."""
        return Asker(self.backend.run)

    def close(self) -> None:
        """End what was begun for the questions of the tests."""
        self.asker.close()
        self._reader.close()

    def apply(self, *manifests: Manifest, options: Sequence[str] = ()) -> str:
        """Server-side apply, as Flux and Argo CD do it."""
        return self.kubectl("apply", "--server-side", *options, "-f", "-", stdin=as_list(manifests))

    def load(self, *images: str) -> None:
        """Archives, or images of this machine's store, into the node."""
        self.backend.load(images)

    def run(self, *argv: str) -> str:
        """What a program prints that runs in the cluster's network, with this machine's files."""
        done = subprocess.run(self.backend.run(argv), capture_output=True, text=True, env=self.env)
        if done.returncode:
            raise AssertionError(f"{' '.join(argv)}: {done.stderr.strip()}")
        return done.stdout

    @contextmanager
    def namespace(self, name: str, labels: Mapping[str, str] = NAMESPACE_LABELS) -> Iterator[Namespace]:
        """A namespace for as long as the block lasts; its deletion begins then and takes half a minute."""
        metadata = {"name": name, "labels": dict(labels)}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        self.kubectl("wait", "--for=create", "serviceaccount/default", "-n", name, f"--timeout={PATIENCE}s")
        try:
            yield Namespace(self, name)
        finally:
            self.kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")

    def remove_namespaces(self) -> None:
        """Delete the tests' namespaces and wait until nothing of them is left."""
        done = self.attempt("delete", "namespace", "-l", TEST_LABEL, f"--timeout={2 * PATIENCE}s")
        if done.returncode:
            left = "custom-columns=NAME:.metadata.name,WHY:.status.conditions[*].message"
            words = self.attempt("get", "namespace", "-l", TEST_LABEL, "-o", left).stdout
            raise AssertionError(f"namespaces of tests do not go away: {done.stderr.strip()}\n{words}")


@dataclass(frozen=True)
class Namespace:
    """The namespace of one test."""

    cluster: Cluster
    name: str

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl("-n", self.name, *words, stdin=stdin)

    def attempt(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return self.cluster.attempt("-n", self.name, *words, stdin=stdin)

    def json(self, *words: str) -> Any:
        return self.cluster.json("-n", self.name, *words)

    def apply(self, *manifests: Manifest, options: Sequence[str] = ()) -> str:
        return self.cluster.apply(*manifests, options=["-n", self.name, *options])

    def wait(self, condition: str, *what: str, seconds: int = PATIENCE) -> None:
        """`kubectl wait`: a condition such as `condition=Ready` or `jsonpath={.status.phase}=Succeeded`."""
        self.kubectl("wait", f"--for={condition}", *what, f"--timeout={seconds}s")

    def collect(self, folder: Path) -> None:
        """Keep its objects, events and logs, and the tail of the components' logs."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        kinds = self.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
        objects = [kind for kind in kinds if kind != "secrets" and not kind.startswith("events")]
        self._keep(folder / "objects.yaml", "get", ",".join(objects), "-o", "yaml", "--ignore-not-found")
        self._keep(folder / "objects.txt", "get", ",".join(objects), "-o", "wide", "--ignore-not-found")
        self._keep(folder / "events.txt", "get", "events", "--sort-by=.lastTimestamp")
        for pod in self.kubectl("get", "pods", "-o", "name").split():
            name = pod.removeprefix("pod/")
            self._keep(folder / f"{name}.log", "logs", pod, "--all-containers", "--prefix")
            self._keep(folder / f"{name}.previous.log", "logs", pod, "--all-containers", "--prefix", "--previous")
        operator = ("-l", "app.kubernetes.io/name=wye-operator", "--tail=-1", "--prefix")
        self._keep(folder / "operator.log", "-n", "wye-system", "logs", *operator)
        self._keep(folder / "operator.previous.log", "-n", "wye-system", "logs", "--previous", *operator)
        for log in self.cluster.backend.logs():
            (folder / f"node-{log.name}").write_bytes(log.read_bytes()[-200_000:])

    def _keep(self, file: Path, *words: str) -> None:
        done = self.attempt(*words)
        if text := done.stdout or done.stderr:
            file.write_text(text)


def as_list(manifests: Sequence[Manifest]) -> str:
    """Manifests as one document that kubectl reads."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})


def namespace_name(test: str) -> str:
    """A namespace's name for a test: readable, and another one for tests that begin alike and for the next run."""
    words = re.sub(r"[^a-z0-9]+", "-", test.lower().removeprefix("test_")).strip("-")
    digest = hashlib.sha256(f"{test} {os.getpid()}".encode()).hexdigest()
    return f"t-{words[:48].strip('-')}-{digest[:8]}"
