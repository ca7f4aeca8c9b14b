"""What was measured at load, kept for the next start of the same model on the same hardware: one small file each.

A file that is broken, or that is about something else, is ignored with a line in the log; nothing waits for the folder.
"""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wye_runtime.engine.model import ENGINE, Model
from wye_runtime.protocol import Tensors
from wye_runtime.service.company import Batching
from wye_runtime.service.measuring import Placement
from wye_runtime.settings import Config, cpu_count, processor

log = logging.getLogger("wye")
FORM = 1  # goes up with every change of what is measured or how
LARGEST = 16 << 10
Key = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Findings:
    """What measuring says."""

    place: Placement
    batching: Batching
    is_remembered: bool = False


def key_of(model: Model, feeds: Sequence[Tensors], names: Sequence[str], config: Config) -> Key:
    """All that the findings depend on."""
    return {
        "form": FORM,
        "model": model.artifact.sha256,
        "input": digest(feeds),
        "outputs": list(names),
        "batching": [config.batching.mode, config.batching.maxBatchSize],
        "engine": [
            ENGINE,
            model.provider,
            model.threads,
            dict(config.engine.providerOptions),
            dict(config.engine.sessionOptions),
        ],
        "hardware": [processor(), cpu_count(), *model.hardware],
    }


def digest(feeds: Sequence[Tensors]) -> str:
    """Of a warm-up's input."""
    told = hashlib.sha256()
    for each in feeds:
        for name, array in sorted(each.items()):
            told.update(f"{name} {array.dtype} {array.shape} ".encode())
            told.update(repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes())
    return told.hexdigest()


def remembered(folder: Path | None, key: Key, find: Callable[[], Findings]) -> Findings:
    """What an earlier start found, else what is found now."""
    if folder is None:
        return find()
    text = json.dumps(key, sort_keys=True)
    file = folder / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
    try:
        return read(file, json.loads(text))
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("measurement ignored", extra={"file": str(file), "why": f"{type(error).__name__}: {error}"})
    found = find()
    keep(file, key, found)
    return found


def read(file: Path, key: Key) -> Findings:
    """Whatever is wrong with the file is an OSError, ValueError, KeyError or TypeError."""
    with file.open("rb") as opened:
        body = json.loads(opened.read(LARGEST))
    if body["key"] != key:
        raise ValueError("it is about another model or other hardware")
    elements, rows = whole(body["elements"], 0), whole(body["rows"], 1)
    why, company = (words(body[name]) for name in ("why", "batchWhy"))
    return Findings(Placement(elements, why), Batching(rows, company), is_remembered=True)


def whole(value: object, least: int) -> int:
    """A whole number of a kept file, at least so large; ValueError where it is none."""
    if type(value) is not int or value < least:
        raise ValueError(f"{value!r} is no integer of at least {least}")
    return value


def words(value: object) -> str:
    """A text of a kept file; ValueError where it is none."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no sentence")
    return value


def keep(file: Path, key: Key, found: Findings) -> None:
    """Under its name when it is whole, or not at all."""
    body = {
        "key": key,
        "elements": found.place.elements,
        "why": found.place.why,
        "rows": found.batching.rows,
        "batchWhy": found.batching.why,
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        number, fresh = tempfile.mkstemp(dir=file.parent)  # pods that share the folder may have the same process id
        with open(number, "w") as opened:
            json.dump(body, opened)
        os.replace(fresh, file)
    except OSError as error:
        log.warning("measurement not kept", extra={"file": str(file), "why": str(error)})
