"""The twin's small parts, each by its own rules: rolling, back-off, files, models, state, keys, samples, Envoy."""

from __future__ import annotations

import json
import os
import stat

import pytest

from wye_operator.api.contract import Contract
from wye_operator.errors import WyeError
from wye_operator.local import files, models
from wye_operator.local.envoy import find_envoy
from wye_operator.local.envoys import why_it_ended
from wye_operator.local.instances import Home
from wye_operator.local.manifests import read_manifests
from wye_operator.local.models import ModelStore, digest_of
from wye_operator.local.notes import notes_of
from wye_operator.local.processes import BackOff
from wye_operator.local.rolling import Standing, Steps, steps
from wye_operator.local.routers import Router
from wye_operator.local.sample import bearer, curl, example
from wye_operator.local.state import KeyFiles, State, holder, label
from wye_operator.local.status import tables
from wye_operator.plan.record import Record
from wye_operator.plan.wanted import Auth
from wye_operator.plan.world import Address, Keys, Signature, TensorSeen


def new(name, **facts):
    return Standing(name, current=True, **facts)


def old(name, **facts):
    return Standing(name, current=False, **facts)


UP = {"proven": True, "ready": True, "available": True}


@pytest.mark.parametrize(
    ("standing", "wanted", "expected"),
    [
        pytest.param([], 3, Steps(3, ()), id="a first start starts all at once"),
        pytest.param([new("a", **UP)], 1, Steps(0, ()), id="as wanted: nothing"),
        pytest.param([new("a")], 3, Steps(2, ()), id="more are wanted: they start"),
        pytest.param([old("a", **UP)], 1, Steps(1, ()), id="another revision: a new one starts beside the old one"),
        pytest.param([old("a", **UP), new("b")], 1, Steps(0, ()), id="the old one stays while the new one starts"),
        pytest.param(
            [old("a", **UP), new("b", proven=True, ready=True)],
            1,
            Steps(0, ()),
            id="the old one stays until the routers use the new one",
        ),
        pytest.param(
            [old("a", **UP), new("b", **UP)], 1, Steps(0, ("a",)), id="the old one goes when its place is taken"
        ),
        pytest.param([old("a", **UP), old("b", **UP)], 2, Steps(1, ()), id="of two, one new one at a time"),
        pytest.param(
            [old("a", **UP), old("b", **UP), new("c", **UP)],
            2,
            Steps(1, ("a",)),
            id="one old one goes for each new one, and the next starts",
        ),
        pytest.param([old("a"), new("b")], 1, Steps(0, ("a",)), id="an old one that never worked goes at once"),
        pytest.param(
            [old("a", proven=True), new("b")],
            1,
            Steps(0, ()),
            id="an old one that worked and died may come back while no new one works",
        ),
        pytest.param(
            [old("a", proven=True), new("b", **UP)], 1, Steps(0, ("a",)), id="it may not once a new one works"
        ),
        pytest.param(
            [new("a", **UP), new("b")], 1, Steps(0, ("b",)), id="fewer are wanted: the one that is not ready goes"
        ),
        pytest.param([new("a", **UP), old("b", **UP)], 0, Steps(0, ("a", "b")), id="none is wanted: all go"),
        pytest.param(
            [old("a", **UP), old("b", **UP)],
            1,
            Steps(1, ("a",)),
            id="fewer of another revision: the surplus goes first",
        ),
    ],
)
def test_steps(standing, wanted, expected):
    assert steps(standing, wanted) == expected


def test_back_off_doubles_up_to_thirty_seconds_and_forgets_after_ten_good_ones():
    back_off, waits = BackOff(), []
    for ready_for in (0, 0, 0, 9.9, 0, 0, 0, 0, 10, 0):
        back_off.died(100.0, ready_for)
        waits.append(back_off.not_before - 100)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 0.5, 1]


def test_a_router_is_started_again_at_once_the_first_time():
    back_off, waits = BackOff(free=1), []
    for _ in range(3):
        back_off.died(100.0, 0)
        waits.append(back_off.not_before - 100)
    assert waits == [0, 0.5, 1]


def test_a_swap_replaces_all_files_in_one_step(tmp_path):
    folder = tmp_path / "routes"
    assert files.swap(folder, {"a.json": b"1", "b.json": b"2"})
    first = os.readlink(folder / "..data")
    assert files.swap(folder, {"a.json": b"3", "c.json": b"4"})
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == {"a.json": b"3", "c.json": b"4"}
    assert os.readlink(folder / "a.json") == "..data/a.json"
    assert os.readlink(folder / "..data") != first
    assert files.contents(folder) == {"a.json": b"3", "c.json": b"4"}


