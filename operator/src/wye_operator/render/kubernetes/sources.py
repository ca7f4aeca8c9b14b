"""How a model's bytes, or a script's, reach a pod: mounted (a claim, a ConfigMap, an image) or fetched before it.

configmap://models/blue.onnx   /model is the ConfigMap's one key, the model /model/blue.onnx
pvc://claim/fraud/3            /model is the claim, read-only,    the model /model/fraud/3
https://host/fraud.onnx        /model is empty, filled by         the model /model/model.onnx
                               `wye-runtime fetch`
s3:// gs:// az:// hf:// oci:// the same, into a folder of it     the model /model, a folder:
                               that becomes /model whole         model.onnx, or its only *.onnx
oci:// with image volumes      /model is the image's /models     the same

A script's code is a folder at /var/azureml-app, as in Azure: all of a ConfigMap, a folder of a claim or of a store.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wye_operator.render.resources import Json

FOLDER, VOLUME = "/model", "wye-model"
FETCHED = "model.onnx"  # what `wye-runtime fetch` calls a file of https://, whatever the address does
WHOLE = "model"  # the folder that a fetch makes in the volume, in one step
IN_IMAGE = "models"  # where an image has its model


@dataclass(frozen=True, slots=True)
class Source:
    """The volume at its folder, the path of the model, and into which folder it is fetched, if it is."""

    volume: Json
    path: str
    fetched_to: str = ""
    part: Json = field(default_factory=dict)  # of the volume, where the server has not all of it
    at: str = FOLDER

    @property
    def mount(self) -> Json:
        """Where the model server has it."""
        return {"name": self.volume["name"], "mountPath": self.at, "readOnly": True, **self.part}

    @property
    def writable_mount(self) -> Json:
        """Where the init container has it."""
        name = self.volume["name"]
        return {"name": name, "mountPath": FOLDER if name == VOLUME else CODE_FOLDER}


def source_of(uri: str, *, image_volumes: bool = False) -> Source:
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
    if scheme == "oci" and image_volumes:
        volume = {"image": {"reference": rest, "pullPolicy": "IfNotPresent"}}
        return Source({"name": VOLUME, **volume}, FOLDER, part={"subPath": IN_IMAGE})
    empty: Json = {"name": VOLUME, "emptyDir": {}}
    if scheme == "https":
        return Source(empty, f"{FOLDER}/{FETCHED}", fetched_to=FOLDER)
    return Source(empty, FOLDER, fetched_to=f"{FOLDER}/{WHOLE}", part={"subPath": WHOLE})


CODE_FOLDER, CODE_VOLUME = "/var/azureml-app", "wye-code"


def code_of(uri: str, script: str) -> Source:
    """The same of a script's code; its path is a folder. What https:// brings is the script alone."""
    scheme, _, rest = uri.partition("://")
    name, _, path = rest.partition("/")
    if scheme == "configmap":
        return Source({"name": CODE_VOLUME, "configMap": {"name": name}}, CODE_FOLDER, at=CODE_FOLDER)
    if scheme == "pvc":
        volume = {"persistentVolumeClaim": {"claimName": name, "readOnly": True}}
        return Source({"name": CODE_VOLUME, **volume}, f"{CODE_FOLDER}/{path.strip('/')}", at=CODE_FOLDER)
    empty: Json = {"name": CODE_VOLUME, "emptyDir": {}}
    if scheme == "https":
        at = f"{CODE_FOLDER}/{script}"
        return Source(empty, CODE_FOLDER, fetched_to=CODE_FOLDER, part={"subPath": FETCHED}, at=at)
    part = {"subPath": WHOLE}
    return Source(empty, CODE_FOLDER, fetched_to=f"{CODE_FOLDER}/{WHOLE}", part=part, at=CODE_FOLDER)
