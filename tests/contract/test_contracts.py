"""Every contract that the planner lets through is one that the runtime reads."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from wye_operator.api.contract import Contract
from wye_operator.plan.contracts import ContractsDoNotFit, merged, settings_of
from wye_runtime.contract.declared import parse

NAMES = st.sampled_from(["a", "b", "c"])
PLACES = {"tensor": st.just("x")}
PLACED = {"tensor": st.just("x"), "index": st.integers(0, 3)}
NUMBERS = {"minimum": st.integers(-5, 0), "maximum": st.integers(0, 5), "default": st.integers(-6, 6)}


def fields(said: dict, may_say: dict) -> st.SearchStrategy:
    """A field with what it says and may say, with and without a place in a tensor."""
    named = {"name": NAMES, **said}
    return st.one_of(
        *(st.fixed_dictionaries(named, optional=may_say | places) for places in ({}, PLACES)),
        st.fixed_dictionaries(named | PLACED, optional=may_say),
    )


INPUTS = st.one_of(
    fields({}, {}),
    fields({}, NUMBERS | {"default": st.sampled_from([1, 0.5, True, "web"])}),
    fields({"type": st.sampled_from(["number", "integer"])}, NUMBERS),
    fields({"type": st.just("boolean")}, {"default": st.booleans()}),
    fields({"type": st.just("string")}, {"default": st.sampled_from(["web", "shop"])}),
    fields({"type": st.just("text")}, {"default": st.sampled_from(["some words", 1])}),
    fields({"type": st.just("image")}, {"default": st.just("a picture")}),
    fields(
        {"type": st.just("string"), "values": st.just(["web", "shop"])}, {"default": st.sampled_from(["web", "no"])}
    ),
)
LABELS = st.lists(st.sampled_from(["no", "maybe", "yes"]), min_size=2, max_size=3, unique=True)
OUTPUTS = st.one_of(
    fields({}, {"labels": LABELS}),
    fields({"threshold": st.floats(0, 1)}, {"labels": LABELS}),
    fields({"thresholds": st.lists(st.floats(0, 1), min_size=1, max_size=2, unique=True)}, {"labels": LABELS}),
)


def name_of(field: dict) -> str:
    return field["name"]


CONTRACTS = st.fixed_dictionaries(
    {},
    optional={
        "inputs": st.lists(INPUTS, max_size=3, unique_by=name_of),
        "outputs": st.lists(OUTPUTS, max_size=2, unique_by=name_of),
        "unknownFields": st.sampled_from(["error", "drop"]),
    },
)


def half(written: dict | None) -> Contract | None:
    return None if written is None else Contract.model_validate_json(json.dumps(written))


@settings(max_examples=1500)
@given(st.one_of(st.none(), CONTRACTS), st.one_of(st.none(), CONTRACTS))
def test_what_the_planner_lets_through_the_runtime_reads(endpoint, deployment) -> None:
    try:
        whole = settings_of(merged(half(endpoint), half(deployment)))
    except (ValidationError, ContractsDoNotFit):
        return
    if whole is not None:
        assert [field.name for field in parse(json.loads(json.dumps(whole))).inputs]
