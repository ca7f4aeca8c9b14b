"""The folder while it is edited: whose bytes stand under which URI, whose keys count, and what is not there."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from local.load import Caller
from wye_operator.local import folder as module
from wye_operator.local.fetching import Fetches
from wye_operator.local.folder import Folder, read_folder
from wye_operator.local.models import ModelStore, digest_of
from wye_operator.local.preview import preview
from wye_operator.local.state import State


class GatedStore(ModelStore):
    """Models whose name is in `gates` are read once their gate is open."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        self.gates: dict[str, threading.Event] = {}

    def read(self, source):
        if source.name in self.gates:
            assert self.gates[source.name].wait(120)
        return super().read(source)


@pytest.fixture
def opened(manifests, monkeypatch):
    """A folder with a Deployment of a.model; no pass waits for a read."""
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    store = GatedStore(manifests.folder / ".wye" / "models")
    for name in ("a", "b"):
        manifests.model(name, answer=name)
    deployed(manifests, "a")
    state = State(manifests.folder / ".wye")
    state.hold()
    opened = Folder(
        manifests.folder, state, store, Fetches(state.folder / "fetched", state.folder / "logs", lambda: 0.0)
    )
    opened.open(1.0)
    yield opened
    for gate in store.gates.values():
        gate.set()
    state.release()


def deployed(manifests, model: str) -> None:
    spec = {"endpointName": "fraud", "name": "blue", "model": {"uri": f"file://{model}.model"}}
    manifests.write("blue.yaml", manifests.object("Deployment", "fraud-blue", spec))


def edited(opened, manifests, model: str) -> None:
    deployed(manifests, model)
    opened.look(2.0)
    opened.look(2.0)


def content(opened):
    return opened.found("default", "fraud").deployments[0][2]


async def read(opened) -> None:
    """Passes until everything is read."""
    async with asyncio.timeout(60):
        await opened.fetch()
        while opened._reading:
            await asyncio.sleep(0.01)
            await opened.fetch()


async def test_another_uri_never_has_the_bytes_of_the_one_before(opened, manifests):
    await read(opened)
    assert content(opened).path.read_text() == '{"answer": "a"}'
    gate = opened.store.gates["b.model"] = threading.Event()
    edited(opened, manifests, "b")
    await opened.fetch()
    assert (content(opened).digest, content(opened).problem) == ("", "reading b.model")
    gate.set()
    await read(opened)
    assert content(opened).path.read_text() == '{"answer": "b"}'


async def test_what_is_read_for_a_uri_that_was_edited_meanwhile_counts_for_nobody(opened, manifests):
    first, second = (opened.store.gates.setdefault(f"{name}.model", threading.Event()) for name in ("a", "b"))
    await opened.fetch()
    assert content(opened).problem == "reading a.model"
    edited(opened, manifests, "b")
    await opened.fetch()
    first.set()
    while len(opened._reading) > 1:
        await asyncio.sleep(0.01)
        await opened.fetch()
        assert content(opened).problem == "reading b.model"
    second.set()
    await read(opened)
    assert content(opened).path.read_text() == '{"answer": "b"}'


async def test_copies_of_sources_that_nobody_names_any_more_are_forgotten(opened, manifests):
    await read(opened)
    old = content(opened).path
    edited(opened, manifests, "b")
    await read(opened)
    opened.sweep([])
    assert not old.exists()
    assert content(opened).path.exists()


async def test_a_small_model_is_there_after_the_first_look(opened, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 60.0)
    await opened.fetch()
    assert content(opened).problem == ""


def test_a_link_that_leads_nowhere_is_a_mistake_and_not_the_end_of_every_pass(opened, manifests):
    (manifests.folder / "extra.yaml").symlink_to("nowhere.yaml")
    assert opened.look(2.0) is None
    assert [m.message for m in opened.look(2.0) or ()] == ["is not a regular file"]
    (manifests.folder / "extra.yaml").unlink()
    opened.look(3.0)
    assert opened.look(3.0) == ()


