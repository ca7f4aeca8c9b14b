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


def _uri_hint(uri: str) -> str:
    """What to write instead of a path without a scheme, or of an address that is not whole."""
    scheme, colon, rest = uri.partition("://")
    if colon and scheme in FORMS:
        return f"write {FORMS[scheme]}"
    if not colon and 0 < len(uri) <= 80:
        return f"use 'file://{uri}'"
    return "" if rest else "a path is missing"


URI = Text(
    pattern=f"^(file://.+|configmap://{NAME}/[-._a-zA-Z0-9]+|{ELSEWHERE})$",
    most=2048,
    sentence="file://PATH (a path beside the manifest, or file:///absolute/path), configmap://NAME/KEY, "
    "pvc://CLAIM/PATH, https://HOST/PATH (without user and password), s3://BUCKET/PATH, gs://BUCKET/PATH, "
    "az://CONTAINER/PATH, hf://ORG/REPO/FILE@REVISION or oci://HOST/NAME:TAG",
    hint=_uri_hint,
)
