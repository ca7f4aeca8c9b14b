"""The routers of the bench: ours, a bare Envoy with the same routes, nginx, haproxy, each doing 90/10 and a mirror."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peers import program

from ports import free_port
from render import plans
from render.router import envoy_binary, place_in, start
from render.whole import in_one_piece
from wye_operator.plan.wanted import Auth, Listener, RouterPlan, Routes, Share
from wye_operator.plan.world import Keys
from wye_operator.render.process import router_argv

KEY = "bench-key"
MEBIBYTE = 2**20
Config = dict[str, Any]


@dataclass(frozen=True)
class Proxy:
    """One running router."""

    name: str
    mirror: int
    port: int
    process: subprocess.Popen[bytes]


def plan(ports: list[int], mirror: int, *, keys: bool) -> RouterPlan:
    """90/10 and, above 0 %, copies to a third Deployment; everything else is as Endpoints have it by default."""
    auth = Auth(open=not keys, keys=Keys(KEY, "other") if keys else None, version="a")
    return replace(
        plans.EMPTY,
        clusters=(plans.BLUE, plans.GREEN, plans.VIOLET, plans.MIRROR),
        clusters_version="c",
        hosts=tuple(plans.at(name, port) for name, port in zip(("blue", "green", "violet"), ports, strict=True)),
        listener=Listener(64 * MEBIBYTE, access_log=True, most_memory_bytes=512 * MEBIBYTE),
        routes=Routes(
            "Split",
            (Share("blue", 9000), Share("green", 1000)),
            (Share("violet~mirror", mirror * 100),) if mirror else (),
            (),
            5000,
            MEBIBYTE,
        ),
        auth=auth,
    )


def ours(folder: Path, ports: list[int], mirror: int, *, keys: bool) -> Proxy:
    """From the files that the operator writes; its access log goes into a file."""
    running = start(plan(ports, mirror, keys=keys), folder)
    name = "ours, keys" if keys else "ours, no keys"
    return Proxy(name, mirror, running.place.listen.port, running.process)


def manager(config: Config) -> Config:
    """Where the filters stand."""
    found: Config = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][-1]["typed_config"]
    return found


def without_filter(name: str) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        here = manager(config)
        here["http_filters"] = [each for each in here["http_filters"] if each["name"] != name]
        [host] = here["route_config"]["virtual_hosts"]
        for place in (host, *host["routes"]):
            place.get("typed_per_filter_config", {}).pop(name, None)

    return change


def without_field(name: str) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        manager(config).pop(name, None)

    return change


PARTS: dict[str, Callable[[Config], None]] = {
    "access log": without_field("access_log"),
    "request headers": without_field("early_header_mutation_extensions"),
    "callers' ids": without_filter("callers-ids"),
    "answer headers": without_filter("answer-headers"),
    "error headers": without_filter("error-headers"),
    "keys": without_filter("auth"),
    "body size": without_filter("envoy.filters.http.body_size_limit"),
    "cors": without_filter("cors"),
    "rate": without_filter("rate"),
    "errors": without_field("local_reply_config"),
    "overload": lambda config: config.pop("overload_manager"),
}


def envoy(
    folder: Path, name: str, made: RouterPlan, mirror: int, left_out: Sequence[str], *, under: Sequence[str] = ()
) -> Proxy:
    """Our own configuration as one file, without some of its parts; `under` another program, such as callgrind."""
    place = place_in(folder)
    config = in_one_piece(made, place)
    for part in left_out:
        PARTS[part](config)
    (folder / "whole.json").write_text(json.dumps(config))
    argv = (*under, *router_argv(envoy_binary(), str(folder / "whole.json")))
    return Proxy(name, mirror, place.listen.port, ran(folder, *argv))


def bare(folder: Path, ports: list[int], mirror: int, *, under: Sequence[str] = ()) -> Proxy:
    """The same routes and clusters, and no filter but the router."""
    return envoy(folder, "bare Envoy", plan(ports, mirror, keys=False), mirror, list(PARTS), under=under)


NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_max_body_size 64m; client_body_buffer_size 1m; keepalive_requests 1000000000;
  split_clients $request_id $live {{ 90% blue; * green; }}
  split_clients "$request_id copy" $copied {{ {copied} }}
  upstream blue {{ server 127.0.0.1:{blue}; keepalive 64; keepalive_requests 1000000000; }}
  upstream green {{ server 127.0.0.1:{green}; keepalive 64; keepalive_requests 1000000000; }}
  upstream violet {{ server 127.0.0.1:{violet}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    proxy_http_version 1.1; proxy_set_header Connection "";
    location / {{ proxy_pass http://$live; {mirror} }}
    location = /copy {{ internal; if ($copied = "") {{ return 204; }} proxy_pass http://violet/score; }}
  }}
}}
"""


def nginx(folder: Path, ports: list[int], mirror: int, *, under: Sequence[str] = ()) -> Proxy | str:
    it = program("nginx")
    if it.missing:
        return it.missing
    port = free_port()
    values = dict(zip(("blue", "green", "violet"), ports, strict=True))
    copied = f'{mirror}% 1; * "";' if 0 < mirror < 100 else "* 1;"
    text = NGINX.format(folder=folder, port=port, copied=copied, mirror="mirror /copy;" if mirror else "", **values)
    (folder / "nginx.conf").write_text(text)
    command = (*under, it.path, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log"))
    return Proxy("nginx", mirror, port, ran(folder, *command, environment=it.environment))


HAPROXY = """
global
  nbthread 1
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
frontend data
  bind 127.0.0.1:{port}
  use_backend green if {{ rand(100) lt 10 }}
  default_backend blue
backend blue
  server one 127.0.0.1:{blue}
backend green
  server one 127.0.0.1:{green}
"""


def haproxy(folder: Path, ports: list[int], *, under: Sequence[str] = ()) -> Proxy | str:
    """It cannot mirror."""
    it = program("haproxy")
    if it.missing:
        return it.missing
    port = free_port()
    (folder / "haproxy.cfg").write_text(HAPROXY.format(port=port, blue=ports[0], green=ports[1]))
    command = (*under, it.path, "-db", "-f", str(folder / "haproxy.cfg"))
    return Proxy("haproxy", 0, port, ran(folder, *command, environment=it.environment))


def ran(folder: Path, *command: str, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    with (folder / "access").open("wb") as out, (folder / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=out, stderr=log, env=os.environ | (environment or {}))