def test_a_swap_of_the_same_bytes_writes_nothing(tmp_path):
    files.swap(tmp_path, {"a.json": b"1"})
    before = sorted(os.listdir(tmp_path))
    assert not files.swap(tmp_path, {"a.json": b"1"})
    assert sorted(os.listdir(tmp_path)) == before


def test_old_swaps_do_not_pile_up(tmp_path):
    for number in range(12):
        files.swap(tmp_path, {"a.json": str(number).encode()})
    assert sorted(os.listdir(tmp_path)) == ["..11", "..12", "..data", "a.json"]


def test_a_kept_model_is_the_bytes_of_its_digest_whatever_becomes_of_the_file(tmp_path):
    store, source = ModelStore(tmp_path / "store"), tmp_path / "m.onnx"
    source.write_bytes(b"one")
    first = store.read(source)
    assert store.current(source) == first
    source.write_bytes(b"other")
    assert store.current(source) is None
    second = store.read(source)
    assert first.digest == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert (first.path.read_bytes(), second.path.read_bytes()) == (b"one", b"other")
    assert digest_of(source).digest == second.digest


def test_the_same_bytes_under_two_names_are_one_copy(tmp_path):
    store = ModelStore(tmp_path / "store")
    copies = []
    for name in ("blue.onnx", "green.onnx"):
        (tmp_path / name).write_bytes(b"same")
        copies.append(store.read(tmp_path / name))
    assert copies[0] == copies[1]
    assert copies[1].path.read_bytes() == b"same"


def test_a_copy_that_somebody_removed_is_made_again(tmp_path):
    store, source = ModelStore(tmp_path / "store"), tmp_path / "m.onnx"
    source.write_bytes(b"one")
    store.read(source).path.unlink()
    assert store.current(source) is None
    assert store.read(source).path.read_bytes() == b"one"


def test_a_file_that_is_being_written_is_not_read_yet(tmp_path):
    store, source = ModelStore(tmp_path / "store"), tmp_path / "m.onnx"
    source.write_bytes(b"one")
    store.read(source)
    assert not store.changing(source)
    source.write_bytes(b"half")
    assert store.changing(source)
    source.write_bytes(b"whole!")
    assert store.changing(source)
    assert not store.changing(source)


def test_a_model_may_be_a_folder_and_its_names_count(tmp_path):
    store, source = ModelStore(tmp_path / "store"), tmp_path / "model"
    (source / "sub").mkdir(parents=True)
    (source / "a.onnx").write_bytes(b"1")
    (source / "sub" / "data").write_bytes(b"2")
    first = store.read(source)
    assert (first.path / "sub" / "data").read_bytes() == b"2"
    (source / "a.onnx").rename(source / "b.onnx")
    assert store.current(source) is None
    assert store.read(source).digest != first.digest


def test_a_folder_with_too_many_files_is_no_model(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "MOST_FILES", 3, raising=False)
    store, source = ModelStore(tmp_path / "store"), tmp_path / "model"
    (source / "sub").mkdir(parents=True)
    for name in ("a.onnx", "sub/b"):
        (source / name).write_bytes(b"1")
    assert store.read(source).problem == ""
    (source / "sub" / "c").write_bytes(b"1")
    expected = f"{source} has more than 3 files and folders: a model's folder has only what the model needs"
    assert [store.current(source).problem, store.read(source).problem] == [expected, expected]
    assert digest_of(source).problem == expected


def test_a_model_that_is_not_there_says_where_it_was_looked_for(tmp_path):
    store = ModelStore(tmp_path / "store")
    assert store.current(tmp_path / "none.onnx").problem == f"there is no file {tmp_path}/none.onnx"
    assert digest_of(tmp_path / "none.onnx").problem == f"there is no file {tmp_path}/none.onnx"


def test_copies_that_nobody_uses_are_swept(tmp_path):
    store, source = ModelStore(tmp_path / "store"), tmp_path / "m.onnx"
    source.write_bytes(b"one")
    used = store.read(source)
    source.write_bytes(b"two")
    current = store.read(source)
    store.sweep([used.path], {source})
    assert (used.path.exists(), current.path.exists()) == (True, True)
    store.sweep([], {source})
    assert (used.path.exists(), current.path.exists()) == (False, True)


def test_generations_count_edits_and_begin_anew_with_a_new_object(tmp_path):
    state = State(tmp_path / ".wye")
    state.hold()
    seen = [state.known("Endpoint/default/fraud", spec, 5.0).generation for spec in ({"a": 1}, {"a": 1}, {"a": 2})]
    state.release()
    again = State(tmp_path / ".wye")
    again.hold()
    known = again.known("Endpoint/default/fraud", {"a": 3}, 9.0)
    again.keep_only([])
    fresh = again.known("Endpoint/default/fraud", {"a": 3}, 9.0)
    again.release()
    assert seen == [1, 1, 2]
    assert (known.generation, known.created) == (3, 5.0)
    assert (fresh.generation, fresh.created) == (1, 9.0)