async def test_a_deployment_runs_on_as_it_was_while_the_model_of_another_uri_is_read(manifests, up, monkeypatch):
    manifests.endpoint()
    manifests.deployment("blue")
    manifests.model("other", answer="other")
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    async with up() as run:
        await run.traffic("blue=100")
        store, gate = run.twin._folder.store, threading.Event()
        read = store.read
        monkeypatch.setattr(store, "read", lambda source: (gate.wait(120), read(source))[1])
        before = [p.pid for p in run.processes("fraud-blue")]
        manifests.deployment("blue", model_spec={"uri": "file://other.model"})
        await run.until(lambda s: "reading other.model" in s.deployments["fraud-blue"].conditions[0].message)
        async with Caller(run.port, run.key) as caller:
            assert (await caller.call()).json()["answer"] == "blue"
            assert [p.pid for p in run.processes("fraud-blue")] == before
            gate.set()
            await run.traffic("blue=100")
            assert (await caller.call()).json()["answer"] == "other"


def secret(manifests, name: str, *, namespace: str = "default", primary: str = "mine") -> None:
    """A Secret of the user's."""
    metadata = {"name": name, "namespace": namespace}
    data = {"primaryKey": primary, "secondaryKey": "other"} if primary else {"secondaryKey": "other"}
    whole = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}
    manifests.write(f"secret-{namespace}-{name}.yaml", whole)


@pytest.mark.parametrize("spec", [pytest.param({}, id="no keys"), pytest.param({"keys": {}}, id="keys without a name")])
async def test_a_secret_of_the_default_name_has_the_keys_and_is_only_read(manifests, up, spec):
    secret(manifests, "fraud-keys")
    manifests.endpoint(**spec)
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        assert run.twin.keys("fraud").primary == "mine"
        assert not (manifests.folder / ".wye" / "keys").exists()
        async with Caller(run.port) as caller:
            assert (await caller.call(api_key="mine")).status == 200


async def test_a_secret_of_the_default_name_without_a_key_is_said_and_lets_nobody_in(manifests, up):
    secret(manifests, "fraud-keys", primary="")
    manifests.endpoint()
    manifests.deployment("blue")
    async with up() as run:
        await run.until(lambda s: "Secret fraud-keys has no primaryKey" in str(s.endpoints["fraud"].conditions))
        assert run.twin.keys("fraud") is None


@pytest.mark.parametrize(
    ("primary", "ready"),
    [
        pytest.param("mine", "True Ready", id="a Secret of the default name has the keys"),
        pytest.param("", "False KeysNotFound: Secret fraud-keys has no primaryKey", id="one without a key is said"),
    ],
)
def test_plan_takes_the_secret_of_the_default_name(manifests, primary, ready):
    secret(manifests, "fraud-keys", primary=primary)
    manifests.endpoint()
    manifests.deployment("blue")
    [part] = preview(read_folder(manifests.folder), 8080)
    assert part["conditions"]["Ready"].startswith(ready)


@pytest.mark.parametrize("name", [".wye", "elsewhere"])
@pytest.mark.parametrize("linked", [False, True], ids=["by its path", "by a link"])
def test_a_model_folder_with_a_state_folder_in_it_is_only_the_model(tmp_path_factory, tmp_path, name, linked):
    (tmp_path / "model.onnx").write_bytes(b"bytes")
    state = tmp_path / name
    (state / "logs").mkdir(parents=True)
    if linked:
        state = tmp_path_factory.mktemp("links") / "state"
        state.symlink_to(tmp_path / name)
    alone = ModelStore(state / "models").read(tmp_path)
    (state / "logs" / "blue.log").write_text("it grows")
    beside = ModelStore(state / "models").read(tmp_path)
    assert beside.digest == alone.digest
    assert [path.name for path in beside.path.rglob("*")] == ["model.onnx"]


async def test_closing_does_not_wait_for_a_reader(opened):
    opened.store.gates["a.model"] = threading.Event()
    await opened.fetch()
    [reader] = [thread for thread in threading.enumerate() if thread.name == "reading a.model"]
    assert reader.daemon
    async with asyncio.timeout(60):
        await opened.close()
    assert reader.is_alive()


@pytest.mark.parametrize("linked", [False, True], ids=["itself", "behind a link"])
async def test_a_model_that_is_no_regular_file_is_refused_and_not_opened(opened, manifests, linked):
    fifo = manifests.folder / ("pipe" if linked else "a.model")
    (manifests.folder / "a.model").unlink()
    os.mkfifo(fifo)
    if linked:
        (manifests.folder / "a.model").symlink_to(fifo)
    expected = f"{manifests.folder}/a.model is not a regular file"
    await opened.fetch()
    assert content(opened).problem == expected
    assert opened.store.read(manifests.folder / "a.model").problem == expected
    assert digest_of(manifests.folder / "a.model").problem == expected
