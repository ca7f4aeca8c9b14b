"""Which scheme is fetched by what."""

from collections.abc import Mapping

from wye_runtime.errors import ConfigError
from wye_runtime.fetch.hub import Hub
from wye_runtime.fetch.objects import SCHEMES, Bucket
from wye_runtime.fetch.registry import Registry
from wye_runtime.fetch.remote import Web, WebSource
from wye_runtime.fetch.source import Source
from wye_runtime.settings import credentials

AUTHORITIES = "WYE_FETCH_CA"
MOUNTED = ("pvc", "configmap")


def source_of(uri: str, environment: Mapping[str, str], silence: float) -> Source:
    """The source of an address; what it cannot be is a ConfigError."""
    scheme, authorities = uri.partition("://")[0], environment.get(AUTHORITIES, "")
    if scheme in MOUNTED:
        raise ConfigError(f"{scheme}:// is mounted into the pod, not fetched")
    if scheme in SCHEMES:
        return Bucket(uri, environment, silence, authorities)
    if scheme == "hf":
        return Hub(uri, environment, silence, authorities)
    if scheme == "oci":
        return Registry(uri, environment, silence, authorities)
    return WebSource(uri, Web(credentials(environment), silence, authorities))