def test_a_state_folder_is_held_by_one_process_and_kept_out_of_git(tmp_path):
    state = State(tmp_path / ".wye")
    state.hold()
    assert holder(tmp_path / ".wye") == os.getpid()
    with pytest.raises(WyeError, match=f"in use by process {os.getpid()}"):
        State(tmp_path / ".wye").hold()
    assert (tmp_path / ".wye" / ".gitignore").read_text() == "*\n"
    state.release()
    assert holder(tmp_path / ".wye") is None


def test_fresh_keys_never_replace_a_file_that_is_there(tmp_path):
    keys = KeyFiles(tmp_path / "keys")
    assert keys.read("fraud") == (None, "")
    keys.keep("fraud", Keys("one", "two"))
    keys.keep("fraud", Keys("three", "four"))
    assert keys.read("fraud") == (Keys("one", "two"), "")
    assert stat.S_IMODE(keys.path("fraud").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{", id="not JSON"),
        pytest.param("[]", id="no object"),
        pytest.param('{"primaryKey": "a"}', id="one key is missing"),
        pytest.param('{"primaryKey": "a", "secondaryKey": ""}', id="a key is empty"),
        pytest.param('{"primaryKey": "a", "secondaryKey": 7}', id="a key is a number"),
        pytest.param('{"primaryKey": "a", "secondaryKey": "b\\n"}', id="a key has a control character"),
        pytest.param('{"primaryKey": "a", "secondaryKey": "b\\ud800"}', id="a key has half a character"),
        pytest.param("[" * 100_000, id="nested too deeply"),
    ],
)
def test_a_wrong_file_of_keys_leaves_the_last_good_ones(tmp_path, text):
    keys = KeyFiles(tmp_path)
    keys.keep("fraud", Keys("one", "two"))
    keys.read("fraud")
    keys.path("fraud").write_text(text)
    found, problem = keys.read("fraud")
    assert found == Keys("one", "two")
    what = '{"primaryKey": "…", "secondaryKey": "…"}'
    assert problem == f"{tmp_path}/fraud.json is not {what}: mend it, or delete it to get fresh keys"


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: path.mkdir(), id="a folder"),
        pytest.param(os.mkfifo, id="a FIFO"),
        pytest.param(lambda path: path.write_bytes(b'{"primaryKey": "\xff"}'), id="not UTF-8"),
    ],
)
def test_what_is_no_file_of_keys_leaves_the_last_good_ones(tmp_path, make):
    keys = KeyFiles(tmp_path)
    keys.keep("fraud", Keys("one", "two"))
    keys.read("fraud")
    keys.path("fraud").unlink()
    make(keys.path("fraud"))
    found, problem = keys.read("fraud")
    assert found == Keys("one", "two")
    assert problem.endswith(": mend it, or delete it to get fresh keys")


def test_names_of_two_namespaces_never_meet():
    assert [label("default", "a"), label("b", "a")] == ["a", "b.a"]


def test_an_example_is_valid_for_its_contract():
    fields = [
        {"name": "plain"},
        {"name": "whole", "type": "integer", "minimum": 3},
        {"name": "small", "type": "number", "maximum": 0.5},
        {"name": "flag", "type": "boolean"},
        {"name": "flagged", "type": "boolean", "default": True},
        {"name": "channel", "type": "string", "values": ["web", "shop"]},
        {"name": "word", "type": "string"},
    ]
    body = example(Contract.model_validate({"inputs": fields}), None)
    assert body == {
        "plain": 1,
        "whole": 3,
        "small": 0.5,
        "flag": False,
        "flagged": True,
        "channel": "web",
        "word": "text",
    }


def test_an_example_without_a_contract_is_made_of_the_models_own_inputs():
    tensors = (TensorSeen("x", "FP32", (-1, 2)), TensorSeen("name", "BYTES", (1,)))
    signature = Signature("m", "1", "", 0, tensors, ())
    assert example(None, signature) == {"x": [[0, 0]], "name": [""]}


def test_the_curl_line_survives_a_shell():
    line = curl("http://127.0.0.1:8080/score", "k", {"a": "it's"})
    assert line == ("curl -s http://127.0.0.1:8080/score -H 'Authorization: Bearer k' -d '{\"a\": \"it'\"'\"'s\"}'")


