"""Models in container registries: oci://HOST/NAME[:TAG][@DIGEST], by the distribution API.

What is asked for is a model, not a container: a file or an archive pushed as an artifact (oras push), or an image with
the model below /models (a "modelcar"). Nothing of it is ever run, so it needs no shell and no program.
"""

import base64
import hashlib
import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from wye_runtime.errors import ConfigError, ModelFetch
from wye_runtime.fetch.remote import Document, Refused, Web, WebAnswer, answer_of, checked
from wye_runtime.fetch.source import File, Unpack, inside

INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
TITLE, UNPACK = "org.opencontainers.image.title", "io.deis.oras.content.unpack"
MODELS = "models"  # the folder of an image that holds its model
MOST_LAYERS = 200
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
IMAGE = re.compile(
    r"oci://([-.\w]+(?::\d+)?)/([a-z0-9][-._/a-z0-9]*)(?::([\w][-.\w]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?"
)
PARAMETER = re.compile(r'(\w+)="([^"]*)"')
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
DOCKER_HUB = ("docker.io", "registry-1.docker.io")


class Registry:
    """One image or artifact of one registry."""

    def __init__(self, uri: str, environment: Mapping[str, str], silence: float, authorities: str = "") -> None:
        found = IMAGE.fullmatch(uri)
        if not found:
            raise ConfigError(f"--uri is {uri}, want oci://HOST/NAME:TAG or oci://HOST/NAME@sha256:…")
        self.shown, self.host, self.name = uri, *found.group(1, 2)
        self.reference = found[4] or found[3] or "latest"
        self.base = f"https://{'registry-1.docker.io' if self.host in DOCKER_HUB else self.host}/v2/{self.name}"
        self.user = user_for(self.host, environment)
        self.web = Web({}, silence, authorities)
        self.authorization = ""

    def files(self) -> list[File]:
        """Those of the manifest's layers, the lowest first."""
        manifest = self.manifest(self.reference)
        if "manifests" in manifest:
            manifest = self.manifest(self.of_this_machine(manifest["manifests"]))
        layers = manifest.get("layers")
        if not isinstance(layers, list) or not 0 < len(layers) <= MOST_LAYERS:
            raise ModelFetch(f"{self.shown} has no layers, or more than {MOST_LAYERS}")
        parsed = [layer_of(layer, self.shown) for layer in layers]
        return [file_of(layer, Blob(self, layer.digest), len(parsed), self.shown) for layer in parsed]

    def manifest(self, reference: str) -> dict[str, Any]:
        accepted = {"Accept": ", ".join((*INDEXES, *MANIFESTS))}
        document = self.read(f"{self.base}/manifests/{reference}", accepted)
        if DIGEST.fullmatch(reference) and reference != f"sha256:{hashlib.sha256(document.body).hexdigest()}":
            raise ModelFetch(f"{self.shown}: the registry gave another manifest than {reference}")
        return document.json(self.shown)

    def of_this_machine(self, manifests: Sequence[Mapping[str, Any]]) -> str:
        """An index has one for each kind of processor; of a model's layers it matters little which."""
        here = MACHINES.get(platform.machine(), platform.machine())
        fitting = [m for m in manifests if (m.get("platform") or {}).get("architecture") == here] or list(manifests)
        digest = fitting[0].get("digest", "") if fitting else ""
        if not DIGEST.fullmatch(str(digest)):
            raise ModelFetch(f"{self.shown} is an index without a manifest")
        return str(digest)

    def read(self, uri: str, headers: Mapping[str, str]) -> Document:
        try:
            return self.web.read(uri, headers, self.shown, self.headers)
        except Refused as refused:
            self.authorize(refused)
            return self.web.read(uri, headers, self.shown, self.headers)

    def answer(self, digest: str, start: int) -> WebAnswer:
        """A blob from a byte on: its name is its content, so it cannot have changed."""
        ranged = {"Range": f"bytes={start}-"} if start else {}
        uri = f"{self.base}/blobs/{digest}"
        try:
            response = self.web.opened(uri, ranged, self.shown, self.headers)
        except Refused as refused:
            self.authorize(refused)
            response = self.web.opened(uri, ranged, self.shown, self.headers)
        answer = answer_of(response, start)
        answer.validator = digest
        return answer

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": self.authorization} if self.authorization else {}

    def authorize(self, refused: Refused) -> None:
        """Does what a 401 asks for: a token of the registry's own issuer, else the user with password."""
        headers = {name.lower(): value for name, value in refused.headers.items()}
        kind, _, rest = headers.get("www-authenticate", "").partition(" ")
        if refused.status != 401 or kind.lower() not in ("bearer", "basic"):
            raise refused
        if kind.lower() == "bearer":
            self.authorization = f"Bearer {self.token(dict(PARAMETER.findall(rest)))}"
        elif self.user and not self.authorization:
            self.authorization = self.user
        else:
            raise refused

    def token(self, told: Mapping[str, str]) -> str:
        realm = told.get("realm", "")
        shown = checked(realm)
        query = {"service": told.get("service", ""), "scope": told.get("scope") or f"repository:{self.name}:pull"}
        user = {"Authorization": self.user} if self.user else {}
        joint = "&" if urlsplit(realm).query else "?"
        answer = self.web.read(f"{realm}{joint}{urlencode(query)}", {}, shown, user).json(shown)
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str):
            raise ModelFetch(f"{shown} answered without a token")
        return token


