"""An address of a model or a script that is none: what would be right."""

from __future__ import annotations

import re

import pytest

from wye_operator.api.script import CODE
from wye_operator.api.uris import URI

HINTS = {
    "models/blue.onnx": "use 'file://models/blue.onnx'",
    "/models/blue.onnx": "use 'file:///models/blue.onnx'",
    "S3://models/fraud": "write s3://BUCKET/PATH",
    "s3:/models/fraud": "write s3://BUCKET/PATH",
    "gcs://models/fraud": "write gs://BUCKET/PATH",
    "abfss://models@account.dfs.core.windows.net/fraud": "write az://CONTAINER/PATH (the account is ",
    "huggingface://org/repo": "write hf://ORG/REPO/FILE@REVISION",
    "docker://registry.example/fraud:3": "write oci://HOST/NAME:TAG or oci://HOST/NAME@sha256:…",
    "http://models.example/fraud.onnx": "only https:// is fetched",
    "https://models.example": "write https://HOST/PATH",
    "azureml:fraud:3": "a registered model is in a container of the workspace's storage account: name that by az://",
    "models:/fraud/3": "MLflow's registry is not asked: name the folder that it keeps the model in",
    "pvc://models": "write pvc://CLAIM/PATH",
    "configmap://models": "write configmap://NAME/KEY",
    "file://": "a path is missing",
    "ftp://models.example/fraud": "",
    "": "a path is missing",
}


@pytest.mark.parametrize("uri", HINTS)
def test_what_to_write_instead(uri: str) -> None:
    assert re.fullmatch(URI.pattern, uri) is None
    assert URI.hint(uri).startswith(HINTS[uri])
    assert bool(URI.hint(uri)) == bool(HINTS[uri])


def test_a_configmap_of_code_is_a_whole_folder() -> None:
    assert CODE.hint("configmap://code/score.py") == ("the whole ConfigMap is the folder: use 'configmap://code'")
    assert CODE.hint("gcs://code/churn") == "write gs://BUCKET/PATH"
