"""What all callers together can make a router hold: a part of its memory, so that the kernel never ends it for it.

Measured, and why so: docs/decisions/0010-what-a-caller-can-make-a-router-hold.md.
"""

from __future__ import annotations

from wye_operator.plan.shares import WHOLE
from wye_operator.render.resources import Json, extension, typed

# For what Envoy does not count as its heap: its program, its stacks, the kernel's buffers of sockets.
ASIDE = 24 * 2**20
# And where all is traced: what goes inside comes there after it was let in, so more of it is on its way at each look.
ASIDE_TRACED = 12  # MiB, in whole ones: a router starts anew where this changes
# More connections are closed at once. Each can make a router hold headers of 60 KiB, or what is kept of a body to send
# it once more and 32 KiB on either side: all of them at once have half of the room.
MOST_CONNECTIONS, CONNECTION_BYTES = 20_000, 256 * 1024
# Of one deployment; more are refused: over HTTP/2 a few callers could hold as much as all connections by HTTP/1 can.
MOST_REQUESTS = 10_000

HEAP = "envoy.resource_monitors.fixed_heap"  # in percent of the room
RESETS_BY = "wye.heap_to_reset_by"  # the same in percent of where resets would end
# What a router does from which share of its room on: streams of HTTP/2 are reset, those first that hold most; then
# requests are refused; and at last who sends anything at all costs it its connection, as refusals are held, too.
RESET, REFUSE, CLOSE = (0.62, 1.1), 0.8, 0.9
HURRIED = "1s"  # from there on, for streams in which nothing moves; up to REFUSE they have what their route says
SMALLEST_RESET = 10  # as a power of two: bytes that a stream holds; the largest class is 128 times as much
LOOKS_EVERY = "0.02s"  # a connection brings a hundred streams in one packet
# What is freed stays in the allocator's caches, and would count as used for ever if no thread gave it back.
TIDIES = {"bytes_to_release": 2**20, "memory_release_interval": "1s"}


def connections(memory: int | None, traced: int = 0) -> int:
    """How many callers may be connected; of so many hundredths of a percent what is held is held twice (inside.py)."""
    each = CONNECTION_BYTES * (WHOLE + traced) // WHOLE
    return MOST_CONNECTIONS if memory is None else max(1, min(MOST_CONNECTIONS, _room(memory, traced) // each))


def requests(memory: int | None, traced: int = 0) -> int:
    """How many requests one deployment may have at a time."""
    return min(MOST_REQUESTS, connections(memory, traced))


def overload(memory: int | None, traced: int = 0) -> Json:
    """The bootstrap's overload manager: limits of all callers together."""
    counted = extension(
        "envoy.resource_monitors.global_downstream_max_connections",
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        {"max_active_downstream_connections": connections(memory, traced)},
    )
    if memory is None:
        return {"resource_monitors": [counted]}
    room = _room(memory, traced)
    # 50 streams are reset at each look that finds another heap than the last one did, and above the saturation all are
    # the same: with one that is reached, whoever is there then stays. On the way there smaller and smaller ones are
    # reset: those of 16 KiB, a refusal that nobody reads, before requests are refused
    scaled = {"scaling_threshold": round(RESET[0] / RESET[1], 3), "saturation_threshold": 1}
    # a heap that stands still resets nothing: then streams in which nothing moves end by the clock
    hurried = {"scaling_threshold": REFUSE, "saturation_threshold": CLOSE}
    return {
        "refresh_interval": LOOKS_EVERY,
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": SMALLEST_RESET},
        "resource_monitors": [counted, _heap(HEAP, room), _heap(RESETS_BY, int(room * RESET[1]))],
        "actions": [
            _when("overload_actions.shrink_heap", {"threshold": {"value": RESET[0]}}),
            _when("overload_actions.reset_high_memory_stream", {"scaled": scaled}, RESETS_BY),
            _when("overload_actions.stop_accepting_requests", {"threshold": {"value": REFUSE}}),
            _when("overload_actions.reduce_timeouts", {"scaled": hurried}) | {"typed_config": _timers()},
        ],
        "loadshed_points": [
            _when("load_shed_points.http2_server_go_away_and_close_on_dispatch", {"threshold": {"value": CLOSE}})
        ],
    }


def _timers() -> Json:
    """Of streams in which nothing moves, and of answers that are whole and that nobody reads."""
    ends = ("HTTP_DOWNSTREAM_STREAM_IDLE", "HTTP_DOWNSTREAM_STREAM_FLUSH")
    factors = [{"timer": timer, "min_timeout": HURRIED} for timer in ends]
    return typed("envoy.config.overload.v3.ScaleTimersOverloadActionConfig", {"timer_scale_factors": factors})


def _room(memory: int, traced: int) -> int:
    return max(memory - ASIDE - ASIDE_TRACED * traced // WHOLE * 2**20, memory // 2)


def _heap(name: str, most: int) -> Json:
    message = "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig"
    return extension(name, message, {"max_heap_size_bytes": most})


def _when(name: str, trigger: Json, monitor: str = HEAP) -> Json:
    return {"name": f"envoy.{name}", "triggers": [{"name": monitor, **trigger}]}
