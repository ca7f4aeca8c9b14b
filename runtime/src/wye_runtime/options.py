"""`engine.sessionOptions`: which options of a session there are, and what each may be. Called by settings.

ONNX Runtime takes any name and any value, and leaves out what it does not know; some of its own end the process.
"""

import re

from wye_runtime.errors import ConfigError, shown

SWITCH, NUMBER = "0|1", "[0-9]{1,9}"
NO_CPU = "session.disable_cpu_ep_fallback"  # a model with an operator that the GPU has no kernel for is refused
SESSION_OPTIONS = {
    "graph_optimization_level": "ORT_DISABLE_ALL|ORT_ENABLE_(BASIC|EXTENDED|LAYOUT|ALL)",
    "execution_mode": "ORT_SEQUENTIAL|ORT_PARALLEL",
    "inter_op_num_threads": NUMBER,
    "enable_cpu_mem_arena": SWITCH,
    "enable_mem_pattern": SWITCH,
    "enable_mem_reuse": SWITCH,
    "use_deterministic_compute": SWITCH,
    "session.intra_op.allow_spinning": SWITCH,
    "session.inter_op.allow_spinning": SWITCH,
    "session.force_spinning_stop": SWITCH,
    "session.intra_op_thread_affinities": "[0-9;,-]{1,1024}",
    "session.dynamic_block_base": NUMBER,
    "session.set_denormal_as_zero": SWITCH,
    "session.disable_prepacking": SWITCH,
    "session.use_device_allocator_for_initializers": SWITCH,
    NO_CPU: SWITCH,
    "session.disable_quant_qdq": SWITCH,
    "session.disable_double_qdq_remover": SWITCH,
    "session.enable_quant_qdq_cleanup": SWITCH,
    "session.qdqisint8allowed": SWITCH,
    "session.x64quantprecision": SWITCH,
    "session.disable_aot_function_inlining": SWITCH,
    "optimization.enable_gelu_approximation": SWITCH,
    "optimization.enable_cast_chain_elimination": SWITCH,
    "optimization.disable_specified_optimizers": "[A-Za-z0-9_;]{1,1024}",
}


def check_session_option(name: str, value: str) -> None:
    """ConfigError for one that nobody would read."""
    wanted = SESSION_OPTIONS.get(name)
    if wanted is None:
        raise ConfigError(f"engine.sessionOptions has {shown(name)}; known: {', '.join(SESSION_OPTIONS)}")
    if not re.fullmatch(wanted, value):
        raise ConfigError(f"engine.sessionOptions.{name} is {shown(value)}, want {readable(wanted)}")


def readable(pattern: str) -> str:
    """A pattern for people."""
    return {SWITCH: "0 or 1", NUMBER: "a whole number"}.get(pattern, f"something like {pattern}")
