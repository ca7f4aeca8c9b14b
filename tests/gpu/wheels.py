"""What `tests/gpu/run.sh` needs to be installed: from the registries, or from a folder that was filled elsewhere.

Prints the folder of packages to put before all others (nothing: what the machine has is enough), and says everything
else on stderr. Nothing but the standard library: it runs before anything is there.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LOCKS = (ROOT / "images/locks/runtime-gpu.txt", ROOT / "requirements.lock")
MORE = ("onnx", "typing-extensions")  # builds the models that are measured
HERE = ROOT / ".gpu"
LIST = "pieces.json"
OURS = ("starlette", "uvicorn", "uvloop", "orjson", "obstore", "prometheus_client", "onnx", "ml_dtypes", "simplejpeg")
DRIVER = "libcuda.so.1"
HIDING = "CUDA_VISIBLE_DEVICES"
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (34, 31, 28, 27, 24, 17, 12, 5)] + ["manylinux2014_x86_64"]


def main() -> int:
    asked = argparse.ArgumentParser(prog="tests/gpu/run.sh", description="See the beginning of the file.")
    asked.add_argument("--wheels", type=Path, help="install from this folder, not from the registries")
    asked.add_argument(
        "--bring", type=Path, metavar="FOLDER", help="fill a folder for a machine without registries, and end"
    )
    asked.add_argument("--python", default="3.12", help="of that machine (default 3.12)")
    asked.add_argument("--piece", type=int, default=48, help="MiB of the largest file of that folder (default 48)")
    asked.add_argument("--lean", action="store_true", help="without NVIDIA's libraries, which that machine has")
    asked.add_argument("--seconds", type=float, default=1.0, help="for each figure (default 1)")
    asked.add_argument("--json", type=Path, help="keep the figures in a file, too")
    asked.add_argument("--only", help="of checks (providers, refusals …) and models those with one of these words")
    asked.add_argument("--dry", action="store_true", help="all of it on the processor: proves this script alone")
    given = asked.parse_args()
    if given.bring:
        bring(given)
        print("done")
        return 0
    why = why_not_dry() if given.dry else why_no_gpu()
    if why:
        print(f"tests/gpu/run.sh: {why}", file=sys.stderr)
        return 2
    if given.dry or has_everything():
        return 0
    try:
        return installed(given.wheels)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"tests/gpu/run.sh: the wheels cannot be installed: {error}", file=sys.stderr)
        return 2


def why_not_dry() -> str:
    """What this Python lacks for a dry run, for which nothing is installed; "" where it has all."""
    missing = [name for name in (*OURS, "onnxruntime") if importlib.util.find_spec(name) is None]
    return f"{', '.join(missing)}: not in {sys.executable}; `make setup`, then PYTHON=.venv/bin/python" * bool(missing)


def why_no_gpu(load: Callable[[str], Any] = ctypes.CDLL) -> str:
    """Why there is none, "" where there is."""
    todo = "run it on a machine with an NVIDIA GPU, or with --dry to see that the script works"
    try:
        library = load(DRIVER)
    except OSError:
        return f"there is no NVIDIA driver here ({DRIVER}): {todo}"
    count = ctypes.c_int()
    code = library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(count))
    if not code and count.value:
        return ""
    said = f"answers with error {code}" if code else "sees no GPU"
    hidden = f" ({HIDING} is {os.environ[HIDING]!r})" if HIDING in os.environ else ""
    return f"NVIDIA's driver {said}{hidden}: {todo}"


def has_everything() -> bool:
    """Whether this Python can run the runtime on a GPU as it is."""
    if any(importlib.util.find_spec(name) is None for name in OURS):
        return False
    try:
        return metadata.version("onnxruntime-gpu") == version_of("onnxruntime-gpu", LOCKS[0].read_text())
    except metadata.PackageNotFoundError:
        return False


def entries(text: str) -> dict[str, str]:
    """A lock's entries by name; of several for several Pythons all in one."""
    found: dict[str, str] = {}
    for entry in re.split(
        r"\n(?=\S)", "\n".join(line for line in text.splitlines() if not line.startswith("#")).strip()
    ):
        name = entry.partition("==")[0]
        found[name] = f"{found[name]}\n{entry}" if name in found else entry
    return found


def version_of(name: str, text: str) -> str:
    return entries(text)[name].split()[0].partition("==")[2]


