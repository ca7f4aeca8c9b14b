"""How a model's bytes reach a pod: mounted from a claim or a ConfigMap, or fetched by an init container.

configmap://models/blue.onnx   /model is the ConfigMap's one key, the model /model/blue.onnx
pvc://claim/fraud/3            /model is the claim, read-only,    the model /model/fraud/3
https://host/fraud.onnx        /model is empty, filled by         the model /model/model.onnx
                               `wye-runtime fetch`
"""

from __future__ import annotations

from dataclasses import dataclass

from wye_operator.render.resources import Json

FOLDER, VOLUME = "/model", "wye-model"
FETCHED = "model.onnx"  # what `wye-runtime fetch` calls it, whatever the address does


@dataclass(frozen=True, slots=True)
class Source:
    """The volume at /model, the path of the model, and whether it has to be fetched."""

    volume: Json
    path: str
    fetched: bool = False

    @property
    def mount(self) -> Json:
        """Where the model server has it."""
        return {"name": VOLUME, "mountPath": FOLDER, "readOnly": True}

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
