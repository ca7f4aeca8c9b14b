"""Whatever stands in a file, it is read, or refused with whole sentences; nothing crashes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.texts import mistakes
from wye_operator.local.manifests import Manifests, read_manifests

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


YAML_LIKE = st.text(alphabet=st.sampled_from(list("ab:-[]{}&*!<'\"|>%@#?,~ \n\t0.\\\x00é\u2028\ud83d")), max_size=60)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


VALID = json.dumps(
    {
        "apiVersion": "wye.dev/v1alpha1",
        "kind": "Deployment",
        "metadata": {"name": "fraud-blue", "labels": {"a": "b"}},
        "spec": {
            "endpointName": "fraud",
            "model": {"uri": "configmap://models/m", "version": 1},
            "engine": {"threads": 2},
            "contract": {
                "inputs": [{"name": "a", "type": "string", "values": ["x"], "default": "x"}],
                "outputs": [{"name": "b", "thresholds": [0.5], "labels": ["x", "y"]}],
            },
            "warmup": {"input": {"a": [1]}},
            "environmentVariables": {"A": "b"},
        },
    }
)


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a value."""
    names = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [path for name in names for path in ((*above, name), *places(value[name], (*above, name)))]


def answered(found: Manifests) -> bool:
    """Whether it was read, or refused with whole sentences."""
    return bool(found.endpoints or found.deployments) or all(m.message and m.file for m in found.mistakes)


@QUICK
@given(text=YAML_LIKE)
def test_random_text_never_crashes_the_reader(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    found = read_manifests(tmp_path)
    assert found.mistakes
    assert answered(found)


@QUICK
@given(data=st.data())
def test_a_mutated_manifest_is_read_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    manifest = json.loads(VALID)
    path = data.draw(st.sampled_from(places(manifest)))
    target = manifest
    for part in path[:-1]:
        target = target[part]
    if data.draw(st.booleans()) or isinstance(target, list):
        target[path[-1]] = data.draw(JUNK)
    else:
        target[data.draw(st.text(max_size=5))] = target.pop(path[-1])
    (tmp_path / "a.yaml").write_bytes(json.dumps(manifest, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    found = read_manifests(tmp_path)
    assert answered(found)
    assert found.deployments or found.mistakes


def test_the_manifest_that_is_mutated_is_valid(tmp_path: Path) -> None:
    assert mistakes(tmp_path, a__yaml=VALID) == []
