"""Routers that are wrong on purpose: what a sweep is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
EVERYBODY = {"auth": {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}}


def _routes(body: Json) -> list[Json]:
    listed: list[Json] = body["resources"][0]["virtual_hosts"][0]["routes"]
    return listed


def _open(body: Json, match: Json) -> None:
    _routes(body).insert(0, {**_routes(body)[-1], "match": match, "typed_per_filter_config": EVERYBODY})


def _pins(body: Json) -> None:
    for route in _routes(body):
        if route["name"].startswith("pin-"):
            route["typed_per_filter_config"] = EVERYBODY


def _health(body: Json) -> None:
    _open(body, {"prefix": "/healthz"})


def _options(body: Json) -> None:
    _open(body, {"prefix": "/", "headers": [{"name": ":method", "string_match": {"exact": "OPTIONS"}}]})


def _in_the_query(body: Json) -> None:
    body["resources"][0]["typed_config"]["key_sources"].append({"query": "api-key"})


def _in_another_header(body: Json) -> None:
    body["resources"][0]["typed_config"]["key_sources"].append({"header": "x-api-key"})


# name -> (the file that is wrong, how, a word in the names of the probes that find it)
WRONG: dict[str, tuple[str, Callable[[Json], None], str]] = {
    "pins are open": ("rds.json", _pins, "pin"),
    "whatever begins like the health page is open": ("rds.json", _health, "healthz"),
    "one method is open": ("rds.json", _options, "OPTIONS"),
    "a key counts in the address": ("auth.json", _in_the_query, "?api-key"),
    "a key counts in another header": ("auth.json", _in_another_header, "x-api-key"),
}
