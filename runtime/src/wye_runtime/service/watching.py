"""A loaded model whose sampled requests are watched: only made where traces are on."""

import threading
import time
from collections.abc import Sequence
from dataclasses import fields, replace

from wye_runtime.engine.model import Run
from wye_runtime.protocol import RawRequest, RawResponse, Tensors
from wye_runtime.service.jobs import Job, Jobs
from wye_runtime.service.loading import Loaded
from wye_runtime.service.running import Runner
from wye_runtime.service.tickets import Outcome
from wye_runtime.tracing import Tracer
from wye_runtime.tracing.watch import Times, share


def watched(ready: Loaded, tracer: Tracer) -> Loaded:
    """The same model; requests that nobody watches cost a look into an empty table."""
    return replace(ready, jobs=WatchedJobs(ready.jobs, tracer), runner=WatchedRunner(ready.runner, tracer))


class WatchedJobs(Jobs):
    """Knows what a watched request became, and how long that took."""

    def __init__(self, jobs: Jobs, tracer: Tracer) -> None:
        super().__init__(*(getattr(jobs, each.name) for each in fields(jobs)))
        self.tracer = tracer

    def job(self, raw: RawRequest) -> Job:
        """Decodes and validates; what is wrong with the request is raised here."""
        watch = raw.watch
        if watch is None:
            return super().job(raw)
        began = time.perf_counter()
        try:
            job = super().job(raw)
        finally:
            watch.decoded(began, time.perf_counter())
        self.tracer.became(watch, job)
        return job


class WatchedRunner(Runner):
    """Tells watched requests when they ran, and with whom."""

    def __init__(self, runner: Runner, tracer: Tracer) -> None:
        super().__init__(runner.model, runner.metrics)
        self.tracer = tracer
        self.here = threading.local()

    def run(self, job: Job, run: Run | None) -> RawResponse:
        """The job's answer; one run for each of its batches."""
        watch = self.tracer.of(job)
        if watch is None:
            return super().run(job, run)
        runs = self.here.runs = []
        try:
            return super().run(job, run)
        finally:
            self.here.runs = None
            watch.ran(runs)

    def run_together(self, jobs: Sequence[Job], counts: Sequence[int], run: Run | None = None) -> Sequence[Outcome]:
        """The answer to each of several jobs of one kind and one batch each, from one run."""
        watches = [found for job in jobs if (found := self.tracer.of(job))] if self.tracer.jobs else []
        if not watches:
            return super().run_together(jobs, counts, run)
        runs = self.here.runs = []
        began = time.perf_counter()
        try:
            return super().run_together(jobs, counts, run)
        finally:
            self.here.runs = None
            share(watches, (began, time.perf_counter()), counts, runs)

    def outputs(self, feeds: Tensors, names: Sequence[str], run: Run | None) -> Tensors:
        """One run of the model."""
        runs: list[Times] | None = getattr(self.here, "runs", None)
        if runs is None:
            return super().outputs(feeds, names, run)
        began = time.perf_counter()
        try:
            return super().outputs(feeds, names, run)
        finally:
            runs.append((began, time.perf_counter()))
