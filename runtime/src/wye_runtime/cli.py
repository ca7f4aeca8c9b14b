"""The command line: `serve` for a pod, the twin or by hand, and `inspect` for a model's signature."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from wye_runtime.app import Listen, leave_words, log_json, run
from wye_runtime.contract import parse
from wye_runtime.errors import CannotServe, ConfigError
from wye_runtime.model import artifact_at, load
from wye_runtime.settings import Config, Engine, ModelSource, config_from, environment, termination_log

EXAMPLES = """examples:
  wye-runtime serve --model fraud.onnx                        serve a model by hand
  wye-runtime serve --model fraud.onnx --contract fraud.json  with fields instead of tensors
  wye-runtime serve --config runtime.json                     as the operator starts it
  wye-runtime inspect fraud.onnx                              what it takes and gives

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
    source = serve.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", type=Path, help="JSON file, see docs/concepts/wire.md")
    source.add_argument("--model", type=Path, help="an ONNX file, or a folder with one")
    serve.add_argument("--name", help="the name in /v2/models/NAME (default: the file's)")
    serve.add_argument("--contract", type=Path, help="JSON file with inputs and outputs")
    serve.add_argument("--host", default="0.0.0.0", help="address of both ports (default: all)")
    serve.add_argument("--port", type=int, default=8080, help="serving port (8080; 0: any free)")
    serve.add_argument("--inner-port", type=int, default=8081, help="metrics and probes (8081)")
    inspect = commands.add_parser("inspect", help="print a model's signature as JSON")
    inspect.add_argument("model", type=Path, help="an ONNX file, or a folder with one")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code; see docs/concepts/wire.md."""
    given = parser().parse_args(arguments)
    try:
        return inspected(given.model) if given.command == "inspect" else served(given)
    except ConfigError as error:
        print(f"wye-runtime: {error.message}", file=sys.stderr)
        if given.command == "serve":
            leave_words(termination_log(), error)
        return 2
    except CannotServe as error:
        print(f"wye-runtime: {error.code}: {error.message}", file=sys.stderr)
        return 3


def served(given: argparse.Namespace) -> int:
    check_source(given)
    config = config_from(given.config) if given.config else standalone(given)
    if config.contract is not None:
        parse(config.contract)
    told = environment()
    log_json()
    run(config, told, Listen(given.host, given.port, given.inner_port))


def check_source(given: argparse.Namespace) -> None:
    """Whether the options go together: what would be ignored is refused."""
    beside = [name for name in ("name", "contract") if getattr(given, name) is not None]
    if given.config and beside:
        raise ConfigError(f"--{' and --'.join(beside)} cannot stand beside --config: the file says it")


def standalone(given: argparse.Namespace) -> Config:
    """A configuration of the command line alone."""
    source = ModelSource(str(given.model), given.name or given.model.stem)
    if given.contract is None:
        return Config(source)
    try:
        contract = json.loads(given.contract.read_bytes())
    except OSError as error:
        raise ConfigError(f"{given.contract} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{given.contract} is not JSON: {error}") from error
    return Config(source, contract=contract)


def inspected(path: Path) -> int:
    model = load(artifact_at(ModelSource(str(path))), Engine("CPU", 1))
    signature = {
        "sha256": model.artifact.sha256,
        "sizeBytes": model.artifact.size,
        "inputs": [spec.to_json() for spec in model.signature.inputs],
        "outputs": [spec.to_json() for spec in model.signature.outputs],
    }
    print(json.dumps(signature, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
