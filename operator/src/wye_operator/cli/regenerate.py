"""`wye keys regenerate`: one key made anew. It ends when every router has the new key and refuses the old one.

    new key written ──> every router knows new and old ──> every router knows the new one alone

In a cluster the key goes into the Secret, for a twin into its file. The planner does the rest, and says in
`status.router.authVersion` how far the routers are: a fingerprint of all keys that every one of them has.
"""

from __future__ import annotations

import argparse
import base64
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from wye_operator import settings
from wye_operator.cli.arguments import Commands, add_access, command, seconds
from wye_operator.cli.ask import access_of, endpoint_of
from wye_operator.cli.key_secrets import NAMES, keys_of, keys_of_secret, secret_of
from wye_operator.cli.kubeconfig import Api, connect
from wye_operator.cli.twin import Served, served_by, status_of
from wye_operator.cli.where import Folder, InCluster, add_where, refuse_options_of_folders, where
from wye_operator.cluster.errors import Conflict, Forbidden, NotFound, Unavailable
from wye_operator.cluster.kinds import CONFIGMAPS, ENDPOINTS, SECRETS, Object
from wye_operator.errors import WyeError
from wye_operator.local.state import FOLDER, KeyFiles, label
from wye_operator.plan.auth import keys_version
from wye_operator.plan.names import RENEWED, router_name

TEXT = """\
Make one key of an Endpoint anew, and wait until every router has the new one and refuses the old one: seconds, while
requests flow and connections stay open. The other key is valid all the time: move callers to it first. The new key is
not printed; wye keys show does that.
"""
EXAMPLES = """\
examples:
  wye keys regenerate fraud --key secondary              then give callers the new secondary key,
  wye keys regenerate fraud --key primary                and renew the other one when nobody uses it any more
  wye keys regenerate examples/fraud --key primary       of the twin of a folder
"""
PATIENCE = 120.0  # seconds: without a word to it the operator reads Secrets every 30 s
EVERY = 0.25  # seconds between two looks at the routers
Status = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Renewed:
    """A key that is written, and how to see that it counts."""

    place: str
    version: str  # what the status says when all routers have it, and nothing older
    look: Callable[[], Status]  # the Endpoint's status as it is now
    stands: Callable[[], bool]  # whether the key is still the one that was written
    hint: str  # the command that says more


def add_parser(parts: Commands) -> None:
    """Add `wye keys regenerate`."""
    anew = command(parts, "regenerate", summary="make one anew, while requests flow", text=TEXT, examples=EXAMPLES)
    add_where(anew)
    anew.add_argument("--key", choices=tuple(NAMES), required=True, help="which of the two")
    patience = f"how long to wait for the routers (default: {PATIENCE:g})"
    anew.add_argument("--timeout", type=seconds, metavar="SECONDS", default=PATIENCE, help=patience)
    add_access(anew)
    anew.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Renew one key, and wait."""
    given = where(args.where, access_of(args))
    if isinstance(given, Folder):
        served = served_by(given, args.state or given.path / FOLDER, args.endpoint)
        wait(renewed_in_twin(served, args.key), f"the new {args.key} key of {served.name}", args.timeout)
        return 0
    assert isinstance(given, InCluster)
    refuse_options_of_folders(args)
    with connect(given.access) as api:
        renewed = renewed_in_cluster(api, given.name, args.key)
        wait(renewed, f"the new {args.key} key of {given.name}", args.timeout)
    return 0


def renewed_in_cluster(api: Api, name: str, key: str) -> Renewed:
    """Write a fresh key into the Secret of a cluster's Endpoint, and say so to the operator."""
    endpoint = endpoint_of(api, name)
    if keys_of(api, endpoint) is None:
        raise WyeError(f"Endpoint {name} asks for no key: its authMode is None")
    secret = secret_of(api, endpoint)
    place = f"Secret {secret['metadata']['name']}"
    _insist_on_ours(endpoint, secret, NAMES[key])
    keys = replace(keys_of_secret(secret), **{key: settings.fresh_key()})
    entry = base64.b64encode(getattr(keys, key).encode()).decode()
    version = {"resourceVersion": secret["metadata"]["resourceVersion"]}
    try:
        written = api.patch(
            SECRETS, api.namespace, secret["metadata"]["name"], {"metadata": version, "data": {NAMES[key]: entry}}
        )
    except Conflict:
        raise WyeError(f"{place} was changed at this moment, and nothing was written: run the command again") from None
    _tell_the_operator(api, name, str(written["metadata"]["resourceVersion"]))
    return Renewed(
        place=place,
        version=keys_version(keys, name),
        look=lambda: endpoint_of(api, name).get("status") or {},
        stands=lambda: keys_of_secret(secret_of(api, endpoint)) == keys,
        hint=f"wye status {name} -n {api.namespace}",
    )


