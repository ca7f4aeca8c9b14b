"""`wye operator`: serve the Endpoints of a cluster, or of one of its namespaces."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from typing import Any

from wye_operator import settings
from wye_operator.cli.arguments import Commands, command, port, seconds
from wye_operator.cluster.terms import UPGRADE_POLICIES, Terms
from wye_operator.plan.world import Deadlines
from wye_operator.render.kubernetes import ClusterPlace, Images
from wye_operator.telemetry import log_as_json

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
TEXT = """\
Serves all Endpoints of the cluster that the service account (in a pod) or the kubeconfig leads to.
/metrics and /healthz are on --port. Exit code 1: it cannot serve; the last line says why.
"""

EXAMPLES = """\
examples:
  wye operator --runtime-image wye/runtime:1 --router-image envoyproxy/envoy:v1.40.0
  wye operator --namespace team-1 --runtime-image … --router-image …    no ClusterRole
"""


def add_parser(commands: Commands) -> None:
    """Add the command to the command line."""
    summary = "serve the Endpoints of a cluster"
    parser = command(commands, "operator", summary=summary, text=TEXT, examples=EXAMPLES)
    parser.add_argument("--namespace", help="serve this namespace only, without any ClusterRole")
    parser.add_argument("--port", type=port, default=8080, help="of /metrics and /healthz (default: 8080)")
    parser.add_argument("--workers", type=_at_least_one, default=8, help="passes at once (default: 8)")
    parser.add_argument("--runtime-image", required=True, help="image of the model server")
    parser.add_argument("--runtime-gpu-image", help="image of the model server with CUDA (default: the other one)")
    parser.add_argument("--router-image", required=True, help="image of Envoy")
    parser.add_argument("--router-user", type=int, help="uid for a router image that would start as root")
    about = "of all pods (default: IfNotPresent)"
    parser.add_argument("--image-pull-policy", choices=PULL_POLICIES, default="IfNotPresent", help=about)
    parser.add_argument("--image-pull-secret", action="append", default=[], help="of all pods; may be repeated")
    parser.add_argument("--operator-namespace", help="where the Lease is (default: the pod's own namespace)")
    parser.add_argument("--no-network-policies", action="store_true", help="make no NetworkPolicy")
    parser.add_argument("--metrics-from", type=_peers, default=(), help="peers that may read metrics of pods, as JSON")
    parser.add_argument("--watch-secrets", action="store_true", help="hear of changed Secrets at once, not in 30 s")
    parser.add_argument("--no-failure-log", action="store_true", help="show no lines of failed containers in a status")
    parser.add_argument("--image-volumes", action="store_true", help="mount models of oci:// as image volumes")
    _add_deadlines(parser)
    _add_upgrades(parser)
    parser.set_defaults(func=run)


def _add_deadlines(parser: argparse.ArgumentParser) -> None:
    late, grace = Deadlines().progress, Deadlines().endpoint_grace
    about = f"after which what does not become ready is Stalled (default: {late:g})"
    parser.add_argument("--progress-deadline", type=seconds, default=late, metavar="SECONDS", help=about)
    about = f"that the Deployments of an Endpoint that is gone still run (default: {grace:g})"
    parser.add_argument("--endpoint-grace", type=seconds, default=grace, metavar="SECONDS", help=about)
    parser.add_argument("--verbose", action="store_true", help="log more")


def _add_upgrades(parser: argparse.ArgumentParser) -> None:
    defaults = Terms()
    parser.add_argument(
        "--upgrade-max-concurrent",
        type=_at_least_one,
        default=defaults.most,
        metavar="N",
        help=f"routers and models that are upgraded at a time (default: {defaults.most})",
    )
    parser.add_argument(
        "--upgrade-policy",
        choices=UPGRADE_POLICIES,
        default=defaults.policy,
        help="OnSpecChange: what runs keeps its pods until it is edited",
    )


def _at_least_one(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number


def _peers(text: str) -> tuple[Mapping[str, Any], ...]:
    try:
        peers = json.loads(text)
    except ValueError:
        peers = None
    if not isinstance(peers, list) or not all(isinstance(peer, dict) for peer in peers):
        form = '[{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]'
        raise argparse.ArgumentTypeError(f"{text!r} is no list of a NetworkPolicy's peers; must be like {form}")
    return tuple(peers)


def run(given: argparse.Namespace) -> int:
    """Serve until a signal."""
    from wye_operator.cluster.operator import Operator, Options  # kopf is imported by this command only

    log_as_json(verbose=given.verbose)
    settings.bear_deep_objects()
    own = given.operator_namespace or settings.own_namespace() or given.namespace or "default"
    options = Options(
        place=_place(given, own),
        namespace=given.namespace,
        port=given.port,
        workers=given.workers,
        identity=settings.identity(),
        deadlines=Deadlines(progress=given.progress_deadline, endpoint_grace=given.endpoint_grace),
        upgrades=Terms(given.upgrade_max_concurrent, given.upgrade_policy),
        watch_secrets=given.watch_secrets,
    )

    async def serve() -> None:
        await Operator(options).run()

    asyncio.run(serve())
    return 0


def _place(given: argparse.Namespace, own: str) -> ClusterPlace:
    images = Images(
        runtime=given.runtime_image,
        runtime_gpu=given.runtime_gpu_image or given.runtime_image,
        router=given.router_image,
        pull_policy=given.image_pull_policy,
        pull_secrets=tuple(given.image_pull_secret),
        router_user=given.router_user,
    )
    return ClusterPlace(
        name="",
        namespace="",
        endpoint_uid="",
        deployment_uids={},
        images=images,
        operator_namespace=own,
        network_policies=not given.no_network_policies,
        metrics_from=given.metrics_from,
        failure_log=not given.no_failure_log,
        image_volumes=given.image_volumes,
    )
