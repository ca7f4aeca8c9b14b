"""Envoy's smallest nouns: typed messages, addresses, headers, watched files. The other modules build on them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from wye_operator.plan.world import Address

Json = dict[str, Any]

# Messages by which a filter runs for some requests only, and one that changes headers.
MATCHED = "envoy.extensions.common.matching.v3.ExtensionWithMatcher"
COMPOSITE = "envoy.extensions.filters.http.composite.v3.Composite"
EXECUTE = "envoy.extensions.filters.http.composite.v3.ExecuteFilterAction"
MUTATION = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"

EARLY_MUTATION = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"

ANYTHING = r"\C*"  # any bytes; `.` would be characters of UTF-8
BUFFER_BYTES = 32 * 1024  # of one connection, each way: what a slow reader can make the router hold

PIN = "azureml-model-deployment"  # the header, of requests and answers
MOST_HEADERS, MOST_HEADERS_KB = 100, 60
LONGEST_SECONDS = 3600  # of anything

# of HTTP/2: what one stream and one connection may send before it is read
HTTP2_WINDOWS: Json = {"initial_stream_window_size": 64 * 1024, "initial_connection_window_size": 1024 * 1024}


def typed(message: str, fields: Mapping[str, Any] | None = None) -> Json:
    """A message that says its own type, as Envoy wants it wherever any type may stand."""
    return {"@type": f"type.googleapis.com/{message}", **(fields or {})}


def extension(name: str, message: str, fields: Mapping[str, Any] | None = None) -> Json:
    """A named extension with its configuration."""
    return {"name": name, "typed_config": typed(message, fields)}


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: the same value is always the same bytes."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def discovery(version: str, *resources: Json) -> bytes:
    """One watched file: the router says `version` back once it has taken the resources."""
    return canonical({"version_info": version, "resources": list(resources)})


def watched(folder: str, file: str) -> Json:
    """Where a watched file is.

    The path goes through `..data`, not through the folder's own link: kubelet renames `..data` first and makes the
    link of a new key later, and a cluster whose file is not there yet is rejected for good.
    """
    source = {"path": f"{folder}/..data/{file}", "watched_directory": {"path": folder}}
    return {
        "path_config_source": source,
        "resource_api_version": "V3",
        "initial_fetch_timeout": "5s",
    }


def request_header(name: str, regex: str) -> Json:
    """A predicate of all its values, with commas between them; no header has none."""
    seen = extension("header", "envoy.type.matcher.v3.HttpRequestHeaderMatchInput", {"header_name": name})
    return {"single_predicate": {"input": seen, "value_match": {"safe_regex": {"google_re2": {}, "regex": regex}}}}


def socket(address: Address) -> Json:
    """An address as Envoy writes it."""
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def header(key: str, value: str) -> Json:
    """A header that replaces what was there under its name."""
    return {
        "header": {"key": key, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
