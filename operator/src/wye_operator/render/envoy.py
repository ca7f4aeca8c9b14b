"""A RouterPlan as Envoy's files, and Envoy's figures read back.

The cluster writes these files into a ConfigMap and a Secret, the twin into a folder. The bootstrap holds the
listeners and starts routers anew when it changes; all else is taken from watched files while requests flow.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from wye_operator.plan.wanted import Hosts, RouterPlan
from wye_operator.plan.world import Address, Taken
from wye_operator.render import auth, inside, stats
from wye_operator.render.clusters import assignment, cluster, hosts_file, static_clusters
from wye_operator.render.listener import data_listener, inner_listener, traced_listener
from wye_operator.render.memory import TIDIES, overload, requests
from wye_operator.render.resources import canonical, discovery, socket, watched
from wye_operator.render.routes import route_configuration
from wye_operator.render.tls import FILE as TLS_FILE
from wye_operator.render.tls import certificate_file
from wye_operator.render.tracing import COLLECTOR, FLUSH, collector

# How large a regular expression of ours may be; the largest says that an id has at most 128 characters.
RUNTIME = {"re2.max_program_size.error_level": 2000, "re2.max_program_size.warn_level": 2000}
# Where a router says what it has taken, and which copies it did not make, on its inner port.
NOT_MADE = "upstream_(?:rq_active_overflow|rq_pending_overflow|rq_pending_failure_eject|cx_none_healthy)"
REFUSALS = r"(?:cds|rds\.\w+|http_filter\.\w+|sds\.\w+)\.update_(?:rejected|failure)"
UNSENT = rf"cluster\.{COLLECTOR}\.upstream_rq_[345]xx"
SAID = rf"version_text|{REFUSALS}|route\.uncopied\.upstream_rq_total|~mirror\.{NOT_MADE}|{UNSENT}"
TAKEN_PATH = f"/stats/prometheus?text_readouts&filter={quote(SAID)}"
READY_PATH = "/ready"

SAMPLE = re.compile(r"^(envoy_\w+_version_text)\{(.*)\} ", re.MULTILINE)
UNCOPIED = re.compile(r"^envoy_vhost_route_upstream_rq_total\{(.*)\} (\d+)", re.MULTILINE)
REFUSED_SO_OFTEN = re.compile(r"^(envoy_\w+)_update_(?:rejected|failure)\{.*\} (\d+)", re.MULTILINE)
TRACES_LOST = re.compile(
    rf'^envoy_cluster_upstream_rq_xx\{{(?:.*,)?envoy_cluster_name="{COLLECTOR}"\}} (\d+)', re.MULTILINE
)
DROPPED = re.compile(rf"^envoy_cluster_{NOT_MADE}\{{(.*)\}} (\d+)", re.MULTILINE)
# What Envoy calls its files in its figures, by kind.
FIGURES = {
    "clusters": "envoy_cluster_manager_cds",
    "routes": "envoy_http_rds",
    "auth": "envoy_extension_config_discovery_http_filter_auth",
    "certificate": "envoy_sds",
}
LABEL = re.compile(r'(\w+)="([^"]*)"')
REFUSED = "update rejected:"
FAILED = "update failure:"
UNCERTIFIED = "Missing SDS resources"  # said where the file is written without a certificate on purpose
# After its reason Envoy quotes what it could not read, and that may be the file with the keys.
QUOTED = re.compile(r"(?<=\)): (?!no such field).*")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a router lives: all that differs between a cluster and this machine."""

    routes: str  # folder of the route files as the router sees it; they are read through its ..data link
    auth: str  # folder of the auth file
    listen: Address  # the data port
    inner: Address  # readiness and figures
    admin: Address  # loopback only


