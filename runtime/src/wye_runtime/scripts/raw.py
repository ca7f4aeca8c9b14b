"""What scripts import from Azure's packages: `rawhttp`, `AMLRequest` and `AMLResponse`, under Azure's module names.

An image in which Azure's own packages are installed has those: ours are asked for last.
"""

import json
import sys
from collections.abc import Callable, Mapping
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any, TypeVar

from werkzeug.wrappers import Request, Response

Run = TypeVar("Run", bound=Callable[..., Any])
FAILED = "x-ms-run-function-failed"
REQUEST, RESPONSE = "aml_request", "aml_response"
HOMES = ("azureml.contrib.services", "azureml_inference_server_http.api")
PACKAGES = ("azureml", "azureml.contrib", "azureml_inference_server_http", *HOMES)
RAW = "_rawHttpRequested"  # Azure's own module of that name says it so, too


class AMLRequest(Request):
    """A whole HTTP request; Flask's, which Azure's scripts get, has the same attributes."""


class AMLResponse(Response):
    """A whole answer: bytes or text as they are, or with `json_str` anything as JSON."""

    default_mimetype = "text/html"  # as Flask's

    def __init__(
        self,
        message: Any,
        status_code: int | str,
        response_headers: Mapping[str, str] | None = None,
        json_str: bool = False,  # noqa: FBT001, FBT002  Azure's signature
        run_function_failed: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        given = response_headers or {}
        if message is None or json_str:
            text = json.dumps({} if message is None else message)
            super().__init__(text, status_code, mimetype="application/json")
        else:
            super().__init__(message, status_code)
            if "Content-Type" in given:
                self.headers.remove("Content-Type")
        self.headers[FAILED] = str(run_function_failed)
        for name, values in given.items():
            for value in values.split(","):  # a repeated header, as Azure reads it
                self.headers.add(name, value.strip())


def rawhttp(run: Run) -> Run:
    """Marks that `run` takes the request itself."""
    for home in HOMES:
        module = sys.modules.get(f"{home}.{REQUEST}")
        if module is not None:
            setattr(module, RAW, True)
    return run


def is_raw() -> bool:
    """Whether a script marked its `run`, by our decorator or by Azure's."""
    return any(getattr(sys.modules.get(f"{home}.{REQUEST}"), RAW, False) for home in HOMES)


class Names(MetaPathFinder, Loader):
    """Makes the modules that are not installed."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if fullname not in PACKAGES and fullname not in CONTENTS:
            return None
        return spec_from_loader(fullname, self, is_package=fullname in PACKAGES)

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(CONTENTS.get(module.__name__, {}))


CONTENTS: Mapping[str, Mapping[str, Any]] = {
    **{home: {"rawhttp": rawhttp} for home in HOMES},
    **{f"{home}.{REQUEST}": {"AMLRequest": AMLRequest, "rawhttp": rawhttp} for home in HOMES},
    **{f"{home}.{RESPONSE}": {"AMLResponse": AMLResponse} for home in HOMES},
}


def offer_names() -> None:
    """From now on scripts can import them."""
    sys.meta_path.append(Names())