def test_the_curl_line_has_a_place_for_a_token_where_one_is_asked_for():
    keyed, asked, free = (
        Auth(open=is_open, keys=keys, version="")
        for is_open, keys in ((False, Keys("k", "l")), (False, None), (True, None))
    )
    assert [bearer(auth) for auth in (keyed, asked, free, None)] == ["k", "TOKEN", None, None]
    assert "Authorization" not in curl("https://127.0.0.1:8080/score", None, {})


def script(path, version):
    path.write_text(f"#!/bin/sh\necho 'envoy  version: abc/{version}/Clean/RELEASE/BoringSSL'\n")
    path.chmod(0o755)
    return path


def test_a_named_envoy_is_taken_when_it_is_new_enough(tmp_path):
    assert find_envoy(str(script(tmp_path / "envoy", "1.41.2"))) == tmp_path / "envoy"


def test_a_named_envoy_that_is_too_old_is_said(tmp_path):
    with pytest.raises(WyeError, match=r"envoy is Envoy 1\.39, Wye needs 1\.40 or newer: pip install"):
        find_envoy(str(script(tmp_path / "envoy", "1.39.9")))


def test_an_envoy_on_the_path_comes_before_the_wheel_unless_it_is_too_old(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    script(tmp_path / "envoy", "1.42.0")
    assert find_envoy(None) == tmp_path / "envoy"
    script(tmp_path / "envoy", "1.12.0")
    assert find_envoy(None).parts[-2:] == ("_bin", "envoy")


def test_a_router_that_aborted_is_told_by_its_reason_and_not_by_addresses():
    stack = "\n".join(f"2026-11-22T06:33:49.074 error #{number} UNKNOWN [0x55c235a5b22c]" for number in range(20))
    reason = "assert failure: inotify_fd_ >= 0. Details: Consider increasing value of fs.inotify.max_user_instances"
    end = "2026-11-22T06:33:49.074 critical Caught Aborted, suspect faulting address 0x4d57"
    assert why_it_ended(f"2026-11-22T06:33:49.044 critical {reason}\n{stack}\n{end}\n") == reason
    assert why_it_ended("one\ntwo\n  three\n") == "two three"
    assert why_it_ended("") == ""


def test_tables_are_wide_and_name_namespaces_when_there_are_several():
    def item(kind, namespace, name, spec, status):
        metadata = {"name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z"}
        return {"kind": kind, "metadata": metadata, "spec": spec, "status": status}

    ready = {"conditions": [{"type": "Ready", "status": "False", "reason": "PodsStarting"}]}
    items = [
        item("Endpoint", "default", "fraud", {}, ready),
        item("Deployment", "team", "fraud-blue", {"endpointName": "fraud", "model": {"uri": "file://m"}}, ready),
        item("Deployment", "team", "fraud-script", {"endpointName": "fraud"}, {"readyReplicas": 2}),
    ]
    lines = tables(items, 1767225600.0 + 7300, wide=True).splitlines()
    assert lines == [
        "NAMESPACE   NAME    READY   SERVING   TRAFFIC   MIRROR   URL   AGE   REASON",
        "default     fraud   False                                      2h    PodsStarting",
        "",
        "NAMESPACE   NAME           ENDPOINT   READY   REPLICAS   TRAFFIC   MODEL      AGE   REASON",
        "team        fraud-blue     fraud      False   0                    file://m   2h    PodsStarting",
        "team        fraud-script   fraud              2                               2h",
    ]


def test_in_effect_json_that_is_no_record_is_as_good_as_none(tmp_path):
    home = Home(tmp_path / "run", tmp_path / "logs", tmp_path / "cache", lambda: None)
    router = Router("fraud", tmp_path / "r", Address("127.0.0.1", 1), tmp_path / "envoy", home)
    assert router.record() == Record()
    files.swap(tmp_path / "r" / "routes", {"in-effect.json": json.dumps({"traffic": 7}).encode()})
    assert router.record() == Record()


def test_what_only_a_cluster_uses_is_said(tmp_path) -> None:
    (tmp_path / "a.yaml").write_text(
        """\
apiVersion: wye.dev/v1alpha1
kind: Endpoint
metadata: {name: fraud}
spec: {router: {accessLog: false, replicas: 2, pod: {}}}
---
apiVersion: wye.dev/v1alpha1
kind: Deployment
metadata: {name: fraud-blue}
spec: {endpointName: fraud, model: {uri: 'file://m'}, resources: {}, livenessProbe: {period: 1}}
---
apiVersion: wye.dev/v1alpha1
kind: Deployment
metadata: {name: fraud-green}
spec: {endpointName: fraud, model: {uri: 'file://m'}}
"""
    )
    assert list(notes_of(read_manifests(tmp_path))) == [
        "fraud: on this machine without effect: spec.router.replicas, spec.router.pod",
        "fraud-blue: on this machine without effect: spec.resources, spec.livenessProbe",
    ]
