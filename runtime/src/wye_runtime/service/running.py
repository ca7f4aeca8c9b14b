"""Runs of the model for jobs, each timed."""

import time
from dataclasses import dataclass

from wye_runtime.metrics import Metrics
from wye_runtime.model import Model, Run
from wye_runtime.protocol import RawResponse
from wye_runtime.service.jobs import Job


@dataclass(slots=True)
class Runner:
    """Takes a job's inputs through the model."""

    model: Model
    metrics: Metrics

    def run(self, job: Job, run: Run | None) -> RawResponse:
        """The job's answer; one run for each of its batches."""
        outputs = []
        for feeds in job.batches:
            began = time.perf_counter()
            outputs.append(self.model.run(feeds, job.outputs, run))
            self.metrics.run_seconds.observe(time.perf_counter() - began)
        return job.answer(outputs)
