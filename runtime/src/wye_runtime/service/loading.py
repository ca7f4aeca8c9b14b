"""From a configuration to a model that is loaded, checked, warm and measured; runs once, in a thread, before ready."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wye_runtime import codecs, contract
from wye_runtime.codecs import InferCodec, Score, example
from wye_runtime.codecs.calls import CallCodec
from wye_runtime.contract import Contract
from wye_runtime.engine import model
from wye_runtime.engine.artifact import artifact_at
from wye_runtime.engine.model import Model, Run
from wye_runtime.engine.sessions import EXECUTION_PROVIDERS
from wye_runtime.errors import InvalidDeploymentSpec, ModelInvalid, RequestError
from wye_runtime.media import SAMPLE
from wye_runtime.metrics import Metrics
from wye_runtime.protocol import RawRequest, Tensors
from wye_runtime.service.bodies import Bodies
from wye_runtime.service.company import LONGEST, LONGEST_IN_THREADS, Batching, Trial, batching
from wye_runtime.service.jobs import Job, Jobs, score_job
from wye_runtime.service.measuring import Placement, placement
from wye_runtime.service.remembering import Findings, key_of, remembered
from wye_runtime.service.running import Runner
from wye_runtime.settings import Config
from wye_runtime.tensors import prepare_short_floats


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that may serve."""

    model: Model
    contract: Contract | None
    jobs: Jobs
    runner: Runner
    findings: Findings
    seconds: float

    @property
    def place(self) -> Placement:
        return self.findings.place

    @property
    def batching(self) -> Batching:
        return self.findings.batching


def loaded(config: Config, metrics: Metrics, cache: Path | None = None) -> Loaded:
    """All of it, or a CannotServe; `cache` is a folder for what was measured."""
    began = time.perf_counter()
    session = model.load(artifact_at(config.model), config.engine, cache)
    prepare_short_floats(session.signature)
    declared = contract.parse(config.contract) if config.contract is not None else None
    fitted = contract.bound(declared, session.signature) if declared else None
    named = (session.signature, config.model.name, config.model.version)
    bodies = Bodies(fitted, session.signature, session.pictures, contract.PlainScores(fitted) if fitted else None)
    jobs = Jobs(config, session, fitted, InferCodec(*named), CallCodec(*named), bodies)
    runner = Runner(session, metrics)
    with session.losses.loading():
        job = warmed(jobs, runner, config)
        feeds, names = (job.batches, job.outputs) if job else ((), ())
        key = key_of(session, feeds, names, config)
        findings = remembered(cache, key, lambda: found(session, feeds, names, config))
    return Loaded(session, fitted, jobs, runner, findings, time.perf_counter() - began)


def found(session: Model, feeds: Sequence[Tensors], names: Sequence[str], config: Config) -> Findings:
    """What measuring says now."""
    place = placement(session, feeds, names)
    longest = LONGEST if place.elements else LONGEST_IN_THREADS
    trial = Trial(session, feeds[0] if feeds else None, names, longest)
    company = batching(trial, config.batching)
    if feeds and session.provider == EXECUTION_PROVIDERS["CPU"]:  # the only one whose memory is known to have an arena
        run = Run()
        run.give_back()  # of 32 images, tried together: hundreds of megabytes
        session.run(feeds[0], names, run)
    return Findings(place, company)


def warmed(jobs: Jobs, runner: Runner, config: Config) -> Job | None:
    """Runs the model as often as asked, and gives what ran; None where no input that it takes is known."""
    if not config.warmup.requests:
        return None
    try:
        job = warm_job(jobs, config)
        for _ in range(config.warmup.requests):
            runner.run(job, None)
    except RequestError as error:
        if jobs.model.bound:
            raise InvalidDeploymentSpec(
                f"engine.providerOptions asks for CUDA graphs, and the model cannot be recorded: {error.message}"
            ) from error
        if config.warmup.input is not None:
            raise ModelInvalid(f"the warm-up with warmup.input failed: {error.message}") from error
        if jobs.contract is not None:
            raise ModelInvalid(f"the model fails on what its contract calls valid: {error.message}") from error
        return None
    return job


def warm_job(jobs: Jobs, config: Config) -> Job:
    """The given body of /score, else an example of the contract, else the plainest tensors."""
    body = config.warmup.input
    if body is None and jobs.contract is not None:
        body = jobs.contract.example
    if body is not None:
        return jobs.job(RawRequest(codecs.dumps(body), "warm-up"))
    signature = jobs.model.signature
    names = tuple(spec.name for spec in signature.outputs)
    feeds = {spec.name: example(spec) for spec in signature.inputs}
    feeds.update(dict.fromkeys(jobs.model.pictures, SAMPLE))
    return score_job(Score([feeds], names, lambda _: None))
