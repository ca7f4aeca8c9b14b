"""What is counted is what is read, whenever somebody reads; Prometheus' own client is the one to agree with."""

import sys
from collections import Counter
from itertools import accumulate
from threading import Barrier, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from wye_runtime.metrics.instruments import AT_ONCE, BUCKETS, Requests, Tally

SECONDS = st.one_of(st.sampled_from(BUCKETS), st.floats(0, 100))
ENDED = st.tuples(st.sampled_from(["/score", "/v2/models/{model}/infer"]), st.sampled_from([200, 400, 503]), SECONDS)
THREADS, EACH = 4, 50 * AT_ONCE + 7


@given(st.lists(SECONDS, max_size=AT_ONCE // 4), st.sampled_from([0, 1, AT_ONCE - 1, AT_ONCE, 2 * AT_ONCE + 1]))
def test_a_tally_agrees_with_the_client_library(seconds, fast_ones):
    registry = CollectorRegistry()
    tally, theirs = Tally(), Histogram("one", "one", registry=registry, buckets=BUCKETS)
    for each in (*seconds, *[0.0002] * fast_ones):
        tally.observe(each)
        theirs.observe(each)
    bounds = [registry.get_sample_value("one_bucket", {"le": str(le)}) for le in (*BUCKETS, "+Inf")]
    for _ in range(2):  # reading changes nothing
        reading = tally.read()
        assert list(accumulate(reading.counts)) == bounds
        assert reading.total == pytest.approx(registry.get_sample_value("one_sum"))


@given(st.lists(st.one_of(ENDED, st.none()), max_size=40))
def test_requests_are_counted_by_route_and_status_between_readings(ended):
    requests, so_far = Requests(), []
    for each in ended:
        if each is not None:
            route, status, seconds = each
            requests.ended("".join(route), status, seconds)  # as good as the same string
            so_far.append(each)
            continue
        assert requests.counts == Counter((status, route) for route, status, _ in so_far)
        assert {route: sum(told.counts) for route, told in requests.durations()} == Counter(one[0] for one in so_far)


def test_nothing_is_lost_between_threads_and_a_reader():
    tally, together = Tally(), Barrier(THREADS + 1)
    threads = [Thread(target=observe, args=(tally, together)) for _ in range(THREADS)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        together.wait()
        readings = []
        while any(thread.is_alive() for thread in threads):
            readings.append(sum(tally.read().counts))
    finally:
        sys.setswitchinterval(interval)
        for thread in threads:
            thread.join()
    assert readings == sorted(readings)
    assert sum(tally.read().counts) == THREADS * EACH
    assert tally.read().total == pytest.approx(THREADS * EACH * 0.5)


def observe(tally, together):
    together.wait()
    for _ in range(EACH):
        tally.observe(0.5)


def test_a_trace_leads_from_the_bucket_of_the_last_request_that_was_sampled_whatever_its_status():
    requests = Requests()
    requests.ended("/score", 500, 0.3, "first")
    requests.ended("/score", 200, 0.4, "second")
    requests.ended("/score", 500, 0.45, "third")
    requests.ended("/score", 200, 0.46)
    [(route, reading)] = requests.durations()
    assert (route, dict(reading.traces)) == ("/score", {BUCKETS.index(0.5): ("third", 0.45)})
