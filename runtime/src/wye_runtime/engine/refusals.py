"""What ONNX Runtime says of a model that it does not load, as a sentence for the person who exported it.

Called by sessions.py. What is said keeps ONNX Runtime's own words at the end, without paths of this machine.
"""

import re
from collections.abc import Callable

from wye_runtime.engine.artifact import Artifact

NO_MODEL = ("INVALID_PROTOBUF", "No graph was found")
HEAD = 512  # bytes of a file that say what it is
LOOKS: tuple[tuple[bytes, str], ...] = (
    (rb"version https://git-lfs", "a pointer of Git LFS: fetch the file itself (git lfs pull)"),
    (rb"\s*<(!DOCTYPE|html)", "a web page: see whether model.uri asks for a login first, or names the file's own page"),
    (rb"\s*<\?xml", "XML: OpenVINO's models are, and want a server of their own (environment)"),
    (rb"PK\x03\x04", "a ZIP archive (PyTorch's .pt is one): export the model with torch.onnx, or unpack it"),
    (rb"\x1f\x8b", "packed by gzip: unpack it"),
    (rb"\x89HDF", "HDF5, as Keras writes it: convert it with tf2onnx"),
    (
        rb"\x80[\x02-\x05]",
        "a pickle: convert the model with skl2onnx, or give it to a scoring script (codeConfiguration)",
    ),
    (rb"(?s).{4}ORTM", "in ONNX Runtime's own format: name the .onnx that it was made of"),
    (rb"(?s).{5}\0\0\0\{", "safetensors, weights without a graph: export the model to ONNX"),
)
EXTERNAL = "keeps its weights"
Words = Callable[[re.Match[str], str], str]
# (what ONNX Runtime says, the sentence after the model's name)
SAYINGS: tuple[tuple[str, Words], ...] = (
    (
        r"(?:com\.microsoft\.extensions|ai\.onnx\.contrib):(\w+)\(-?\d+\) is not a registered",
        lambda found, _: f"has the operator ai.onnx.contrib:{found[1]}, which onnxruntime-extensions does not have",
    ),
    (
        r"([\w.]+:\w+)\(-?\d+\) is not a registered function/op",
        lambda found, _: (
            f"has the operator {found[1]}, which neither ONNX Runtime nor onnxruntime-extensions has: export the model "
            "without it, or serve it from an image that brings it (environment)"
        ),
    ),
    (
        "ValidateOpsetForDomain|opset",
        lambda _, version: f"uses a newer opset than ONNX Runtime {version} reads: export it with an older one",
    ),
    (
        "fallback to CPU EP has been explicitly disabled",
        lambda *_: (
            "has operators that would run on the processor, which engine.sessionOptions forbids: the GPU has no kernel "
            "for them, or its provider could not start"
        ),
    ),
    (
        "Failed to construct locale",
        lambda *_: (
            "changes the case of strings by a language of the machine, which has none here: set the attribute "
            "locale of its StringNormalizer to C.UTF-8"
        ),
    ),
    (
        "Unsupported model IR version",
        lambda _, version: f"has a newer IR version than ONNX Runtime {version} reads: save it with an older one",
    ),
    (
        r'External data path does not exist: "(?:.*/)?([^"/]*)"',
        lambda found, _: (
            f"{EXTERNAL} in {found[1]}, which is not beside it: let model.uri name the folder that has both files"
        ),
    ),
    (
        r'escapes model directory\. External data path: "([^"]*)"',
        lambda found, _: f"{EXTERNAL} in {found[1]}, outside of its folder: save both in one folder",
    ),
    ("Absolute path not allowed", lambda *_: f"{EXTERNAL} at an absolute path: save both in one folder"),
    (
        r"size to read: (\d+) given file_length: (\d+)",
        lambda found, _: (
            f"{EXTERNAL} in another file, which has {found[2]} bytes of at least {found[1]}: fetch or export it again"
        ),
    ),
)


def why_not_loaded(artifact: Artifact, error: Exception, version: str) -> str:
    """The whole sentence."""
    said = str(error)
    return f"{artifact.called} {reason(artifact, said, version)}. ONNX Runtime says: {first_line(error)}"


def reason(artifact: Artifact, said: str, version: str) -> str:
    """What is wrong with a model, and what to do."""
    for pattern, words in SAYINGS:
        if found := re.search(pattern, said):
            return words(found, version)
    if not any(words in said for words in NO_MODEL):
        return f"cannot be loaded by ONNX Runtime {version}"
    size = f"({artifact.size} bytes) is no ONNX model"
    what = looks_like(artifact)
    return f"{size}: it is {what}" if what else f"{size}, or only a part of one: fetch or export it again"


def looks_like(artifact: Artifact) -> str:
    """What a file that is no model is by its first bytes; "" where they say nothing."""
    with artifact.file.open("rb") as file:
        head = file.read(HEAD)
    return next((what for pattern, what in LOOKS if re.match(pattern, head)), "")


def first_line(error: Exception) -> str:
    """The first line, without source paths and file paths."""
    line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    line = re.sub(r"/onnxruntime_src/\S+ |\S+ ?onnxruntime::.*?\) (?=[A-Z])", "", line)
    return re.sub(r"(/[\w.+-]+){2,}/?", "…", line)[:500]
