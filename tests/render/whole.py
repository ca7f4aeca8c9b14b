"""A plan as one file for `envoy --mode validate`, which reads no other: every resource in its place."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from render.router import envoy_binary, place_in
from wye_operator.plan.wanted import RouterPlan
from wye_operator.render import envoy


def complaint(plan: RouterPlan, folder: Path) -> str:
    """What the real Envoy finds wrong with the plan, "" when nothing; its files' folders are below `folder`."""
    whole = folder / "whole.json"
    whole.write_text(json.dumps(in_one_piece(plan, place_in(folder))))
    argv = (envoy_binary(), "--mode", "validate", "--config-path", str(whole), "--reject-unknown-dynamic-fields")
    answer = subprocess.run(argv, capture_output=True, text=True, check=False)
    return answer.stderr if answer.returncode else ""


def resources(content: bytes) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(content)["resources"]
    return listed


def untyped(resource: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key != "@type"}


def _without_file_of_certificate(chain: dict[str, Any]) -> None:
    """Plans of tests have certificates that are none: the place for one stays, of unknown content."""
    if "transport_socket" in chain:
        context = chain["transport_socket"]["typed_config"]["common_tls_context"]
        [named] = context["tls_certificate_sds_secret_configs"]
        named["sds_config"] = {"ads": {}, "resource_api_version": "V3"}


def in_one_piece(plan: RouterPlan, place: envoy.Place) -> dict[str, Any]:
    """The same resources without any file: `--mode validate` reads none."""
    whole: dict[str, Any] = json.loads(envoy.bootstrap(plan, place))
    files = envoy.route_files(plan, place)
    clusters = [untyped(c) for c in resources(files["cds.json"])]
    for cluster in clusters:
        hosts = cluster.pop("eds_cluster_config")["service_name"]
        addresses = untyped(resources(files[f"eds-{hosts}.json"])[0])
        cluster |= {
            "type": "STATIC",
            "load_assignment": {**addresses, "cluster_name": cluster["name"]},
        }
    del whole["dynamic_resources"]
    whole["static_resources"]["clusters"] += clusters
    chains = [listener["filter_chains"][0] for listener in whole["static_resources"]["listeners"]]
    _without_file_of_certificate(chains[0])
    managers = [chain["filters"][-1]["typed_config"] for chain in chains]
    for manager in managers:
        if manager.pop("rds", None):
            manager["route_config"] = untyped(resources(files["rds.json"])[0])
    manager = managers[0]
    [auth] = [f for f in manager["http_filters"] if f["name"] == "auth"]
    del auth["config_discovery"]
    auth |= untyped(resources(envoy.auth_files(plan)["auth.json"])[0])
    return whole
