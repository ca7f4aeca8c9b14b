"""The endpoint's description."""

from wye_runtime.service.loading import Loaded
from wye_runtime.settings import Config


def document(config: Config, loaded: Loaded) -> dict[str, object]:
    """An OpenAPI 3.1 document."""
    return {"openapi": "3.1.0"}
