"""Wye and its examples without Helm."""

import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_the_plain_manifests_are_the_chart(helm) -> None:
    text = (ROOT / "deploy/wye.yaml").read_text()
    rendered = helm.objects("--skip-tests", "--set", "crds.install=false")
    assert [each for each in yaml.safe_load_all(text) if each] == rendered, "run: make manifests"


def test_the_kustomization_builds(kustomize) -> None:
    kinds = {each["kind"] for each in kustomize(ROOT / "deploy")}
    assert {"Namespace", "CustomResourceDefinition", "Deployment", "ClusterRole"} <= kinds


def test_the_fraud_example_is_valid_in_a_cluster(kustomize, tmp_path) -> None:
    """With models of any content: what counts is that each manifest finds its key."""
    folder = tmp_path / "fraud"
    shutil.copytree(ROOT / "examples/fraud", folder, ignore=shutil.ignore_patterns("models", ".wye", "__pycache__"))
    (folder / "models").mkdir()
    for name in ("blue", "green", "violet"):
        (folder / f"models/{name}.onnx").write_bytes(b"\xff" + name.encode())
    objects = kustomize(folder)
    (models,) = [each for each in objects if each["kind"] == "ConfigMap"]
    uris = {each["spec"]["model"]["uri"] for each in objects if each["kind"] == "Deployment"}
    assert uris == {f"configmap://{models['metadata']['name']}/{key}" for key in models["binaryData"]}
    built = tmp_path / "built"
    built.mkdir()
    (built / "all.yaml").write_text(yaml.safe_dump_all(objects))
    program = [sys.executable, "-m", "wye_operator.cli.main", "validate", str(built)]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_names_reach_our_objects(kustomize, tmp_path) -> None:
    """namePrefix and the hashes of generated objects, by the configuration that users copy."""
    shutil.copy(ROOT / "deploy/namereference.yaml", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(
        "namePrefix: blue-\nconfigurations: [namereference.yaml]\nresources: [all.yaml]\n"
        "configMapGenerator: [{name: settings, literals: [a=b]}]\nsecretGenerator: [{name: login, literals: [a=b]}]\n"
    )
    head = {"apiVersion": "wye.dev/v1alpha1"}
    endpoint = {**head, "kind": "Endpoint", "metadata": {"name": "e"}, "spec": {"keys": {"secretName": "login"}}}
    spec = {
        "endpointName": "e",
        "model": {"uri": "https://host/m", "secretName": "login"},
        "environmentFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "login"}}],
        "pod": {"serviceAccountName": "runner", "imagePullSecrets": [{"name": "login"}]},
    }
    deployment = {**head, "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "runner"}}
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all([endpoint, deployment, account]))
    made = {each["kind"]: each for each in kustomize(tmp_path)}
    secret, settings = made["Secret"]["metadata"]["name"], made["ConfigMap"]["metadata"]["name"]
    assert secret.startswith("blue-login-")
    assert made["Endpoint"]["spec"]["keys"]["secretName"] == secret
    assert made["Deployment"]["spec"] == {
        "endpointName": "blue-e",
        "model": {"uri": "https://host/m", "secretName": secret},
        "environmentFrom": [{"configMapRef": {"name": settings}}, {"secretRef": {"name": secret}}],
        "pod": {"serviceAccountName": "blue-runner", "imagePullSecrets": [{"name": secret}]},
    }
