"""What the schema decorators of `inference_schema` say of `run`, where that package is and the script uses it."""

import sys
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]
ANYTHING: Schema = {"type": "object", "example": {}}
PACKAGE = "inference_schema.schema_util"  # imported by whoever imports the decorators
ALL = ("2", "2.0", "3", "3.0", "3.1")


def told() -> Any:
    """The package's own register; None where no script brought it in."""
    return sys.modules.get(PACKAGE)


def is_decorated(run: Callable[..., Any]) -> bool:
    """Whether a script says what it takes by inference-schema."""
    package = told()
    return package is not None and bool(package.is_schema_decorated(run))


def schemas_of(run: Callable[..., Any]) -> tuple[Schema, Schema]:
    """Of its input and of its output."""
    if not is_decorated(run):
        return ANYTHING, ANYTHING
    package = told()
    return package.get_input_schema(run), package.get_output_schema(run)


def versions_of(run: Callable[..., Any]) -> tuple[str, ...]:
    """Of Swagger, in which those can be said."""
    return tuple(told().get_supported_versions(run)) if is_decorated(run) else ALL
