"""The command line: `serve` for a pod, the twin or by hand, `inspect` for a signature, `fetch` for an init container.

What a command needs is imported by it: `fetch` runs in every start of a pod, and has no use for an engine.
"""

import argparse
import ctypes
import gc
import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from wye_runtime.errors import CannotServe, ConfigError
from wye_runtime.logs import leave_words, log_json
from wye_runtime.settings import (
    Config,
    Engine,
    ModelSource,
    ScriptSource,
    config_from,
    environment,
    termination_log,
    variables,
)

MALLOC = {-3: 256 << 20, -1: 512 << 20}  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD; the operator says the same to pods
EXAMPLES = """examples:
  wye-runtime serve --model fraud.onnx                        serve a model by hand
  wye-runtime serve --model fraud.onnx --contract fraud.json  with fields instead of tensors
  wye-runtime serve --config runtime.json                     as the operator starts it
  wye-runtime serve --script score.py --model model.pkl       an Azure scoring script
  wye-runtime inspect fraud.onnx                              what it takes and gives
  wye-runtime fetch --uri https://host/m.onnx --to /model     as a pod's init container

then: curl localhost:8080/v2/models/fraud"""


def parser() -> argparse.ArgumentParser:
    """All commands and options."""
    top = argparse.ArgumentParser(
        prog="wye-runtime",
        description="Serves an ONNX model: Open Inference Protocol v2 and a typed /score.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve one model until told to stop")
    serve.add_argument("--config", type=Path, help="JSON file, see docs/concepts/wire.md")
    serve.add_argument("--model", type=Path, help="an ONNX file, or a folder with one; beside --script anything")
    serve.add_argument("--script", type=Path, help="an Azure scoring script; a model lies in its AZUREML_MODEL_DIR")
    serve.add_argument("--name", help="the name in /v2/models/NAME (default: the file's)")
    serve.add_argument("--contract", type=Path, help="JSON file with inputs and outputs")
    serve.add_argument("--host", default="0.0.0.0", help="address of both ports (default: all)")
    serve.add_argument("--port", type=int, default=8080, help="serving port (8080; 0: any free)")
    serve.add_argument("--inner-port", type=int, default=8081, help="metrics and probes (8081)")
    serve.add_argument("--grpc-port", type=int, help="gRPC by HTTP/2, without a router before it; needs grpcio (none)")
    inspect = commands.add_parser("inspect", help="print a model's signature as JSON")
    inspect.add_argument("model", type=Path, help="an ONNX file, or a folder with one")
    fetching = commands.add_parser("fetch", help="bring a model into a folder, whole and checked")
    fetching.add_argument("--uri", required=True, help="https://, s3://, gs://, az://, hf:// or oci:// address")
    fetching.add_argument("--to", type=Path, required=True, help="the folder")
    fetching.add_argument("--sha256", help="what it must have, in hex; a folder: its sha256sum list")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code; see docs/concepts/wire.md."""
    given = parser().parse_args(arguments)
    try:
        return COMMANDS[given.command](given)
    except ConfigError as error:
        print(f"wye-runtime: {error.message}", file=sys.stderr)
        if given.command in ("serve", "fetch"):
            leave_words(termination_log(), error)
        return 2
    except CannotServe as error:
        print(f"wye-runtime: {error.code}: {error.message}", file=sys.stderr)
        return 3


def served(given: argparse.Namespace) -> int:
    """`serve`: until told to stop; `run` ends the process."""
    gc.disable()  # what is imported is no garbage, and looking for some takes a tenth of a start
    from wye_runtime.app import Listen, library, run
    from wye_runtime.contract import parse

    check_source(given)
    config = config_from(given.config) if given.config else standalone(given)
    if config.contract is not None:
        parse(config.contract)
    if given.grpc_port is not None:
        library()
    keep_freed_memory()
    told = environment()
    log_json()
    run(config, told, Listen(given.host, given.port, given.inner_port, given.grpc_port))


def keep_freed_memory() -> None:
    """Large bodies get the pages of those before them.

    glibc gives each of them fresh ones and takes them back: for an image the page faults take a millisecond and more.
    """
    if not any(name in os.environ for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")):
        tell = getattr(ctypes.CDLL(None), "mallopt", lambda *_: None)  # others than glibc have none
        for what, most in MALLOC.items():
            tell(what, most)


def check_source(given: argparse.Namespace) -> None:
    """Whether the options go together: what would be ignored is refused."""
    if not (given.config or given.model or given.script):
        raise ConfigError("want one of --config, --model and --script")
    beside = [name for name in ("model", "script", "name", "contract") if getattr(given, name) is not None]
    if given.config and beside:
        raise ConfigError(f"--{' and --'.join(beside)} cannot stand beside --config: the file says it")
    if given.script and given.contract:
        raise ConfigError("--contract cannot stand beside --script: the script says what it takes and gives")


def standalone(given: argparse.Namespace) -> Config:
    """A configuration of the command line alone."""
    source = ModelSource(str(given.model or ""), given.name or (given.model or given.script).stem)
    if given.script is not None:
        return Config(source, script=ScriptSource(str(given.script.resolve().parent), given.script.name))
    if given.contract is None:
        return Config(source)
    try:
        contract = json.loads(given.contract.read_bytes())
    except OSError as error:
        raise ConfigError(f"{given.contract} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{given.contract} is not JSON: {error}") from error
    return Config(source, contract=contract)


def inspected(given: argparse.Namespace) -> int:
    """`inspect`: the signature of a model on stdout."""
    from wye_runtime.engine.artifact import artifact_at
    from wye_runtime.engine.model import load

    model = load(artifact_at(ModelSource(str(given.model))), Engine("CPU", 1))
    signature = {
        "sha256": model.artifact.sha256,
        "sizeBytes": model.artifact.size,
        "inputs": [spec.to_json() for spec in model.signature.inputs],
        "outputs": [spec.to_json() for spec in model.signature.outputs],
    }
    print(json.dumps(signature, indent=2))
    return 0


def fetched(given: argparse.Namespace) -> int:
    """The file, or last words where the kubelet looks for them."""
    from wye_runtime.fetch import Patience, fetch

    wanted = (given.sha256 or "").lower() or None
    if wanted and not re.fullmatch("[0-9a-f]{64}", wanted):
        raise ConfigError("--sha256 wants 64 hex digits")
    keep_freed_memory()
    told = environment()
    log_json()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as process 1 of a container it would be ignored
    try:
        fetch(given.uri, given.to, wanted, variables(), Patience())
    except CannotServe as error:
        leave_words(told.termination_log, error)
        raise
    return 0


COMMANDS = {"serve": served, "inspect": inspected, "fetch": fetched}


if __name__ == "__main__":
    sys.exit(main())
