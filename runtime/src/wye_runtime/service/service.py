"""Answers requests with one model: in the event loop where a run is shorter than a thread hand-over, else in a slot."""

import asyncio
import gc
import logging
import math
import random
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from wye_runtime.engine.model import Run
from wye_runtime.errors import DeviceLost, ModelNotReady
from wye_runtime.metrics import Metrics
from wye_runtime.protocol import RawRequest, RawResponse
from wye_runtime.service.batching import has_one_kind
from wye_runtime.service.jobs import Job
from wye_runtime.service.loading import Loaded, loaded
from wye_runtime.service.measuring import Patience
from wye_runtime.service.sharing import ThreadBatches
from wye_runtime.service.slots import Slots, Workers
from wye_runtime.service.tickets import Outcome, Ticket, groups, outcomes
from wye_runtime.service.ticking import LoopBatches
from wye_runtime.service.watching import watched
from wye_runtime.settings import NOTHING_SAID, Config, Environment
from wye_runtime.tracing import Tracer

log = logging.getLogger("wye")
T = TypeVar("T")
SAMPLE_BYTES = 4096
FOREVER = math.inf
MOST_SLOTS = 4


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that must wait for a slot; without a job it is decoded there."""

    raw: RawRequest
    job: Job | None
    deadline: float


class Service:
    """The one model of this process and its state: loading, ready, draining."""

    def __init__(self, config: Config, metrics: Metrics, environment: Environment = NOTHING_SAID) -> None:
        self.config = config
        self.metrics = metrics
        self.log_sample = environment.log_sample
        self.cache = environment.cache
        self.loaded: Loaded | None = None
        self.is_draining = False
        self.lost: DeviceLost | None = None
        self.alarm: Callable[[], object] = lambda: None  # the process is to end; rung in any thread
        self.is_inline = False
        self.loop_batches: LoopBatches | None = None
        self.thread_batches: ThreadBatches | None = None
        self.patience = Patience()
        self.requests = 0
        self.timeout = config.request.timeout
        self.has_one_kind = False
        self.name = config.model.name
        self.elements = 0
        self.tracer: Tracer | None = None
        self.workers = Workers(Slots(1, config.request.queue_wait, metrics))

    @property
    def not_ready(self) -> str | None:
        """Why no new traffic should come; None when ready."""
        if self.lost:
            return self.lost.message
        if self.is_draining:
            return "draining"
        return None if self.loaded else "loading"

    def load(self) -> None:
        """Loads and warms up; blocks, so call it in a thread."""
        self.serve(loaded(self.config, self.metrics, self.cache))

    def serve(self, ready: Loaded) -> None:
        """Everything is prepared first; the last line makes it ready."""
        ready = ready if self.tracer is None else watched(ready, self.tracer)
        asked = self.config.request.maxConcurrentRequestsPerInstance
        slots = asked or min(ready.model.threads, MOST_SLOTS)
        self.workers = Workers(Slots(slots, self.config.request.queue_wait, self.metrics))
        self.is_inline = bool(ready.place.elements)
        self.has_one_kind = has_one_kind(ready.model.signature)
        rows, delay = ready.batching.rows, self.config.batching.maxDelayMs / 1000
        self.loop_batches = LoopBatches(self, rows, delay, samples=bool(self.log_sample)) if rows > 1 else None
        self.elements = ready.place.elements
        self.thread_batches = ThreadBatches(self.workers, self.run_batch, rows, delay) if rows > 1 else None
        self.log_loaded(ready, slots)
        ready.model.losses.alarm = self.lose
        gc.freeze()  # what is loaded stays; the collector need not walk it again
        self.loaded = ready
        self.show_mode("inline" if self.is_inline else "threads")

    def show_mode(self, mode: str) -> None:
        """The model's one info metric, with where its runs happen."""
        source, model = self.config.model, self.current().model
        self.metrics.model = (source.name, source.version, model.artifact.sha256, model.provider, mode)

    def log_loaded(self, ready: Loaded, slots: int) -> None:
        source, model = self.config.model, ready.model
        mode = "inline" if self.is_inline else "threads"
        self.metrics.load_seconds = ready.seconds
        log.info(
            "model loaded",
            extra={
                "model": source.name,
                "sha256": model.artifact.sha256,
                "ms": round(ready.seconds * 1000, 1),
                "inputs": [spec.to_json() for spec in model.signature.inputs],
                "outputs": [spec.to_json() for spec in model.signature.outputs],
            },
        )
        extra = {"mode": mode, "why": ready.place.why, "slots": slots, "threads": model.threads}
        company = {"batchRows": ready.batching.rows, "batchWhy": ready.batching.why}
        log.info("decided where runs happen", extra={**extra, **company, "provider": model.provider})

    def current(self) -> Loaded:
        """The loaded model, or ModelNotReady."""
        if self.loaded is None:
            raise ModelNotReady(self.lost.message if self.lost else "the model is still being loaded")
        return self.loaded

    def lose(self, lost: DeviceLost) -> None:
        """Takes no request any more; called by the run that found out, in its thread."""
        self.lost = lost
        self.loaded = None
        self.alarm()

    async def answer(self, raw: RawRequest) -> RawResponse:
        """The answer to one request."""
        begun = self.begin(raw)
        return begun if isinstance(begun, RawResponse) else await self.finish(begun)

    def begin(self, raw: RawRequest) -> RawResponse | Pending | Ticket:
        """Decodes a request and answers it at once where that is short, else says what to await."""
        jobs = (self.loaded or self.current()).jobs
        model = raw.model
        if model is not None and (model is not self.name or raw.version is not None):  # the fast lane's is that string
            jobs.check_target(raw)
        self.requests += 1
        if not jobs.is_light(raw):
            return Pending(raw, None, self.deadline(raw))
        job = jobs.job(raw)
        if self.is_inline and job.is_short(self.elements):
            rows = job.rows
            if self.loop_batches is None or not rows:
                return self.sampled(raw, self.run_alone(job))
            # nobody's time is up before the end of this turn, unless they are made to wait or in a hurry
            deadline = FOREVER if raw.timeout is None and not self.loop_batches.delay else self.deadline(raw)
            return self.loop_batches.add(Ticket(raw, job, deadline, self.kind(job), rows))
        return Pending(raw, job, self.deadline(raw))

    def deadline(self, raw: RawRequest) -> float:
        patience = self.timeout if raw.timeout is None else min(self.timeout, raw.timeout)
        return asyncio.get_running_loop().time() + patience

    def kind(self, job: Job) -> Hashable:
        """Requests of one kind may share a run."""
        return job.outputs if self.has_one_kind else (job.outputs, job.row_shapes)

    async def finish(self, begun: Pending | Ticket) -> RawResponse:
        """Waits for a slot and for the run in it, or for the end of the loop's turn."""
        if isinstance(begun, Ticket):
            return await begun.answered()
        ticket = Ticket(begun.raw, begun.job, begun.deadline)
        if self.thread_batches is not None:
            response = await self.thread_batches.do(ticket)
        else:
            response = await self.workers.do(lambda run: self.run_in_thread(ticket, run), begun.deadline)
        return self.sampled(begun.raw, response)

    def run_in_thread(self, ticket: Ticket, run: Run) -> RawResponse:
        ready = self.current()
        return ready.runner.run(ticket.job or ready.jobs.job(ticket.raw), run)

    def run_batch(self, tickets: Sequence[Ticket], run: Run) -> list[Outcome]:
        """In a thread: what each of them is told. Who cannot be decoded harms nobody else."""
        ready = self.current()
        runner = ready.runner
        told: dict[Ticket, Outcome] = {}
        for ticket in tickets:
            try:
                ticket.job = ticket.job or ready.jobs.job(ticket.raw)
                ticket.kind, ticket.rows = self.kind(ticket.job), ticket.job.rows
            except Exception as error:  # noqa: BLE001 -- whoever asked is told; the others go on
                told[ticket] = error
        decoded = [each for each in tickets if each not in told]
        alone, together = partial(runner.run, run=run), partial(runner.run_together, run=run)
        for group in groups(decoded, ready.batching.rows):
            told.update(zip(group, outcomes(group, alone, together), strict=True))
        return [told[each] for each in tickets]

    def sampled(self, raw: RawRequest, response: RawResponse) -> RawResponse:
        if self.log_sample and random.random() < self.log_sample:
            log_sampled(raw, response)
        return response

    def run_alone(self, job: Job) -> RawResponse:
        """In the event loop."""
        return self.watched(lambda: self.current().runner.run(job, None))

    def run_together(self, jobs: Sequence[Job], counts: Sequence[int]) -> Sequence[Outcome]:
        """In the event loop, in one run; what the run raises is raised."""
        return self.watched(lambda: self.current().runner.run_together(jobs, counts))

    def dropped(self, reason: str) -> None:
        self.metrics.dropped[reason] += 1

    def watched(self, runs: Callable[[], T]) -> T:
        """Runs in the event loop, and never again once that has taken too much of the thread's time."""
        patience = self.patience
        own = time.thread_time() if patience.alert else 0.0
        began = time.perf_counter()
        try:
            return runs()
        finally:
            patience.heard(time.perf_counter() - began)
            if own:
                self.judge(time.thread_time() - own)

    def judge(self, taken: float) -> None:
        """Ends runs in the event loop for good where they took too much of its thread's time."""
        if self.patience.is_over(taken):
            self.is_inline = False
            self.show_mode("threads")
            log.warning("runs moved to threads", extra={"ms": round(taken * 1000, 1)})

    def close(self) -> None:
        """Ends what still runs."""
        self.workers.close()

    def scheduling(self) -> dict[str, object]:
        """What was chosen, and why."""
        ready = self.current()
        moved = bool(ready.place.elements) and not self.is_inline
        return {
            "mode": "inline" if self.is_inline else "threads",
            "why": "runs took longer than those that were measured at load" if moved else ready.place.why,
            "inlineElements": ready.place.elements if self.is_inline else 0,
            "batchRows": ready.batching.rows,
            "batchWhy": ready.batching.why,
            "measured": "before" if ready.findings.is_remembered else "now",
            "slots": self.workers.slots.capacity,
            "threads": ready.model.threads,
        }

    def load_now(self) -> dict[str, int]:
        """The figures of GET /load."""
        slots = self.workers.slots
        return {
            "active": slots.active,
            "queued": len(slots.waiters),
            "capacity": slots.capacity,
            "requests": self.requests,
        }


def log_sampled(raw: RawRequest, response: RawResponse) -> None:
    """Writes the beginning of a request and of its answer to the log."""
    extra = {
        "requestId": raw.request_id,
        "inputs": raw.body[:SAMPLE_BYTES].decode(errors="replace"),
        "outputs": response.body[:SAMPLE_BYTES].decode(errors="replace"),
    }
    log.info("sample", extra=extra)