def bootstrap(router: RouterPlan, place: Place) -> bytes:
    """What a router starts with; another one means another process."""
    tracing = router.listener.tracing
    return canonical(
        {
            "node": {"id": "router", "cluster": "wye"},
            "admin": {"address": socket(place.admin)},
            "dynamic_resources": {"cds_config": watched(place.routes, "cds.json")},
            "static_resources": {
                "listeners": [
                    data_listener(router.listener, place.listen, place.routes, place.auth),
                    inner_listener(place.inner),
                    *([traced_listener(router.listener, tracing, place.routes)] if tracing else []),
                ],
                "clusters": [
                    *static_clusters(place.admin),
                    *([collector(tracing), inside.cluster()] if tracing else []),
                ],
            },
            "memory_allocator_manager": TIDIES,
            "overload_manager": overload(router.listener.most_memory_bytes, tracing.most if tracing else 0),
            **(inside.switched_on() if tracing else {}),
            "stats_config": stats.kept(),
            "layered_runtime": {"layers": [{"name": "wye", "static_layer": {**RUNTIME, **(FLUSH if tracing else {})}}]},
        }
    )


def route_files(router: RouterPlan, place: Place) -> dict[str, bytes]:
    """Clusters, routes, and the addresses of each deployment, by file name."""
    tracing = router.listener.tracing
    most = requests(router.listener.most_memory_bytes, tracing.most if tracing else 0)
    listed = [cluster(c, place.routes, most) for c in sorted(router.clusters)]
    return {
        "cds.json": discovery(router.clusters_version, *listed),
        "rds.json": discovery(router.routes.version, route_configuration(router.routes)),
        **{hosts_file(h.cluster): discovery(h.version, assignment(h)) for h in _hosts(router)},
    }


def auth_files(router: RouterPlan, in_force: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """The files with secrets in them: who may call, what the operator keeps beside it, and the certificate.

    `in_force` are the files as they are: what the plan has nothing new for stays.
    """
    had, files = in_force or {}, auth.auth_files(router.auth)
    if not router.auth.version and auth.FILE in had:
        files = {name: had[name] for name in (auth.FILE, auth.ISSUERS_FILE) if name in had}
    if router.tls is not None:
        stays = not router.tls.version and TLS_FILE in had
        files[TLS_FILE] = had[TLS_FILE] if stays else certificate_file(router.tls)
    return files


def taken(stats: str) -> Taken:
    """What a router has, from the page at `TAKEN_PATH`."""
    versions = dict(_versions(stats))
    endpoints = {k[1]: v for k, v in versions.items() if k[0] == "envoy_cluster_version_text"}
    refused = Counter[str]()
    for figure, count in REFUSED_SO_OFTEN.findall(stats):
        refused[figure] += int(count)
    return Taken(
        **{kind: versions.get((f"{figure}_version_text", ""), "") for kind, figure in FIGURES.items()},
        endpoints=endpoints,
        left_out=_left_out(stats),
        refusals={kind: refused[figure] for kind, figure in FIGURES.items() if refused[figure]},
        traces_lost=sum(map(int, TRACES_LOST.findall(stats))),
    )


def _left_out(stats: str) -> dict[str, int]:
    """Copies that were not made, by mirror cluster.

    Requests that were too large or of unnamed size (whatever the mirror's percentage), those over its concurrency, and
    those for which nobody was there.
    """
    uncopied = sum(int(count) for _, count in UNCOPIED.findall(stats))
    dropped: dict[str, int] = {}
    for labels, count in DROPPED.findall(stats):
        name = dict(LABEL.findall(labels))["envoy_cluster_name"]
        dropped[name] = dropped.get(name, uncopied) + int(count)
    return dropped


def refused(line: str) -> str:
    """Why the router refused a file, when this line of its log says so, else ""; it stands nowhere else."""
    for mark in (REFUSED, FAILED):
        _, found, reason = line.partition(mark)
        if found and UNCERTIFIED not in reason:
            spaced = " ".join(reason.replace("\\", "").split())  # protobuf puts in spaces at random
            return QUOTED.sub("", spaced)
    return ""


def _hosts(router: RouterPlan) -> list[Hosts]:
    """Addresses for every cluster: one whose file is missing would be rejected, and with it all routes."""
    given = {hosts.cluster: hosts for hosts in router.hosts}
    needed = {of.hosts: Hosts(of.hosts, (), None) for of in router.clusters}
    return [hosts for _, hosts in sorted({**needed, **given}.items())]


def _versions(stats: str) -> Iterator[tuple[tuple[str, str], str]]:
    for metric, text in SAMPLE.findall(stats):
        labels = dict(LABEL.findall(text))
        yield (metric, labels.get("envoy_cluster_name", "")), labels.get("text_value", "")
