"""`engine`: how ONNX Runtime runs the model, on which chip, and with which of its own options."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wye_operator.api.base import Model, Rule, Text

# as the runtime knows them (tests/contract): ONNX Runtime takes any name, and leaves out what it does not know
SESSION_OPTIONS = (
    "graph_optimization_level",
    "execution_mode",
    "inter_op_num_threads",
    "enable_cpu_mem_arena",
    "enable_mem_pattern",
    "enable_mem_reuse",
    "use_deterministic_compute",
    "session.intra_op.allow_spinning",
    "session.inter_op.allow_spinning",
    "session.force_spinning_stop",
    "session.intra_op_thread_affinities",
    "session.dynamic_block_base",
    "session.set_denormal_as_zero",
    "session.disable_prepacking",
    "session.use_device_allocator_for_initializers",
    "session.disable_cpu_ep_fallback",
    "session.disable_quant_qdq",
    "session.disable_double_qdq_remover",
    "session.enable_quant_qdq_cleanup",
    "session.qdqisint8allowed",
    "session.x64quantprecision",
    "session.disable_aot_function_inlining",
    "optimization.enable_gelu_approximation",
    "optimization.enable_cast_chain_elimination",
    "optimization.disable_specified_optimizers",
)


def _option_hint(name: str) -> str:
    found = get_close_matches(name, SESSION_OPTIONS, 1)
    return f"use '{found[0]}'" if found else ""


OPTION_NAME = Text(
    pattern=r"^[a-z][a-z0-9_]*$",
    most=63,
    sentence="the name of an option as ONNX Runtime writes it: lower-case letters, digits and '_'",
)
SESSION_OPTION = Text(
    pattern=f"^({'|'.join(name.replace('.', '[.]') for name in SESSION_OPTIONS)})$",
    most=63,
    sentence="one of the options of a session that docs/guides/gpu.md lists, such as 'graph_optimization_level'",
    hint=_option_hint,
)
OptionValue = Annotated[str, Field(max_length=1024)]
ProviderOptions = Annotated[dict[Annotated[str, OPTION_NAME], OptionValue], Field(max_length=32)]
SessionOptions = Annotated[dict[Annotated[str, SESSION_OPTION], OptionValue], Field(max_length=32)]


class Engine(Model):
    """How ONNX Runtime runs the model."""

    provider: Literal["Auto", "CPU", "CUDA", "TensorRT"] = Field(
        default="Auto",
        description="Execution provider. One that was asked for and is not there is an error, never a "
        "silent fall-back. `CUDA` and `TensorRT` want a GPU in `resources.limits`, which picks the GPU image; "
        "with one, `Auto` is `CUDA`.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Threads of one run. Default: the processors the instance may use.",
    )
    provider_options: ProviderOptions | None = Field(
        default=None,
        description="Options of that provider by ONNX Runtime's names, such as `gpu_mem_limit` (bytes). One that it "
        "does not know is an error.",
    )

    session_options: SessionOptions | None = Field(
        default=None,
        description="Options of the session by ONNX Runtime's names, such as `graph_optimization_level`; values are "
        "strings. One that is not known is an error.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "providerOptions",
            "!has(self.providerOptions) || (has(self.provider) && self.provider in ['CUDA', 'TensorRT'])",
            "must be set only where provider is CUDA or TensorRT: they are the options of one provider",
            lambda engine: engine.provider_options is None or engine.provider in ("CUDA", "TensorRT"),
        ),
    )