def lock(*, lean: bool) -> str:
    """What the image for GPUs installs, and what builds the models; a lean one without NVIDIA's libraries."""
    gpu, all_of = (entries(path.read_text()) for path in LOCKS)
    wanted = {**gpu, **{name: all_of[name] for name in MORE}}
    return "\n".join(entry for name, entry in wanted.items() if not (lean and name.startswith("nvidia-"))) + "\n"


def pip(*words: str) -> None:
    if importlib.util.find_spec("pip") is None:
        raise OSError(f"{sys.executable} has no pip: PYTHON=python3.12 tests/gpu/run.sh takes another")
    subprocess.run(
        [sys.executable, "-m", "pip", *words, "--disable-pip-version-check", "-q"], check=True, stdout=sys.stderr
    )


def bring(given: argparse.Namespace) -> None:
    """The wheels into a folder, no file larger than a piece."""
    folder = given.bring
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lock.txt").write_text(lock(lean=given.lean))
    place = [word for each in PLATFORMS for word in ("--platform", each)]
    words = ("--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", given.python)
    pip("download", "--require-hashes", *words, *place, "-d", str(folder), "-r", str(folder / "lock.txt"))
    told = {wheel.name: cut(wheel, given.piece << 20) for wheel in sorted(folder.glob("*.whl"))}
    (folder / LIST).write_text(json.dumps(told, indent=1))
    files = [each for each in folder.iterdir() if each.is_file()]
    size, largest = sum(each.stat().st_size for each in files), max(each.stat().st_size for each in files)
    print(f"{folder}: {len(files)} files, {size >> 20} MiB, the largest {largest >> 20} MiB", file=sys.stderr)


def cut(wheel: Path, most: int) -> dict[str, str]:
    """The sha256 of the wheel's pieces by name; one that is small enough stays as it is."""
    if wheel.stat().st_size <= most:
        return {wheel.name: digest(wheel)}
    found = {}
    with wheel.open("rb") as file:
        while piece := file.read(most):
            path = wheel.with_name(f"{wheel.name}.{len(found):02}")
            path.write_bytes(piece)
            found[path.name] = digest(path)
    wheel.unlink()
    return found


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def installed(wheels: Path | None) -> int:
    """Prints the folder in which everything is; 2 where something is missing."""
    target = HERE / "site"
    mark = HERE / "installed"
    text = lock(lean=False) if wheels is None else (wheels / "lock.txt").read_text()
    known = hashlib.sha256(f"{sys.version}{text}".encode()).hexdigest()
    if not (mark.exists() and mark.read_text() == known):
        HERE.mkdir(exist_ok=True)
        words = ["install", "--no-deps", "--no-compile", "--no-cache-dir", "--upgrade", "--target", str(target)]
        if wheels is None:
            print("tests/gpu/run.sh: installing 1.6 GB of wheels into .gpu/ (once)", file=sys.stderr)
            (HERE / "lock.txt").write_text(text)
            pip(*words, "--require-hashes", "--only-binary=:all:", "-r", str(HERE / "lock.txt"))
        else:
            missing = list(missing_in(wheels))
            if missing:
                print(f"tests/gpu/run.sh: {wheels} lacks {', '.join(missing)}", file=sys.stderr)
                return 2
            pip(*words, "--no-index", *(str(path) for path in joined(wheels)))
        borrow(target)
        mark.write_text(known)
    print(target)
    return 0


def borrow(target: Path) -> None:
    """NVIDIA's libraries of this Python (PyTorch's) stand where ONNX Runtime looks for those of its own."""
    found = importlib.util.find_spec("nvidia")
    if not (target / "nvidia").exists() and found and found.submodule_search_locations:
        (target / "nvidia").symlink_to(next(iter(found.submodule_search_locations)))


def missing_in(wheels: Path) -> Iterator[str]:
    """The pieces that are not there, or not whole."""
    told: Mapping[str, Mapping[str, str]] = json.loads((wheels / LIST).read_text())
    for pieces in told.values():
        for name, wanted in pieces.items():
            if not (wheels / name).is_file() or digest(wheels / name) != wanted:
                yield name


def joined(wheels: Path) -> Iterator[Path]:
    """Every wheel, those of several pieces put together again."""
    told = json.loads((wheels / LIST).read_text())
    for wheel, pieces in told.items():
        path = wheels / wheel
        if list(pieces) != [wheel]:
            path = HERE / wheel
            with path.open("wb") as file:
                for name in pieces:
                    file.write((wheels / name).read_bytes())
        if not zipfile.is_zipfile(path):
            raise SystemExit(f"tests/gpu/run.sh: {path} is no wheel")
        yield path


if __name__ == "__main__":
    raise SystemExit(main())
