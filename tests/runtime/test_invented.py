"""Requests that nobody thought of: schemathesis invents them from our own description, right ones and wrong ones.

Whatever it sends, the answer's status, content type and form are those that the description has; nothing wrong is
taken, and nothing right is refused, as far as a schema can say what is right: not how many values a shape wants.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import toys

SEED, EXAMPLES, PATIENCE = "7", "15", 240
PROGRAM = Path(sys.executable).with_name("schemathesis")
THEIR_ROUTERS = "ignored_auth"  # keys are the router's: the runtime itself asks for none
TENSORS = "positive_data_acceptance"
CONTRACT = {
    "inputs": [
        {"name": "amount", "type": "number", "minimum": 0, "maximum": 1e6},
        {"name": "channel", "type": "string", "values": ["web", "shop"], "default": "shop"},
        {"name": "known", "type": "boolean"},
    ],
    "outputs": [
        {"name": "scores", "tensor": "scores"},
        {"name": "class", "tensor": "label", "labels": ["a", "b", "c"]},
    ],
}


def invented(server, folder: Path, *options: str) -> None:
    """A run of all that can be repeated, from one seed; what it found is what the test says."""
    told = [
        "--seed",
        SEED,
        "-n",
        EXAMPLES,
        "--phases",
        "examples,coverage,fuzzing",
        "--no-color",
        "--no-shrink",
        *options,
    ]
    command = [PROGRAM, "run", f"http://127.0.0.1:{server.port}/openapi.json", *told]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout
    assert "Test cases:" in done.stdout


def test_every_route_answers_as_it_is_described(servers, tmp_path):
    server = servers.one("invented, tensors", toys.columns)
    invented(server, tmp_path, "--exclude-checks", f"{THEIR_ROUTERS},{TENSORS}")


def test_a_contract_takes_what_its_description_allows_and_nothing_else(servers, tmp_path):
    server = servers.one("invented, fields", toys.classifier, contract=CONTRACT)
    invented(server, tmp_path, "--exclude-checks", THEIR_ROUTERS, "--include-path", "/score")