def renewed_in_twin(served: Served, key: str) -> Renewed:
    """Write a fresh key into the file of a twin's Endpoint, which the twin reads every second."""
    if served.auth_mode != "Key":
        raise WyeError(f"Endpoint {served.name} asks for no key: its authMode is {served.auth_mode}")
    keys = served.keys
    if keys is None:
        raise WyeError(f"the twin of {served.directory} has no keys for {served.name} yet")
    if served.secret is not None:
        raise WyeError(_yours(f"Secret {served.secret}", "it stands in a manifest of the folder", NAMES[key]))
    keys = replace(keys, **{key: settings.fresh_key()})
    named = label(served.namespace, served.name)
    store = KeyFiles(served.state / "keys")
    store.write(named, keys)
    return Renewed(
        place=str(store.path(named)),
        version=keys_version(keys, served.name),
        look=lambda: status_of(served),
        stands=lambda: store.read(named)[0] == keys,
        hint=f"wye local status {served.directory}",
    )


def wait(renewed: Renewed, what: str, patience: float) -> None:
    """Return when it counts everywhere, and say so. Raises WyeError with what is in the way, once patience is over."""
    print(f"{what}: in {renewed.place}; waiting until every router has it", file=sys.stderr, flush=True)
    begun = time.monotonic()
    while True:
        try:
            status = renewed.look()
            router, why = status.get("router") or {}, _why_not(status)
        except Unavailable as error:  # it comes back
            router, why = {}, str(error)
        if router.get("authVersion") == renewed.version:
            break
        if time.monotonic() - begun >= patience:
            raise WyeError(_given_up(renewed, what, why, patience))
        time.sleep(EVERY)
    ready = router.get("readyReplicas") or 0
    routers = "1 router" if ready == 1 else f"{ready} routers"
    print(f"{what}: live on {routers}, and the old one is refused ({time.monotonic() - begun:.1f} s)")


def _insist_on_ours(endpoint: Object, secret: Object, entry: str) -> None:
    name, metadata = endpoint["metadata"]["name"], secret["metadata"]
    place = f"Secret {metadata['name']}"
    if (endpoint["spec"].get("keys") or {}).get("secretName"):
        raise WyeError(_yours(place, "the Endpoint names it in keys.secretName", entry))
    owners = [(owner["kind"], owner["name"]) for owner in metadata.get("ownerReferences") or ()]
    if (ENDPOINTS.name, name) not in owners:
        raise WyeError(_yours(place, "the Endpoint did not make it", entry))


def _yours(place: str, why: str, entry: str) -> str:
    return f"{place} is yours ({why}), so nothing was written: put the new {entry} there, and the routers follow"


def _tell_the_operator(api: Api, name: str, version: str) -> None:
    """Without this it reads Secrets every 30 s. It watches no Secret, and users' objects are not marked."""
    try:
        api.patch(CONFIGMAPS, api.namespace, router_name(name), {"metadata": {"annotations": {RENEWED: version}}})
    except NotFound:  # without routers there is nothing to hurry for
        return
    except Forbidden as error:
        print(f"wye: the operator cannot be told, and reads Secrets every 30 s: {error}", file=sys.stderr)


def _why_not(status: Status) -> str:
    """What is in the way, as the Endpoint says it."""
    ready: Status = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), {})
    if ready.get("status") == "True":
        return "nobody has looked at it yet; is the operator (or the twin) running?"
    return f"{ready.get('reason', 'Unknown')}: {ready.get('message') or 'the Endpoint says nothing'}"


def _given_up(renewed: Renewed, what: str, why: str, patience: float) -> str:
    if not renewed.stands():
        return f"{what}: {renewed.place} was changed once more meanwhile; what stands there now counts"
    return (
        f"{what}: in {renewed.place}, but after {patience:g} s not on every router: {why}. "
        f"A router that lacks it may take the old one still; all goes on by itself, and {renewed.hint} says how far"
    )
