"""From a configuration to a model that is loaded, checked, warm and measured; runs once, in a thread, before ready."""

import statistics
import time
from dataclasses import dataclass

from wye_runtime import codecs, contract, model
from wye_runtime.contract import Contract
from wye_runtime.errors import InvalidInput, ModelError, ModelInvalid, RequestError
from wye_runtime.metrics import Metrics
from wye_runtime.model import Model
from wye_runtime.protocol import RawRequest
from wye_runtime.service.jobs import Jobs
from wye_runtime.service.scores import example
from wye_runtime.settings import Config

INLINE_BELOW = 50e-6  # seconds: about two thread hand-overs
SAMPLES = 20
SAMPLED_BELOW = 1e-3  # no need to repeat a run that is clearly longer


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that may serve."""

    model: Model
    contract: Contract | None
    jobs: Jobs
    is_inline: bool
    why: str
    seconds: float


def loaded(config: Config, metrics: Metrics) -> Loaded:
    """All of it, or a CannotServe."""
    began = time.perf_counter()
    artifact = model.artifact_at(config.model)
    session = model.load(artifact, config.engine)
    declared = contract.parse(config.contract) if config.contract is not None else None
    fitted = contract.bound(declared, session.signature) if declared else None
    jobs = Jobs(config, session, fitted, metrics)
    is_warm = warmed(jobs, config)
    median = median_run(jobs) if is_warm else None
    is_inline, why = placed(session, median)
    return Loaded(session, fitted, jobs, is_inline, why, time.perf_counter() - began)


def warmed(jobs: Jobs, config: Config) -> bool:
    """Runs the model as often as asked; False where no input that it takes is known."""
    try:
        for _ in range(config.warmup.requests):
            warm_run(jobs, config)
    except (InvalidInput, ModelError) as error:
        if config.warmup.input is not None:
            raise ModelInvalid(f"the warm-up with warmup.input failed: {error.message}") from error
        if jobs.contract is not None:
            raise ModelInvalid(f"the model fails on what its contract calls valid: {error.message}") from error
        return False
    except RequestError as error:
        raise ModelInvalid(f"the warm-up failed: {error.message}") from error
    return config.warmup.requests > 0


def warm_run(jobs: Jobs, config: Config) -> None:
    body = config.warmup.input
    if body is None and jobs.contract is not None:
        body = jobs.contract.example
    if body is not None:
        jobs.job(RawRequest(codecs.dumps(body), "warm-up")).run(None)
        return
    signature = jobs.model.signature
    feeds = {spec.name: example(spec) for spec in signature.inputs}
    jobs.outputs(feeds, tuple(spec.name for spec in signature.outputs), None)


def median_run(jobs: Jobs) -> float:
    """The model's own time for one small run, in seconds."""
    samples: list[float] = []
    while len(samples) < SAMPLES:
        began = time.perf_counter()
        jobs.repeat()
        samples.append(time.perf_counter() - began)
        if samples[-1] > SAMPLED_BELOW and len(samples) >= 3:
            break
    return statistics.median(samples)


def placed(session: Model, median: float | None) -> tuple[bool, str]:
    """Whether runs may happen in the event loop, and why or why not."""
    if median is None:
        return False, "no warm-up run to measure"
    microseconds = f"a run takes {median * 1e6:.0f} us"
    if median >= INLINE_BELOW:
        return False, microseconds
    if session.has_control_flow():
        return False, f"{microseconds}, but the model has Loop, Scan or If (or is large)"
    return True, microseconds
