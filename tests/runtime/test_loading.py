"""What is not served, and what is said about it: last words, exit codes, sentences."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

import toys
from wye_runtime import settings
from wye_runtime.errors import ConfigError, InvalidDeploymentSpec, ModelDigestMismatch, ModelFetch, ModelInvalid
from wye_runtime.metrics import Metrics
from wye_runtime.service.loading import loaded

CONTRACT = {"inputs": [{"name": "a", "type": "number"}], "outputs": [{"name": "y"}]}


def configured(path, **more):
    source = {"name": "toy", "path": str(path), **more.pop("model", {})}
    return settings.parse_config({"model": source, **more})


def load(path, **more):
    return loaded(configured(path, **more), Metrics())


def halved(made):
    content = made.SerializeToString()
    return content[: len(content) // 2]


BROKEN = {
    "garbage": (lambda: b"garbage", r"toy.onnx \(7 bytes\) is no ONNX model"),
    "empty": (lambda: b"", "is no ONNX model, or only a part of one"),
    "truncated": (lambda: halved(toys.linear()), "is no ONNX model, or only a part of one"),
    "a newer opset": (lambda: toys.newer(toys.linear(), opset=99).SerializeToString(), "uses a newer opset"),
    "a language that is not here": (
        lambda: toys.lower_case().SerializeToString(),
        "set the attribute locale of its StringNormalizer to C.UTF-8",
    ),
    "a newer IR": (lambda: toys.newer(toys.linear(), ir=99).SerializeToString(), "has a newer IR version"),
    "a sequence of maps": (lambda: toys.zipmap().SerializeToString(), "output y is seq.*zipmap=False"),
    "float8": (lambda: toys.float8().SerializeToString(), r"input x is tensor\(float8e4m3fn\), which has no datatype"),
    "strings in, BF16 out": (lambda: toys.echo("BYTES", "BF16").SerializeToString(), "cast the outputs to float"),
}


LOOKS = {
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "the file itself"),
    "a web page": (b"\n<!DOCTYPE html><html>Sign in</html>", "whether model.uri asks for a login"),
    "a ZIP archive": (b"PK\x03\x04" + bytes(60), r"PyTorch's \.pt is one"),
    "packed by gzip": (b"\x1f\x8b\x08" + bytes(60), "unpack it"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(60), "tf2onnx"),
    "a pickle": (b"\x80\x04\x95" + bytes(60), "skl2onnx"),
    "in ONNX Runtime's own format": (b"\x18\0\0\0ORTM" + bytes(60), r"the \.onnx that it was made of"),
    "safetensors": (b"\x40\0\0\0\0\0\0\0{" + bytes(60), "export"),
    "XML": (b"<?xml version='1.0'?><net name='x'>", "OpenVINO"),
}


@pytest.mark.parametrize("what", LOOKS)
def test_what_is_no_model_is_told_what_it_is(tmp_path, what):
    content, todo = LOOKS[what]
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ModelInvalid, match=rf"is no ONNX model: it is {what}.*{todo}"):
        load(tmp_path)


def external(folder, location, kept):
    """A model with its weights in another file, of which so many bytes are there (None: no file)."""
    made = toys.wide(1000)
    (weights,) = made.graph.initializer
    raw = numpy_helper.to_array(weights).tobytes()
    external_data_helper.set_external_data(weights, location, length=len(raw))
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    if kept is not None:
        (folder / location).write_bytes(raw[:kept])
    return toys.saved(made, folder / "model.onnx")


EXTERNAL = {
    "gone": ("weights.bin", None, r"its weights in weights.bin, which is not beside it: let model.uri name the folder"),
    "cut": ("weights.bin", 100, r"its weights in another file, which has 100 bytes of at least 12000: fetch or export"),
    "outside": ("../weights.bin", None, r"its weights in \.\./weights.bin, outside of its folder: save both in one"),
    "absolute": ("/data/weights.bin", None, "its weights at an absolute path: save both in one folder"),
}


@pytest.mark.parametrize("case", EXTERNAL)
def test_weights_in_another_file_are_missed_by_name(tmp_path, case):
    location, kept, said = EXTERNAL[case]
    path = external(tmp_path, location, kept)
    for given in (tmp_path, path):
        with pytest.raises(ModelInvalid, match=f"keeps {said}") as refusal:
            load(given)
        assert str(tmp_path) not in refusal.value.message


def test_an_operator_of_others_is_named(tmp_path):
    made = toys.linear()
    made.opset_import.append(helper.make_opsetid("com.mycompany", 1))
    made.graph.node.append(helper.make_node("Magic", ["x"], ["z"], domain="com.mycompany"))
    said = (
        "has the operator com.mycompany:Magic, which neither ONNX Runtime nor onnxruntime-extensions has: .*environment"
    )
    with pytest.raises(ModelInvalid, match=said):
        load(toys.saved(made, tmp_path / "toy.onnx"))


def test_a_folder_without_a_model_says_what_it_has(tmp_path):
    with pytest.raises(ModelInvalid, match=r"is an empty folder; want model.onnx"):
        load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x")
    (tmp_path / "config.json").write_bytes(b"{}")
    with pytest.raises(ModelInvalid, match=r"holds no \*\.onnx \(config.json, model.safetensors\); want model.onnx"):
        load(tmp_path)
    (tmp_path / "onnx").mkdir()
    toys.saved(toys.linear(), tmp_path / "onnx/model.onnx")
    with pytest.raises(ModelInvalid, match=r"holds no \*\.onnx but below it onnx/model.onnx: let model.uri name that"):
        load(tmp_path)


@pytest.mark.parametrize("case", BROKEN)
def test_a_model_that_cannot_be_served(tmp_path, case):
    made, message = BROKEN[case]
    path = tmp_path / "toy.onnx"
    path.write_bytes(made())
    with pytest.raises(ModelInvalid, match=message) as refusal:
        load(path)
    assert str(tmp_path) not in refusal.value.message


def test_a_missing_file_is_a_failed_fetch(tmp_path):
    with pytest.raises(ModelFetch, match="No such file"):
        load(tmp_path / "nothing.onnx")


def test_other_bytes_never_start(tmp_path):
    path = toys.saved(toys.linear(), tmp_path / "toy.onnx")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load(path, model={"sha256": digest.upper()}).model.artifact.sha256 == digest
    with pytest.raises(ModelDigestMismatch, match=f"has the sha256 {digest}, model.sha256 wants 00"):
        load(path, model={"sha256": "00"})


def test_a_folder_has_one_model_and_the_digest_of_its_list(tmp_path):
    toys.saved(toys.linear(), tmp_path / "some.onnx")
    alone = load(tmp_path).model.artifact
    assert alone.sha256 == hashlib.sha256((tmp_path / "some.onnx").read_bytes()).hexdigest()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.bin").write_bytes(b"w")
    command = "find . -type f | sed 's|^./||' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    listed = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, check=True, text=True)
    assert load(tmp_path).model.artifact.sha256 == listed.stdout.split()[0]
    toys.saved(toys.linear(), tmp_path / "other.onnx")
    with pytest.raises(ModelInvalid, match=r"holds other.onnx, some.onnx; want model.onnx"):
        load(tmp_path)
    toys.saved(toys.linear(), tmp_path / "model.onnx")
    assert load(tmp_path).model.artifact.file.name == "model.onnx"


@pytest.mark.parametrize("provider", ["CUDA", "TensorRT"])
def test_a_provider_that_is_not_here_is_refused(tmp_path, provider):
    path = toys.saved(toys.linear(), tmp_path / "toy.onnx")
    with pytest.raises(
        InvalidDeploymentSpec, match=f"engine.provider {provider} is not in this runtime, which has CPU"
    ):
        load(path, engine={"provider": provider})


def test_where_runs_happen(tmp_path):
    fast = load(toys.saved(toys.linear(), tmp_path / "fast.onnx"))
    assert fast.place.why.startswith("a run takes")
    looping = load(toys.saved(toys.slow(), tmp_path / "slow.onnx"))
    assert looping.place.elements == 0
    free = load(toys.saved(toys.sized(), tmp_path / "sized.onnx"))
    assert free.place.elements == 0
    cold = load(toys.saved(toys.linear(), tmp_path / "cold.onnx"), warmup={"requests": 0})
    assert (cold.place.elements, cold.place.why) == (0, "no warm-up run to measure")


def test_a_warm_up_that_fails_is_the_models_fault_only_where_its_input_was_given(tmp_path):
    path = toys.saved(toys.raising(), tmp_path / "toy.onnx")
    with pytest.raises(ModelInvalid, match=r"the warm-up with warmup.input failed: the model failed"):
        load(path, warmup={"input": {"index": [7]}})
    with pytest.raises(ModelInvalid, match="the warm-up with warmup.input failed"):
        load(path, warmup={"input": {"nothing": [1]}})
    fields = [{"name": "i", "type": "integer", "minimum": 5}]
    with pytest.raises(ModelInvalid, match="fails on what its contract calls valid"):
        load(path, contract={"inputs": fields, "outputs": [{"name": "y"}]})


@pytest.mark.parametrize(
    ("made", "more", "code", "reason"),
    [
        (lambda: b"garbage", {}, 3, "ModelInvalid"),
        (toys.linear, {"model": {"sha256": "00"}}, 3, "ModelDigestMismatch"),
        (toys.linear, {"model": {"path": "/nowhere"}}, 3, "ModelFetch"),
        (toys.linear, {"engine": {"provider": "CUDA"}}, 3, "InvalidDeploymentSpec"),
        (toys.linear, {"contract": CONTRACT}, 3, "ModelInvalid"),
    ],
)
def test_the_exit_code_and_the_last_words(servers, made, more, code, reason):
    server = servers.start(made(), **more)
    assert server.ended() == code
    assert server.last_words()["reason"] == reason
    assert server.line("cannot serve")["why"] == server.last_words()["message"]


@pytest.mark.parametrize(
    ("more", "environment", "message"),
    [
        ({"contract": {"inputs": []}}, {}, "contract.inputs must be a list with at least one field"),
        (
            {"contract": {**CONTRACT, "more": 1}},
            {},
            "contract has unknown keys more; known: inputs, outputs, unknownFields",
        ),
        ({"wamrup": {}}, {}, "the configuration has unknown keys wamrup; known: deployment, model, engine"),
        ({}, {"WYE_LOG_SAMPLE": "2"}, 'WYE_LOG_SAMPLE is "2", want a number from 0 to 1'),
    ],
    ids=["a contract without fields", "a misspelt contract", "a misspelt key", "a wrong variable"],
)
def test_a_wrong_configuration_has_last_words_too(servers, more, environment, message):
    server = servers.start(toys.linear(), environment, **more)
    assert server.ended() == 2
    words = server.last_words()
    assert words["reason"] == "InvalidDeploymentSpec"
    assert words["message"].startswith(message)
    assert server.out.read_text() == f"wye-runtime: {words['message']}\n"


def command(*arguments):
    binary = Path(sys.executable).parent / "wye-runtime"
    return subprocess.run([binary, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("option", ["--name", "--contract"])
def test_a_configuration_says_everything_itself(tmp_path, option):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model": {"path": str(tmp_path / "nothing")}}))
    ended = command("serve", "--config", config, option, "other", "--port", "0", "--inner-port", "0")
    assert ended.returncode == 2
    assert ended.stderr == f"wye-runtime: {option} cannot stand beside --config: the file says it\n"


def test_the_command_line(tmp_path):
    path = toys.saved(toys.linear(), tmp_path / "toy.onnx")
    shown = json.loads(command("inspect", path).stdout)
    assert shown["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 7]}]
    assert command("inspect", tmp_path / "nothing").returncode == 3
    assert command("serve").returncode == 2
    assert command("serve", "--config", tmp_path / "nothing").returncode == 2
    assert "wye-runtime serve --model fraud.onnx" in command("--help").stdout


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([], "the configuration is a list, want an object"),
        ({}, "want model.path"),
        ({"model": {}}, "want model.path"),
        ({"model": {"path": "x", "nme": "y"}}, "model has unknown keys nme"),
        ({"model": {"path": "x"}, "engine": {"provider": "GPU"}}, 'engine.provider is "GPU", want one of Auto'),
        ({"model": {"path": "x"}, "engine": {"threads": 0}}, "engine.threads is 0, want an integer of at least 1"),
        ({"model": {"path": "x"}, "requestSettings": {"requestTimeoutMs": True}}, "requestTimeoutMs is true"),
        ({"model": {"path": "x"}, "maxRequestBytes": "1"}, 'maxRequestBytes is "1"'),
    ],
)
def test_a_wrong_configuration(config, message):
    with pytest.raises(ConfigError, match=message):
        settings.parse_config(config)


def test_the_configuration_of_the_wire_page_is_read():
    page = (Path(__file__).parents[2] / "docs/concepts/wire.md").read_text()
    config = settings.parse_config(json.loads(page.split("```json")[1].split("```")[0]))
    assert (config.deployment, config.model.name, config.warmup.requests) == ("default/fraud-blue", "fraud", 3)


def test_an_empty_configuration_has_defaults():
    config = settings.parse_config({"model": {"path": "/m/fraud.onnx", "version": 3}, "engine": None, "contract": None})
    assert (config.model.name, config.model.version) == ("fraud", "3")
    assert (config.request.timeout, config.request.queue_wait) == (5.0, 0.5)
    assert config.max_request_bytes == 1 << 30


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_the_cgroups_quota(tmp_path, files, quota):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert settings.cgroup_quota(tmp_path) == quota
    assert settings.cpu_count(tmp_path) >= 1


def test_a_model_is_called_what_its_owner_calls_it(tmp_path):
    copied = tmp_path / "model"
    copied.write_bytes(b"garbage")
    with pytest.raises(ModelInvalid, match=r"^file://models/amber.onnx \(7 bytes\) is no ONNX model"):
        load(copied, model={"uri": "file://models/amber.onnx"})
