"""Runs of the model for jobs, each timed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from wye_runtime.codecs.plain import Plain
from wye_runtime.codecs.plain import joined as plainly_joined
from wye_runtime.engine.model import Model, Run
from wye_runtime.metrics import Metrics
from wye_runtime.protocol import RawResponse, Tensors
from wye_runtime.service.batching import check_rows, joined, parted
from wye_runtime.service.jobs import Job
from wye_runtime.service.tickets import Outcome


@dataclass(slots=True)
class Runner:
    """Takes a job's inputs through the model."""

    model: Model
    metrics: Metrics

    def run(self, job: Job, run: Run | None) -> RawResponse:
        """The job's answer; one run for each of its batches."""
        return job.answer([self.outputs(feeds, job.outputs, run) for feeds in job.batches])

    def run_together(self, jobs: Sequence[Job], counts: Sequence[int], run: Run | None = None) -> Sequence[Outcome]:
        """The answer to each of several jobs of one kind and one batch each, from one run."""
        plain = [job for job in jobs if type(job) is Plain]
        if len(plain) == len(jobs):
            outputs = self.outputs(plainly_joined(plain, sum(counts)), plain[0].outputs, run)
            check_rows(outputs, counts)
            ways = {job.way for job in plain}
            answers = ways.pop().encode_rows(plain, counts, outputs) if len(ways) == 1 else None
            if answers is not None:
                return answers
        else:
            outputs = self.outputs(joined([job.batches[0] for job in jobs]), jobs[0].outputs, run)
        told: list[Outcome] = []
        for job, part in zip(jobs, parted(outputs, counts), strict=True):
            try:
                told.append(job.answer([part]))
            except Exception as error:  # noqa: BLE001 -- whoever asked is told; the others go on
                told.append(error)
        return told

    def outputs(self, feeds: Tensors, names: Sequence[str], run: Run | None) -> Tensors:
        """One run of the model."""
        began = time.perf_counter()
        outputs = self.model.run(feeds, names, run)
        self.metrics.run_seconds.observe(time.perf_counter() - began)
        return outputs
