"""How a model's bytes, or a script's, reach a pod: mounted from a claim or a ConfigMap, or fetched before it starts.

configmap://models/blue.onnx   /model is the ConfigMap's one key, the model /model/blue.onnx
pvc://claim/fraud/3            /model is the claim, read-only,    the model /model/fraud/3
https://host/fraud.onnx        /model is empty, filled by         the model /model/model.onnx
                               `wye-runtime fetch`

A script's code is a folder at /var/azureml-app, as in Azure: all of a ConfigMap, or a folder of a claim.
"""

from __future__ import annotations

from dataclasses import dataclass

from wye_operator.render.resources import Json

FOLDER, VOLUME = "/model", "wye-model"
FETCHED = "model.onnx"  # what `wye-runtime fetch` calls it, whatever the address does


@dataclass(frozen=True, slots=True)
class Source:
    """The volume at its folder, the path of the model, and whether it has to be fetched."""

    volume: Json
    path: str
    fetched: bool = False
    at: str = FOLDER

    @property
    def mount(self) -> Json:
        """Where the model server has it."""
        return {"name": self.volume["name"], "mountPath": self.at, "readOnly": True}

    @property
    def writable_mount(self) -> Json:
        """Where the init container has it."""
        return {"name": VOLUME, "mountPath": FOLDER}


def source_of(uri: str) -> Source:
    """The source of a URI; the planner lets no other scheme come this far."""
    scheme, _, rest = uri.partition("://")
    name, _, path = rest.partition("/")
    path = path.strip("/")
    if scheme == "configmap":
        volume: Json = {"configMap": {"name": name, "items": [{"key": path, "path": path}]}}
        return Source({"name": VOLUME, **volume}, f"{FOLDER}/{path}")
    if scheme == "pvc":
        volume = {"persistentVolumeClaim": {"claimName": name, "readOnly": True}}
        return Source({"name": VOLUME, **volume}, f"{FOLDER}/{path}")
    if scheme == "https":
        return Source({"name": VOLUME, "emptyDir": {}}, f"{FOLDER}/{FETCHED}", fetched=True)
    raise ValueError(f"the source is {uri}, want configmap://, pvc:// or https://")


CODE_FOLDER, CODE_VOLUME = "/var/azureml-app", "wye-code"


def code_of(uri: str) -> Source:
    """The same of a script's code; its path is a folder."""
    scheme, _, rest = uri.partition("://")
    name, _, path = rest.partition("/")
    if scheme == "configmap":
        return Source({"name": CODE_VOLUME, "configMap": {"name": name}}, CODE_FOLDER, at=CODE_FOLDER)
    if scheme == "pvc":
        volume = {"persistentVolumeClaim": {"claimName": name, "readOnly": True}}
        return Source({"name": CODE_VOLUME, **volume}, f"{CODE_FOLDER}/{path.strip('/')}", at=CODE_FOLDER)
    raise ValueError(f"the code is {uri}, want configmap:// or pvc://")
