"""The endpoint describes itself: OpenAPI, metrics, logs; and the page about the runtime names all codes and metrics."""

import re
from pathlib import Path

import pytest
from openapi_spec_validator import validate

import toys
from wye_runtime import errors
from wye_runtime.endpoints.answers import CODES, STATUS
from wye_runtime.fastlane.bounded import MAX_HEAD
from wye_runtime.metrics import DROP_REASONS, Metrics

PAGE = (Path(__file__).parents[2] / "docs/concepts/runtime.md").read_text()
CONTRACT = {
    "inputs": [
        {"name": "amount", "type": "number", "minimum": 0, "description": "euros"},
        {"name": "channel", "type": "string", "values": ["web", "shop"], "default": "shop"},
        {"name": "known", "type": "boolean"},
    ],
    "outputs": [
        {"name": "scores", "tensor": "scores"},
        {"name": "second", "tensor": "scores", "index": 1},
        {"name": "class", "tensor": "label", "labels": ["a", "b", "c"]},
        {"name": "level", "tensor": "scores", "index": 0, "thresholds": [1, 2], "labels": ["low", "mid", "high"]},
    ],
}


@pytest.fixture
def fields(servers):
    return servers.one("described", toys.classifier, contract=CONTRACT)


@pytest.fixture
def plain(servers):
    return servers.one("columns", toys.columns)


@pytest.fixture
def odd_names(servers):
    inputs = [
        {"name": "type", "type": "string", "values": ["array", "object"]},
        {"name": "examples", "type": "number"},
        {"name": "oneOf", "type": "boolean"},
    ]
    level = {"name": "nullable", "tensor": "scores", "index": 0, "threshold": 1, "labels": ["low", "high"]}
    return servers.one("odd names", toys.classifier, contract={"inputs": inputs, "outputs": [level]})


