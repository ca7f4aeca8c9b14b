"""The variables of Azure's server that mean something here, too (docs/guides/scoring-scripts.md)."""

import logging
import os
from dataclasses import dataclass

from wye_runtime.errors import ConfigError, shown
from wye_runtime.protocol import SERVER

OURS = f"{SERVER['name']}/{SERVER['version']}"
ELSEWHERE = {
    "WORKER_COUNT": "requestSettings.maxConcurrentRequestsPerInstance, which counts threads, and instanceCount",
    "AML_CORS_ORIGINS": "cors of the Endpoint",
    "AML_APP_INSIGHTS_ENABLED": "the log and the metrics of the instances",
}


@dataclass(frozen=True, slots=True)
class ScriptSettings:
    """How a script's service is called and what it adds to answers."""

    service: str = "ML service"
    version: str = "1.0"
    prefix: str = ""  # of the paths in the description
    timeout_ms: int = 3_600_000
    server: str = OURS  # "": no header says it
    log_level: int = logging.INFO


def script_settings() -> ScriptSettings:
    """As the environment says."""
    given = os.environ.get
    prefix = given("SERVICE_PATH_PREFIX", "").strip("/")
    is_told = given("SERVER_VERSION_LOG_RESPONSE_ENABLED", "true").lower() == "true"
    return ScriptSettings(
        service=given("SERVICE_NAME", "ML service"),
        version=given("SERVICE_VERSION", "1.0"),
        prefix=f"/{prefix}" if prefix else "",
        timeout_ms=milliseconds(given("SCORING_TIMEOUT_MS", "3600000")),
        server=OURS if is_told else "",
        log_level=level(given("AZUREML_LOG_LEVEL", "INFO")),
    )


def milliseconds(text: str) -> int:
    """SCORING_TIMEOUT_MS as a number."""
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise ConfigError(f"SCORING_TIMEOUT_MS is {shown(text)}, want a whole number of milliseconds from 1")


def level(text: str) -> int:
    """AZUREML_LOG_LEVEL as logging knows it."""
    known = logging.getLevelNamesMapping()
    if text.upper() in known:
        return known[text.upper()]
    raise ConfigError(f"AZUREML_LOG_LEVEL is {shown(text)}, want one of {', '.join(known)}")


def elsewhere() -> dict[str, str]:
    """Variables of Azure's server that are set and mean nothing here, with what does it instead."""
    return {name: instead for name, instead in ELSEWHERE.items() if os.environ.get(name)}


def offer_variables(model: str, code: str) -> None:
    """What scripts look up; what the user set stays."""
    if model:
        os.environ.setdefault("AZUREML_MODEL_DIR", model)
    os.environ.setdefault("AML_APP_ROOT", code)
    os.chdir(code)
