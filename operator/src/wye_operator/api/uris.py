"""Where models and scripts may be: the schemes, and what an address of each looks like."""

from __future__ import annotations

from wye_operator.api.base import Text

FORMS = {  # of the schemes that are fetched, beside https://
    "s3": "s3://BUCKET/PATH",
    "gs": "gs://BUCKET/PATH",
    "az": "az://CONTAINER/PATH (the account is AZURE_STORAGE_ACCOUNT_NAME of model.secretName)",
    "hf": "hf://ORG/REPO/FILE@REVISION",
    "oci": "oci://HOST/NAME:TAG or oci://HOST/NAME@sha256:…",
}
FETCHED = ("https", *FORMS)  # by `wye-runtime fetch`, in a cluster and in the twin alike
FETCHED_FROM = f"^({'|'.join(FETCHED)})://"

NAME = "[a-z0-9]([-.a-z0-9]*[a-z0-9])?"  # of a ConfigMap or a claim
WEB = r"https://[-.a-zA-Z0-9]+(:[0-9]+)?/[^ ]+"  # no user and no password
BUCKET = r"(s3|gs|az)://[a-z0-9$][-._a-z0-9]{1,221}/.+"
HUB = r"hf://[-._a-zA-Z0-9]+/[-._a-zA-Z0-9]+(/[^@]+)?(@[^@ ]+)?"
REGISTRY = (
    r"oci://[-.a-zA-Z0-9]+(:[0-9]+)?/[a-z0-9][-._/a-z0-9]*(:[a-zA-Z0-9_][-._a-zA-Z0-9]{0,127})?(@sha256:[0-9a-f]{64})?"
)
ELSEWHERE = f"pvc://{NAME}/.+|{WEB}|{BUCKET}|{HUB}|{REGISTRY}"  # whatever is neither a file here nor a ConfigMap


MOUNTED = {"configmap": "configmap://NAME/KEY", "pvc": "pvc://CLAIM/PATH", "https": "https://HOST/PATH"}
ELSEWHERES_WORDS = {  # for the same kind of place
    **{"gcs": "gs", "huggingface": "hf", "docker": "oci", "s3a": "s3", "s3n": "s3"},
    **dict.fromkeys(("abfs", "abfss", "wasb", "wasbs"), "az"),
}
NO_PLACES = {
    "http": "only https:// is fetched",
    "azureml": "a registered model is in a container of the workspace's storage account: name that by az://CONTAINER/PATH",
    "models": "MLflow's registry is not asked: name the folder that it keeps the model in",
}


def uri_hint(uri: str) -> str:
    """What to write instead of a path, of what others call such a place, or of an address that is not whole."""
    scheme, colon, rest = uri.partition(":")
    scheme = ELSEWHERES_WORDS.get(scheme.lower(), scheme.lower())
    form = {**MOUNTED, **FORMS}.get(scheme)
    if colon and scheme in NO_PLACES:
        return NO_PLACES[scheme]
    if colon and form:
        return f"write {form}"
    if "://" not in uri and 0 < len(uri) <= 80:
        return f"use 'file://{uri}'"
    return "" if rest.strip("/") else "a path is missing"


URI = Text(
    pattern=f"^(file://.+|configmap://{NAME}/[-._a-zA-Z0-9]+|{ELSEWHERE})$",
    most=2048,
    sentence="file://PATH (a path beside the manifest, or file:///absolute/path), configmap://NAME/KEY, "
    "pvc://CLAIM/PATH, https://HOST/PATH (without user and password), s3://BUCKET/PATH, gs://BUCKET/PATH, "
    "az://CONTAINER/PATH, hf://ORG/REPO/FILE@REVISION or oci://HOST/NAME:TAG",
    hint=uri_hint,
)
