"""Files in the state folder that no twin of this version wrote: begun anew, or said in a sentence."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from wye_operator.cli.main import main
from wye_operator.errors import WyeError
from wye_operator.local import twin
from wye_operator.local.state import State

ODD_STATES = [
    pytest.param("[]", id="no object"),
    pytest.param('{"objects": []}', id="objects is a list"),
    pytest.param('{"objects": {"Endpoint/default/fraud": 7}}', id="an object is a number"),
    pytest.param('{"objects": {"Endpoint/default/fraud": {"generation": 4}}}', id="an object has no age"),
    pytest.param(
        '{"objects": {"Endpoint/default/fraud": {"generation": 4, "created": 1e999, "spec": ""}}}', id="an endless age"
    ),
    pytest.param('{"ports": {"fraud": "x"}}', id="a port is a word"),
    pytest.param('{"ports": {"fraud": 70000}}', id="a port is none"),
    pytest.param('{"ports": 5}', id="ports is a number"),
]


@pytest.mark.parametrize("text", ODD_STATES)
def test_a_state_of_another_shape_is_begun_anew(tmp_path, text):
    state = State(tmp_path)
    (tmp_path / "state.json").write_text(text)
    state.hold()
    try:
        known = state.known("Endpoint/default/fraud", {"a": 1}, 5.0)
        assert (known.generation, known.created, state.port("fraud"), state.keeper(1)) == (1, 5.0, None, None)
        state.keep_only([])
        state.keep_ports([])
    finally:
        state.release()


@pytest.mark.parametrize("text", ["7", "[]", '{"items": 7}', '{"items": [7]}', '{"items": [{"kind": "Endpoint"}]}'])
def test_statuses_of_another_shape_are_as_good_as_none(tmp_path, text):
    (tmp_path / "status.json").write_text(text)
    assert twin.earlier(tmp_path / "status.json") == {}


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["local", "status", "{dir}"], id="status"),
        pytest.param(["local", "status", "{dir}", "-o", "json"], id="status as data"),
        pytest.param(["invoke", "{dir}", "-f", "{dir}/request.json"], id="invoke"),
        pytest.param(["keys", "show", "{dir}"], id="keys"),
    ],
)
def test_status_of_another_shape_is_said_in_a_sentence(tmp_path, capsys, command):
    state = State(tmp_path / ".wye")
    state.hold()
    (tmp_path / ".wye" / "status.json").write_text('{"items": 7}')
    (tmp_path / "request.json").write_text("{}")
    try:
        assert main([word.format(dir=tmp_path) for word in command]) == 1
    finally:
        state.release()
    path = tmp_path / ".wye" / "status.json"
    assert capsys.readouterr().err == f"wye: {path} is not what a twin writes: the twin's next change writes it anew\n"


@pytest.mark.parametrize("how", ["the state folder is deleted", "the folder is moved", "the state is another twin's"])
async def test_a_twin_whose_folder_is_gone_ends_with_one_sentence(manifests, up, how, caplog):
    manifests.endpoint()
    manifests.deployment("blue")
    state = manifests.folder / ".wye"
    ran = []

    async def lose_it() -> None:
        async with up() as run:
            await run.until(lambda s: s.ready and s.settled)
            ran.append(run)
            ran.extend([*run.processes("fraud-blue"), run.target().router.envoys[0].process])
            if how == "the folder is moved":
                manifests.folder.rename(manifests.folder.with_name("moved"))
            else:
                shutil.rmtree(state)
            if how == "the state is another twin's":
                state.mkdir()
                (state / "lock").write_text("1")
            await asyncio.wait_for(run.twin.run(), 60)

    with pytest.raises(WyeError) as error:
        await lose_it()
    assert str(error.value) == f"{state} is not there any more: what ran has ended, start it again with wye local up"
    run, *processes = ran
    assert len(processes) == 2
    assert [process.pid for process in processes if process.exit_code is None] == []
    assert [record for record in caplog.records if record.exc_info] == []
    assert [words for words in run.words.warned if "pass failed" in words] == []
