"""MLflow's folders: which file of one is the ONNX model, and what its columns are called. Called where `MLmodel` is.

That file is YAML as `yaml.safe_dump` writes it; of it only the flavours and the signature count, so that no reader of
YAML is needed.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from wye_runtime.errors import ModelFetch, ModelInvalid

NAME = "MLmodel"
FLAVORS = re.compile(r"^flavors:[ ]*\n((?:[ ]+.*\n|\n)*)", re.MULTILINE)
# one way only to read each line that is passed over: with two, a long signature would take for ever
SIGNATURE = re.compile(r"^signature:[ ]*\n(?:[ ]+[^ \n].*\n)*?[ ]+inputs: '((?:[^']|'')*)'", re.MULTILINE)
ENTRY = re.compile(r"^([ ]+)([\w.-]+):[ ]*(.*?)[ ]*$")
OTHERS = "its own image serves it, too (`environment`; docs/guides/servers.md, MLflow)"


def is_packaged(folder: Path) -> bool:
    """Whether MLflow wrote this folder."""
    return folder.is_dir() and (folder / NAME).is_file()


def text_of(folder: Path, called: str) -> str:
    """What MLflow wrote of the folder."""
    try:
        return (folder / NAME).read_text()
    except UnicodeDecodeError as error:
        raise ModelInvalid(f"{called} has a file {NAME} that is no text") from error
    except OSError as error:
        raise ModelFetch(f"{called}/{NAME} cannot be read: {error.strerror}") from error


def columns_of(text: str) -> tuple[str, ...]:
    """The names of the signature's columns, in their order; () where it has none, or speaks of tensors."""
    found = SIGNATURE.search(text)
    try:
        specs = json.loads(re.sub(r"\n[ ]*", " ", found[1]).replace("''", "'")) if found else []
    except ValueError:
        return ()
    if not isinstance(specs, list):
        return ()
    names = [str(spec["name"]) for spec in specs if isinstance(spec, dict) and is_column(spec)]
    return tuple(names) if len(names) == len(specs) else ()


def is_column(spec: dict[str, Any]) -> bool:
    """Whether a part of a signature is a column with a name, and no tensor."""
    return isinstance(spec.get("name"), str) and spec.get("type") != "tensor"


def data_of(folder: Path, called: str) -> Path:
    """The file of its onnx flavour."""
    flavors = flavors_of(text_of(folder, called))
    if "onnx" not in flavors:
        has = ", ".join(flavors) or "none"
        raise ModelInvalid(
            f"{called} is an MLflow model without the onnx flavour (it has {has}): log it with mlflow.onnx, or {OTHERS}"
        )
    data = PurePosixPath(flavors["onnx"].get("data", ""))
    if not data.parts or data.is_absolute() or ".." in data.parts or not (folder / data).is_file():
        raise ModelInvalid(f"{called} is an MLflow model whose onnx flavour has its data in {data}, which is not there")
    return folder / data


def flavors_of(text: str) -> dict[str, dict[str, str]]:
    """The flavours, each with the plain values of its first level."""
    found = FLAVORS.search(f"{text}\n")
    flavors: dict[str, dict[str, str]] = {}
    levels: list[int] = []
    for indent, name, value in _entries(found[1] if found else ""):
        levels = [*levels, indent] if indent not in levels else levels
        if indent == levels[0]:
            flavors[name] = {}
        elif indent == levels[1] and flavors:
            flavors[list(flavors)[-1]].setdefault(name, value.strip("'\""))
    return flavors


def _entries(block: str) -> Iterator[tuple[int, str, str]]:
    """Indentation, key and value of each line that is an entry of a map."""
    for line in block.splitlines():
        entry = ENTRY.match(line)
        if entry:
            yield len(entry[1]), entry[2], entry[3]
