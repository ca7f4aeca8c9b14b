"""What the images install is the lock's, to the byte."""

import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LOCKS = (ROOT / "requirements.lock", ROOT / "requirements-gpu.lock")


@pytest.fixture(scope="module")
def made():
    spec = importlib.util.spec_from_file_location("locks", ROOT / "images/locks/make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_up_to_date(made) -> None:
    stale = [path.name for path, text in made.files().items() if path.read_text() != text]
    assert stale == [], "run: .venv/bin/python images/locks/make.py"


def test_the_operator_brings_no_client_library_and_no_engine(made) -> None:
    """They are 126 and 90 MB, and the operator uses neither."""
    names = made.closure(made.dependencies_of("operator"))
    assert names.isdisjoint({"kubernetes", "onnxruntime", "numpy", "rich"})
    assert {"kopf", "aiohttp", "pydantic", "pyyaml"} <= names


def test_a_name_that_the_lock_lacks_is_an_error(made) -> None:
    with pytest.raises(KeyError, match="numpy"):
        made.subset(["numpy"], "orjson==1 \\\n    --hash=sha256:00\n")


def test_every_entry_has_a_hash_and_no_file_names_a_host(made) -> None:
    for text in made.files().values():
        entries = [entry for block in made.blocks_of(text.removeprefix(made.HEAD)).values() for entry in block]
        assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
        assert "://" not in text
    for path in ("images/build", "images/base", *(f"{each}/Dockerfile" for each in ("operator", "runtime", "router"))):
        assert "://" not in (ROOT / path).read_text()


def test_the_image_for_gpus_has_another_engine_with_nvidias_libraries_and_nothing_else(made) -> None:
    texts = {path.stem: text.removeprefix(made.HEAD) for path, text in made.files().items()}
    plain, gpu = (made.blocks_of(texts[name]) for name in ("runtime", "runtime-gpu"))
    more = set(gpu) - set(plain)
    assert set(plain) - set(gpu) == {"onnxruntime"}
    assert {"onnxruntime-gpu", "nvidia-cudnn-cu13"} <= more
    assert {name for name in more if not name.startswith(("nvidia-", "cuda-"))} == {"onnxruntime-gpu"}
    assert [gpu[name] for name in plain if name in gpu] == [plain[name] for name in plain if name in gpu]
    versions = {entry[0].split()[0].split("==")[1] for entry in (plain["onnxruntime"], gpu["onnxruntime-gpu"])}
    assert len(versions) == 1, "the same engine on every chip"


def test_a_lock_has_hashes_and_names_no_host(made) -> None:
    for path in LOCKS:
        text = path.read_text()
        assert [each for each in re.findall(r"://|^ *--(?!hash=).*", text, re.MULTILINE) if each] == [], path.name
        for name, entries in made.blocks_of(text).items():
            for entry in entries:
                first, *rest = [line.strip().removesuffix("\\").strip() for line in entry.splitlines()]
                assert re.match(r"[\w.-]+==[\w.]+( ;|$)", first), f"{path.name}: {first}"
                assert rest, f"{path.name}: {name} has no hash"
                assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in rest), f"{path.name}: {name}"


def test_the_lock_for_gpus_is_what_pyproject_asks_for(made) -> None:
    """Its one root in a version that is asked for; what that needs is there, as the other lock has it."""
    whole, gpu = (made.blocks_of(path.read_text()) for path in LOCKS)
    (root,) = map(Requirement, tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["gpu"])
    assert root.specifier.contains(version_of(gpu["onnxruntime-gpu"][0]))
    assert (root.name, root.extras) == ("onnxruntime-gpu", {"cuda", "cudnn"})
    assert {"nvidia-cudnn-cu13", "nvidia-cuda-runtime"} <= set(gpu)
    plain = made.closure(["onnxruntime"]) - {"onnxruntime"}
    assert plain <= set(gpu)
    both = [name for name in gpu if name in whole]
    assert [{version_of(each) for each in gpu[name]} for name in both] == [
        {version_of(each) for each in whole[name]} for name in both
    ]


def version_of(entry: str) -> str:
    return entry.split()[0].partition("==")[2]


def test_the_scripts_are_sound() -> None:
    for script in ("images/build", "images/base"):
        subprocess.run(["bash", "-n", ROOT / script], check=True)
