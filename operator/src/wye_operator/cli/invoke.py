"""`wye invoke`: send one request to an Endpoint of a running twin, or to any URL, and print the answer."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from wye_operator import settings
from wye_operator.cli.arguments import folder_or_url
from wye_operator.errors import WyeError
from wye_operator.local import files
from wye_operator.local.lookup import secret_for
from wye_operator.local.manifests import read_manifests
from wye_operator.local.state import FOLDER, KeyFiles, holder, label
from wye_operator.local.status import Item
from wye_operator.render.routes import PIN

EXAMPLES = """\
examples:
  wye invoke examples/fraud -f request.json
  wye invoke examples/fraud -f request.json --deployment green
  echo '{"amount": 3}' | wye invoke http://127.0.0.1:8080 -f - --key KEY
"""
# a request may take as long as its Endpoint allows, 300 s at most; one that says nothing for longer is lost
PATIENCE = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=330)


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, and where."""

    url: str
    headers: dict[str, str]
    body: bytes


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `wye`."""
    parser = commands.add_parser(
        "invoke",
        help="send a request and print the answer",
        description="Send a request. DIR: to the twin that runs for that folder, with its key. The body of the answer "
        "goes to stdout, its status and who served it to stderr. Exit status 0 when the answer is a success, else 1.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "where", type=folder_or_url, metavar="DIR|URL", help="a folder that is up, or the URL of an Endpoint"
    )
    parser.add_argument("-f", "--file", required=True, help="JSON file to send; - reads stdin")
    parser.add_argument("--endpoint", help="which Endpoint of the folder (needed where there are several)")
    parser.add_argument("--deployment", help="send it to this Deployment, whatever the weights")
    parser.add_argument("--key", help="the key (default: $WYE_KEY, else the folder's primary key)")
    parser.add_argument("--path", default="/score", help="path at the Endpoint (default: /score)")
    parser.add_argument("--state", type=Path, help="the folder's state (default: DIR/.wye)")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Send, print, and say whether it was a success."""
    body = _body(args.file)
    url, key = _target(args)
    headers = {"content-type": "application/json"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    if args.deployment:
        headers[PIN] = args.deployment
    return asyncio.run(_send(Request(url, headers, body)))


def _body(file: str) -> bytes:
    try:
        body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise WyeError(f"{file} cannot be read: {error.strerror}") from None
    try:
        json.loads(body)
    except ValueError as error:
        raise WyeError(f"{'stdin' if file == '-' else file} is not JSON: {error}") from None
    return body


def _target(args: argparse.Namespace) -> tuple[str, str | None]:
    """(URL, key or None)."""
    given = args.key or settings.from_environment().key
    if args.where.startswith(("http://", "https://")):
        after_host = args.where.partition("://")[2].partition("/")[2]
        return (args.where if after_host else args.where.rstrip("/") + args.path), given
    directory = Path(args.where)
    state = args.state or directory / FOLDER
    if holder(state) is None:
        raise WyeError(f"no twin is running for {directory}: wye local up {directory} starts one")
    endpoint = _endpoint(state, args.endpoint)
    address = endpoint["status"].get("scoringUri")
    if not address:
        raise WyeError(f"Endpoint {endpoint['metadata']['name']} has no address yet: wye local status {directory}")
    key = given or _key(directory, state, endpoint)
    return address.removesuffix("/score") + args.path, key


def _endpoint(state: Path, name: str | None) -> Item:
    items = (files.read_json(state / "status.json") or {"items": []})["items"]
    endpoints = {label(i["metadata"]["namespace"], i["metadata"]["name"]): i for i in items if i["kind"] == "Endpoint"}
    names = ", ".join(endpoints)
    if name is None and len(endpoints) != 1:
        raise WyeError(
            f"there are several Endpoints, name one with --endpoint: {names}" if names else "no Endpoint here"
        )
    if name is not None and name not in endpoints:
        raise WyeError(f"there is no Endpoint {name} here, there is: {names}")
    found: Item = endpoints[name or next(iter(endpoints))]
    return found


def _key(directory: Path, state: Path, endpoint: Item) -> str | None:
    """The primary key: of the user's Secret where there is one, else of the twin's own file; None: nobody needs any.

    A mistake elsewhere in the folder does not matter: what is in force goes on.
    """
    namespace, name, spec = endpoint["metadata"]["namespace"], endpoint["metadata"]["name"], endpoint["spec"]
    if spec.get("authMode") == "None":
        return None
    named = (spec.get("keys") or {}).get("secretName")
    secret = secret_for(read_manifests(directory), namespace, name, named)
    if secret is not None:
        keys, problem = secret.keys, secret.problem
    else:
        keys, problem = KeyFiles(state / "keys").read(label(namespace, name))
    if problem:
        raise WyeError(problem)
    return keys.primary if keys else None


async def _send(request: Request) -> int:
    try:
        async with (
            aiohttp.ClientSession(timeout=PATIENCE) as session,
            session.post(request.url, data=request.body, headers=request.headers) as answer,
        ):
            _print_body(await answer.read())
            who = answer.headers.get(PIN)
            print(f"{answer.status} {answer.reason}" + (f" from {who}" if who else ""), file=sys.stderr)
            return 0 if answer.ok else 1
    except aiohttp.ConnectionTimeoutError:
        raise WyeError(f"{request.url} did not take the connection within {PATIENCE.sock_connect:g} s") from None
    except TimeoutError:
        raise WyeError(f"{request.url} did not answer within {PATIENCE.sock_read:g} s") from None
    except aiohttp.ClientConnectorError:
        raise WyeError(f"nobody listens at {request.url}") from None
    except (aiohttp.ClientError, ValueError) as error:
        raise WyeError(f"{request.url} could not be asked: {error}") from None


def _print_body(body: bytes) -> None:
    """Pretty on a terminal, byte for byte elsewhere."""
    if sys.stdout.isatty():
        try:
            print(json.dumps(json.loads(body), indent=2, ensure_ascii=False))
        except ValueError:  # not JSON: as it is
            pass
        else:
            return
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()
    if sys.stdout.isatty():
        print()
