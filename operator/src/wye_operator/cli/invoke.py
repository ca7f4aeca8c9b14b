"""`wye invoke`: send one request to an Endpoint of a cluster, of a twin, or at any URL, and print the answer."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from wye_operator import settings
from wye_operator.cli.arguments import Commands, add_access, command
from wye_operator.cli.ask import OURS, access_of, endpoint_of
from wye_operator.cli.calling import Answer, Request, to_pod, to_url
from wye_operator.cli.key_secrets import keys_of
from wye_operator.cli.kubeconfig import Api, connect
from wye_operator.cli.twin import served_by
from wye_operator.cli.where import Folder, InCluster, Url, refuse_options_of_folders, url_folder_or_name, where
from wye_operator.cluster.kinds import PODS
from wye_operator.cluster.pods import is_ready
from wye_operator.errors import WyeError
from wye_operator.local.state import FOLDER
from wye_operator.plan.names import ROUTER, selector_of
from wye_operator.render.resources import PIN

JSON = "application/json"
KINDS = {
    ".csv": "text/csv",
    ".txt": "text/plain",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
}
TEXT = """\
Send a request and print the answer: its body to stdout, its status and who served it to stderr.

ENDPOINT: one of the cluster, with its key, through the API server to a router (a port-forward): no Ingress is needed.
DIR: the twin that runs for that folder, with its key. A folder that is there wins over an Endpoint of the same name;
with -n, --context or --kubeconfig it is the Endpoint. Exit status 0 when the answer is a success, else 1.
"""
EXAMPLES = """\
examples:
  wye invoke fraud -f request.json                              an Endpoint of the cluster
  wye invoke fraud -n team-a -f request.json --deployment green
  wye invoke examples/fraud -f request.json                     the twin of a folder
  wye invoke examples/detection -f scene.jpg
  echo '{"amount": 3}' | wye invoke http://127.0.0.1:8080 -f - --key KEY
"""


def add_parser(commands: Commands) -> None:
    """Add the command to those of `wye`."""
    parser = command(commands, "invoke", summary="send a request and print the answer", text=TEXT, examples=EXAMPLES)
    about = "an Endpoint of the cluster, a folder that is up, or the URL of an Endpoint"
    parser.add_argument("where", type=url_folder_or_name, metavar="ENDPOINT|DIR|URL", help=about)
    parser.add_argument(
        "-f", "--file", required=True, help="JSON file to send, or .csv, .txt, .jpg, .png; - reads JSON from stdin"
    )
    parser.add_argument("--deployment", help="send it to this Deployment, whatever the weights")
    parser.add_argument("--key", help="the key (default: $WYE_KEY, else the Endpoint's primary key)")
    parser.add_argument("--path", default="/score", help="path at the Endpoint (default: /score)")
    parser.add_argument("--endpoint", help="which Endpoint of the folder (needed where there are several)")
    parser.add_argument("--state", type=Path, help="the folder's state (default: DIR/.wye)")
    add_access(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Send, print, and say whether it was a success."""
    body = _body(args.file)
    given = where(args.where, access_of(args))
    key = args.key or settings.from_environment().key
    if isinstance(given, InCluster):
        answer, place = _in_cluster(args, given, key, body)
    else:
        url, key = _address(args, given, key)
        asked = to_url(url, _request(args, key, body), is_twin=isinstance(given, Folder))
        answer, place = asyncio.run(asked), ""
    _print_body(answer.body)
    print(f"{answer.status} {answer.reason}" + (f" from {answer.who}" if answer.who else "") + place, file=sys.stderr)
    return 0 if answer.is_success else 1


def _request(args: argparse.Namespace, key: str | None, body: bytes) -> Request:
    headers = {"content-type": _kind(args.file)}
    if key:
        headers["authorization"] = f"Bearer {key}"
    if args.deployment:
        headers[PIN] = args.deployment
    return Request(headers, body)


def _body(file: str) -> bytes:
    try:
        body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise WyeError(f"{file} cannot be read: {error.strerror}") from None
    if _kind(file) == JSON:
        try:
            json.loads(body)
        except ValueError as error:
            raise WyeError(f"{'stdin' if file == '-' else file} is not JSON: {error}") from None
    return body


def _kind(file: str) -> str:
    """The media type, by the file's name."""
    return KINDS.get(Path(file).suffix.lower(), JSON)


def _address(args: argparse.Namespace, given: Url | Folder, key: str | None) -> tuple[str, str | None]:
    """(URL, key or None) where it can be reached from here."""
    if isinstance(given, Url):
        refuse_options_of_folders(args)
        after_host = given.text.partition("://")[2].partition("/")[2]
        return (given.text if after_host else given.text.rstrip("/") + args.path), key
    served = served_by(given, args.state or given.path / FOLDER, args.endpoint)
    if not served.address:
        raise WyeError(f"Endpoint {served.name} has no address yet: wye local status {given.path}")
    if not key:
        insist_on_keys(served.name, served.auth_mode)
        keys = served.keys
        key = keys.primary if keys else None
    return served.address.removesuffix("/score") + args.path, key


def _in_cluster(args: argparse.Namespace, given: InCluster, key: str | None, body: bytes) -> tuple[Answer, str]:
    """The answer, and where that was: the wrong context is a mistake easily made."""
    refuse_options_of_folders(args)
    with connect(given.access) as api:
        endpoint = endpoint_of(api, given.name)
        if not key:
            insist_on_keys(given.name, (endpoint.get("spec") or {}).get("authMode"))
            keys = keys_of(api, endpoint)
            key = keys.primary if keys else None
        secure = bool(endpoint["spec"].get("tls"))
        answer = to_pod(api, _router(api, given.name), args.path, _request(args, key, body), secure=secure)
    return answer, f" (Endpoint {given.name}, namespace {api.namespace}, {api.place})"


def insist_on_keys(endpoint: str, mode: str | None) -> None:
    """Nobody but the caller has a token."""
    if mode == "Token":
        raise WyeError(f"Endpoint {endpoint} takes tokens: give one with --key, or in $WYE_KEY")


def _router(api: Api, endpoint: str) -> str:
    """A router that is ready."""
    chosen = ",".join(f"{label}={value}" for label, value in selector_of(ROUTER, endpoint).items())
    pods = api.find(PODS, api.namespace, labels=f"{OURS},{chosen}")
    ready = sorted(pod["metadata"]["name"] for pod in pods if is_ready(pod))
    if not ready:
        several = f"none of its {len(pods)} routers is ready"
        why = {0: "it has no router, so nobody answers", 1: "its router is not ready"}.get(len(pods), several)
        raise WyeError(f"Endpoint {endpoint} cannot be asked: {why}; wye status {endpoint} says more")
    return str(ready[0])


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