@dataclass(frozen=True, slots=True)
class Blob:
    """One layer, by what it is."""

    registry: Registry
    digest: str

    @property
    def shown(self) -> str:
        return f"{self.registry.shown} ({self.digest[7:19]})"

    def answer(self, start: int, validator: str | None) -> WebAnswer:
        """From byte `start` on."""
        return self.registry.answer(self.digest, start if validator else 0)


@dataclass(frozen=True, slots=True)
class Layer:
    """What a manifest says of a layer."""

    digest: str
    size: int
    kind: str
    title: str
    is_archive: bool


def layer_of(told: Mapping[str, Any], shown: str) -> Layer:
    """One entry of a manifest's `layers`."""
    digest, size, kind = told.get("digest"), told.get("size"), str(told.get("mediaType", ""))
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest) or not isinstance(size, int):
        raise ModelFetch(f"{shown} has a layer without a sha256 digest and a size")
    notes = told.get("annotations") or {}
    title = str(notes.get(TITLE, ""))
    return Layer(digest, size, kind, title, notes.get(UNPACK) == "true" or ("tar" in kind and not title))


def file_of(layer: Layer, blob: Blob, count: int, shown: str) -> File:
    """An archive gives what it holds (an image's only what is below /models), any other layer is a file."""
    digest = layer.digest[7:]
    if layer.is_archive:  # with a title, `oras push` packed a folder, always with gzip
        packed = "zstd" if "zstd" in layer.kind else "gzip" if "gzip" in layer.kind or layer.title else "tar"
        return File("", blob, layer.size, digest, Unpack(packed, layer.title or MODELS), digest)
    name = str(inside(layer.title, shown)) if layer.title else "model.onnx"
    if not layer.title and count > 1:
        raise ModelFetch(f"{shown} has {count} layers, and this one without a title: nobody knows the file's name")
    return File(name, blob, layer.size, digest, version=digest)


def user_for(host: str, environment: Mapping[str, str]) -> str:
    """The Authorization of WYE_FETCH_USERNAME, else what a Secret of the kind dockerconfigjson has for the host."""
    user = environment.get("WYE_FETCH_USERNAME")
    if user:
        return basic(f"{user}:{environment.get('WYE_FETCH_PASSWORD', '')}")
    config = environment.get("WYE_FETCH_DOCKERCONFIG") or environment.get(".dockerconfigjson")
    if not config:
        return ""
    try:
        entries = json.loads(config)["auths"].items()
        found = {place_of(name): entry for name, entry in entries}.get("docker.io" if host in DOCKER_HUB else host)
        if not found:
            return ""
        auth = found.get("auth") or base64.b64encode(f"{found['username']}:{found['password']}".encode()).decode()
        return f"Basic {auth}"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            "the Secret's .dockerconfigjson is not what kubectl create secret docker-registry makes"
        ) from error


def place_of(name: str) -> str:
    """The host of an entry: they are written with and without scheme and path."""
    host = urlsplit(name if "://" in name else f"https://{name}").netloc
    return "docker.io" if host == "index.docker.io" or host in DOCKER_HUB else host


def basic(pair: str) -> str:
    """USER:PASSWORD as a header."""
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
