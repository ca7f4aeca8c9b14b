"""A script's file into a `run` that can be called: found, imported, looked at, initialised; each mistake has a word."""

import inspect
import logging
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from wye_runtime.errors import (
    CannotServe,
    UserScriptFunctionNotFound,
    UserScriptImportError,
    UserScriptInitFailed,
)
from wye_runtime.scripts.inputs import Parameter, Reader, object_reader, raw_reader, text_reader
from wye_runtime.scripts.raw import is_raw, offer_names
from wye_runtime.scripts.schemas import is_decorated
from wye_runtime.settings import ScriptSource

log = logging.getLogger("wye")
MODULE = "entry_module"  # Azure's name for it
HEADERS = "request_headers"
TRACED = 4  # lines of a traceback that go into the last words
SHOWN_FILES = 5


@dataclass(frozen=True, slots=True)
class Script:
    """A script that was initialised."""

    run: Callable[..., Any]
    read: Reader
    takes_headers: bool


def loaded(source: ScriptSource) -> Script:
    """Imports the script and calls its `init`, or a CannotServe."""
    folder, file = Path(source.folder), Path(source.folder) / source.file
    if not file.is_file():
        raise UserScriptImportError(f"the code has no file {source.file}: {contents(folder)}")
    for place in dict.fromkeys((str(folder), str(file.parent))):
        sys.path.append(place)
    offer_names()
    module = imported(file, source.file)
    init, run = function(module, "init", source.file), function(module, "run", source.file)
    driven = getattr(module, "driver_module", None)  # Azure's designer puts its own script before the user's
    if isinstance(driven, ModuleType) and hasattr(driven, "run"):
        run = driven.run
    script = looked_at(run, source.file)
    initialised(init, source.file)
    return script


def contents(folder: Path) -> str:
    """What is in a folder, for a sentence."""
    if not folder.is_dir():
        return f"{folder} is no folder"
    names = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
    more = f" and {len(names) - SHOWN_FILES} more" if len(names) > SHOWN_FILES else ""
    return f"it has {', '.join(names[:SHOWN_FILES])}{more}" if names else "it is empty"


def imported(file: Path, called: str) -> ModuleType:
    """The script as a module, under the name that Azure gives it."""
    spec = spec_from_file_location(MODULE, file)
    if spec is None or spec.loader is None:
        raise UserScriptImportError(f"{called} is no Python file: its name must end in .py")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # also sys.exit(); the end of this process is told, whatever ended it
        raise failed(UserScriptImportError, f"{called} cannot be imported", error) from error
    return module


def function(module: ModuleType, name: str, called: str) -> Callable[..., Any]:
    """One of the two functions that a script must have."""
    found: Callable[..., Any] | None = getattr(module, name, None)
    if found is None or not callable(found):
        raise UserScriptFunctionNotFound(
            f"{called} has no function {name}(): a scoring script has init() and run(data)"
        )
    return found


def initialised(init: Callable[[], object], called: str) -> None:
    """Calls init(), which may do anything."""
    log.info("init() begins", extra={"script": called})
    try:
        init()
    except BaseException as error:  # also sys.exit()
        raise failed(UserScriptInitFailed, f"init() of {called} failed", error) from error


def failed(kind: type[CannotServe], what: str, error: BaseException) -> CannotServe:
    """What happened in a sentence, and the last lines of the traceback below it."""
    log.error(what, exc_info=error)
    told = "".join(traceback.format_exception(error)).strip().splitlines()
    return kind("\n".join([f"{what}: {words_of(error)}", *told[:-1][-TRACED:]]))


def words_of(error: BaseException) -> str:
    """An exception in a line, with what it does not say by itself: where, or what is missing."""
    last = traceback.format_exception_only(error)[-1].strip()
    if isinstance(error, SyntaxError) and error.lineno:
        return f"{last} ({Path(error.filename or '').name}, line {error.lineno})"
    if isinstance(error, KeyError) and error.args == ("AZUREML_MODEL_DIR",):
        return f"{last}: it has no model, as model.uri is not set"
    return last


def looked_at(run: Callable[..., Any], called: str) -> Script:
    """How `run` wants to be called."""
    parameters = list(inspect.signature(run).parameters.values())
    if any(each.kind not in (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD) for each in parameters):
        raise refused(called, "run() cannot accept positional-only arguments, *args, or **kwargs")
    data = [each for each in parameters if each.name != HEADERS]
    if not data:
        other = f' other than "{HEADERS}"' if parameters else " for input data"
        raise refused(called, f"run() needs to accept an argument{other}")
    if is_raw() and is_decorated(run):
        raise refused(called, "run() cannot be decorated with both @rawhttp and @input_schema")
    return Script(run, reader(run, data), len(data) < len(parameters))


def reader(run: Callable[..., Any], data: list[Parameter]) -> Reader:
    """How requests become what run() takes."""
    if is_raw():
        return raw_reader(data[0].name)
    return object_reader(data) if is_decorated(run) else text_reader(data[0].name)


def refused(called: str, what: str) -> CannotServe:
    """What is said of a run() that cannot be called."""
    return UserScriptFunctionNotFound(f"{called}: {what}")