def references(value):
    """Every $ref in a document."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from references(each)


def resolved(document, reference):
    found = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def schemas(value):
    """Every schema under a schema."""
    yield value
    for key in ("items", "additionalProperties"):
        if isinstance(value.get(key), dict):
            yield from schemas(value[key])
    for each in [*value.get("properties", {}).values(), *value.get("oneOf", []), *value.get("anyOf", [])]:
        yield from schemas(each)


TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}


@pytest.mark.parametrize("which", ["fields", "plain"])
def test_the_document_is_openapi_31(request, which):
    server = request.getfixturevalue(which)
    document = server.http.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    assert set(document) <= {"openapi", "info", "servers", "security", "paths", "components"}
    assert {"title", "version"} <= set(document["info"])
    for reference in references(document):
        assert resolved(document, reference)
    operations = [(path, verb, each) for path, item in document["paths"].items() for verb, each in item.items()]
    names = [operation["operationId"] for _, _, operation in operations]
    assert len(set(names)) == len(names)
    for path, verb, operation in operations:
        assert path.startswith("/")
        assert verb in ("get", "post")
        assert operation["responses"]["200"]["description"]
    for schema in document["components"]["schemas"].values():
        for each in schemas(schema):
            kinds = each.get("type", [])
            assert set([kinds] if isinstance(kinds, str) else kinds) <= TYPES
            assert set(each.get("required", [])) <= set(each.get("properties", {}))
    assert document["security"] == [{"bearer": []}, {"apiKey": []}]
    assert document["components"]["securitySchemes"]["apiKey"] == {"type": "apiKey", "in": "header", "name": "api-key"}
    assert server.http.get("/swagger.json?version=3.1").json() == document


@pytest.mark.parametrize("which", ["fields", "plain", "odd_names"])
def test_older_descriptions_are_valid_and_tell_the_same(request, which):
    server = request.getfixturevalue(which)
    new, old, oldest = (server.http.get(f"/swagger.json?version={v}").json() for v in ("3.1", "3", "2"))
    assert server.http.get("/swagger.json").json() == oldest, "Azure ML's own default"
    assert (new["openapi"], old["openapi"], oldest["swagger"]) == ("3.1.0", "3.0.3", "2.0")
    for document in (new, old, oldest):
        validate(document)
        assert set(document["paths"]) == set(new["paths"])
    known = old["components"]["schemas"]
    assert set(oldest["definitions"]) == set(known) == set(new["components"]["schemas"])
    for name, described in new["components"]["schemas"].items():
        if name not in ("ScoreRequest", "ScoreResponse"):  # one of several forms: Swagger 2.0 has words for one only
            assert set(oldest["definitions"][name].get("properties", {})) == set(described.get("properties", {}))
    [body] = [each for each in oldest["paths"]["/score"]["post"]["parameters"] if each["in"] == "body"]
    assert body["name"] == "serviceInputPayload"
    wanted = list(new["paths"]["/score"]["post"]["requestBody"]["content"])
    assert oldest["paths"]["/score"]["post"]["consumes"] == wanted


def test_a_field_may_be_called_as_a_word_of_the_schemas(odd_names):
    for version in ("3", "2"):
        document = odd_names.http.get(f"/swagger.json?version={version}").json()
        schemas = document.get("definitions") or document["components"]["schemas"]
        assert list(schemas["Instance"]["properties"]) == ["type", "examples", "oneOf"]
        assert schemas["Instance"]["example"] == {"type": "array", "examples": 0, "oneOf": False}
    level = odd_names.http.get("/swagger.json?version=2").json()["definitions"]["Prediction"]["properties"]["nullable"]
    assert level == {"type": "string", "enum": ["low", "high", None], "x-nullable": True}


def test_every_described_get_is_there(plain):
    document = plain.http.get("/openapi.json").json()
    for path, item in document["paths"].items():
        if "get" in item:
            assert plain.http.get(path).status_code == 200, path


def test_the_examples_work(fields, plain):
    for server in (fields, plain):
        known = server.http.get("/openapi.json").json()["components"]["schemas"]
        assert server.http.post("/v2/models/toy/infer", json=known["InferRequest"]["examples"][0]).status_code == 200
        example = (known.get("Instance") or known["Inputs"])["examples"][0]
        assert server.score(example).status_code == 200


def test_the_contract_is_described(fields):
    known = fields.http.get("/openapi.json").json()["components"]["schemas"]
    assert known["Instance"]["properties"] == {
        "amount": {"type": "number", "minimum": 0, "description": "euros"},
        "channel": {"type": "string", "enum": ["web", "shop"], "default": "shop"},
        "known": {"type": "boolean"},
    }
    assert known["Instance"]["required"] == ["amount", "known"]
    assert known["Instance"]["additionalProperties"] is False
    assert known["Prediction"]["properties"] == {
        "scores": {"type": "array", "items": {}},
        "second": {"type": ["number", "null"]},
        "class": {"type": "string", "enum": ["a", "b", "c"]},
        "level": {"type": ["string", "null"], "enum": ["low", "mid", "high", None]},
    }
    answer = fields.score({"amount": 1, "known": True, "channel": "web"}).json()
    assert answer == {"scores": [1.0, 0.0, 1.0], "second": 0.0, "class": "a", "level": "mid"}


def test_metrics_have_no_label_of_a_request(plain):
    plain.http.get("/secret-path")
    plain.http.post("/v2/models/secret-model/infer", json={})
    text = plain.inner.get("/metrics").text
    assert "secret" not in text
    assert plain.metric('wye_requests_total{code="404",route="other",traffic="live"}') >= 1
    assert plain.metric('wye_requests_total{code="404",route="/v2/models/{model}/infer",traffic="live"}') >= 1
    assert (
        plain.metric('wye_request_duration_seconds_bucket{le="+Inf",route="/v2/models/{model}/infer",traffic="live"}')
        >= 1
    )
    assert plain.metric("wye_run_duration_seconds_count") >= 3
    assert plain.metric("wye_model_load_seconds") > 0
    assert plain.metric("process_resident_memory_bytes") > 0
    assert re.search(r'wye_model_info\{mode="\w+",model="toy",provider="CPUExecutionProvider",sha256="\w{64}"', text)


def test_the_log_is_json_and_keeps_inputs_to_itself(fields):
    fields.score({"amount": 31337.5, "known": True})
    loaded = fields.line("model loaded")
    assert set(loaded) >= {"time", "level", "sha256", "ms", "inputs"}
    assert fields.line("decided where runs happen")["mode"] in ("inline", "threads")
    assert "31337.5" not in fields.out.read_text()


def test_a_sample_is_logged_where_asked(servers):
    server = servers.start(toys.linear(), {"WYE_LOG_SAMPLE": "1"}).ready()
    server.score({"data": [[31337.5, 0, 0, 0, 0, 0, 0]]})
    sample = server.line("sample")
    assert "31337.5" in sample["inputs"]
    assert sample["outputs"] == "[[1.0]]"
    assert servers.start(toys.linear(), {"WYE_LOG_SAMPLE": "often"}).ended() == 2


def test_the_page_names_every_error_code_with_its_status():
    codes = {(STATUS[kind], kind.code) for kind in STATUS} | set(CODES.items())
    for status, code in codes:
        assert f"| {status} | `{code}` |" in PAGE, code
    for kind in (errors.ModelFetch, errors.ModelDigestMismatch, errors.ModelInvalid, errors.InvalidDeploymentSpec):
        assert f"`{kind.code}`" in PAGE


def test_the_page_names_every_metric():
    names = re.findall(r"^# TYPE (wye_\w+)", Metrics().text()[0].decode(), re.M)
    assert len(names) == 7
    for name in names:
        assert f"`{name}`" in PAGE, name
    for reason in DROP_REASONS:
        assert f"`{reason}`" in PAGE, reason
    assert f"{MAX_HEAD >> 10} KiB" in PAGE
