"""Clients and a provider of tokens that nobody here wrote, at a twin with a real model."""

from __future__ import annotations

import asyncio
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

import plain
import toys
from clients.environment import environment
from clients.grpc_answers import ANSWERS, EARLIER, ERRORS, NEEDED
from ports import free_port
from wye_operator import issuers
from wye_operator.local.twin import Options, Twin

HERE = Path(__file__).parent
E2E = pytest.mark.skipif("not os.environ.get('WYE_E2E')", reason="fetches 350 MB of clients: part of `make e2e`")
CLIENT, BODY = "fraud", json.dumps({"x": [[1, 2, 3, 4, 5, 6, 7]]})
ELSEWHERE = "http://localhost/back"


@contextmanager
def provider(port: int) -> Iterator[str]:
    """A process of an OIDC provider, with a signing key of its own; its issuer."""
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), "--user", "alice"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 60
            while not _answers(f"{url}/jwks"):
                assert process.poll() is None, "the provider ended"
                assert time.monotonic() < end, "the provider does not answer"
                time.sleep(0.05)
            yield url
        finally:
            process.kill()


def _answers(url: str) -> bool:
    try:
        return plain.get(url).status_code == 200
    except httpx.TransportError:
        return False


def token_of(issuer: str, client: str = CLIENT) -> str:
    """An id token, by the authorization code flow: what a person's browser and an application do."""
    asked = {"client_id": client, "redirect_uri": ELSEWHERE, "response_type": "code", "scope": "openid"}
    agreed = plain.post(f"{issuer}/oauth2/authorize", params=asked, data={"sub": "alice"})
    (code,) = parse_qs(urlsplit(agreed.headers["location"]).query)["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": ELSEWHERE}
    return str(plain.post(f"{issuer}/oauth2/token", data=form, auth=(client, "any")).json()["id_token"])


@asynccontextmanager
async def served(folder: Path, **spec: object) -> AsyncIterator[Twin]:
    (folder / "model.onnx").write_bytes(toys.linear().SerializeToString())
    for kind, name, body in (
        ("Endpoint", "fraud", spec),
        ("Deployment", "fraud-blue", {"endpointName": "fraud", "name": "blue", "model": {"uri": "file://model.onnx"}}),
    ):
        written = {"apiVersion": "wye.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": body}
        (folder / f"{name}.yaml").write_text(json.dumps(written))
    async with Twin(folder, Options(port=free_port())) as twin:
        await twin.wait_for(lambda status: status.ready and status.settled, 60)
        yield twin


def trusting(issuer: str) -> dict[str, object]:
    return {
        "authMode": "Token",
        "token": {"issuers": [{"issuer": issuer, "audiences": [CLIENT], "jwksUri": f"{issuer}/jwks"}]},
    }


async def status_of(twin: Twin, token: str) -> int:
    async with plain.AsyncClient() as client:
        answer = await client.post(
            f"{twin.url('fraud')}/score",
            content=BODY,
            headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
        )
        return answer.status_code


async def test_tokens_of_a_real_provider_count_and_its_next_keys_do_too(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(issuers, "EVERY", 0.2)
    port = free_port()
    async with AsyncExitStack() as twins:
        with provider(port) as issuer:
            first = token_of(issuer)
            twin = await twins.enter_async_context(served(tmp_path, **trusting(issuer)))
            asked = (first, token_of(issuer, "somebody-else"), "none", f"{first[:-8]}AAAAAAAA")
            assert [await status_of(twin, token) for token in asked] == [200, 403, 401, 401]
            with provider(free_port()) as other:
                assert await status_of(twin, token_of(other)) == 401
        with provider(port) as issuer:  # started anew, it signs with another key
            second = token_of(issuer)
            async with asyncio.timeout(60):
                while await status_of(twin, second) != 200:
                    await twin.wait_for(lambda _: True, 60)
            assert await status_of(twin, first) == 401


@pytest.fixture(scope="module")
def python() -> Path:
    """An interpreter with kserve and tritonclient."""
    return environment()


@pytest.fixture(scope="module")
def mlserver() -> Path:
    """MLServer's program."""
    return environment("mlserver").with_name("mlserver")


async def answers(python: Path, program: str, where: str, name: str, value: str) -> dict[str, object]:
    """What each client got."""
    command = [str(python), "-W", "ignore", str(HERE / program), where, name, value]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@E2E
@pytest.mark.parametrize("mode", ["Key", "Token"])
async def test_kserves_client_and_tritonclient_call_with_a_key_and_with_a_token(python, tmp_path, mode) -> None:
    with provider(free_port()) as issuer:
        async with served(tmp_path, **(trusting(issuer) if mode == "Token" else {})) as twin:
            value = token_of(issuer) if mode == "Token" else twin.keys("fraud").primary
            right = await answers(python, "calling.py", twin.url("fraud"), "authorization", f"Bearer {value}")
            wrong = await answers(python, "calling.py", twin.url("fraud"), "authorization", "Bearer wrong")
            assert {str([round(each, 4) for each in found]) for found in right.values()} == {"[0.5695]"}, right
            assert len(wrong) == len(right) == 3
            assert all("401" in str(told) or "Unauthorized" in str(told) for told in wrong.values()), wrong
            if mode == "Key":
                assert await answers(python, "calling.py", twin.url("fraud"), "api-key", value) == right


@E2E
@pytest.mark.parametrize("mode", ["Key", "Token"])
async def test_tritonclient_and_grpcio_make_every_call_with_a_key_and_with_a_token(python, tmp_path, mode) -> None:
    with provider(free_port()) as issuer:
        async with served(tmp_path, **(trusting(issuer) if mode == "Token" else {})) as twin:
            value = token_of(issuer) if mode == "Token" else twin.keys("fraud").primary
            target = twin.url("fraud").removeprefix("http://")
            right = await answers(python, "calling_grpc.py", target, "authorization", f"Bearer {value}")
            assert right == ANSWERS | ERRORS
            wrong = await answers(python, "calling_grpc.py", target, "authorization", "Bearer wrong")
            assert {told for way, told in wrong.items() if way not in EARLIER} == {NEEDED[mode]}
            if mode == "Key":
                assert await answers(python, "calling_grpc.py", target, "api-key", value) == right


@E2E
@pytest.mark.parametrize("form", [(), ("--binary-data",)], ids=["JSON", "binary"])
async def test_mlserver_infer_reads_a_file_of_requests_and_writes_one_of_answers(mlserver, tmp_path, form) -> None:
    """`mlserver infer` joins the rows of several lines into one request, and takes the answer apart again."""
    lines = [{"id": f"row-{n}", "inputs": [tensor([n] * 7)]} for n in range(20)]
    given, found = tmp_path / "given.jsonl", tmp_path / "found.jsonl"
    given.write_text("".join(json.dumps(line) + "\n" for line in lines))
    folder = tmp_path / "twin"
    folder.mkdir()
    async with served(folder) as twin:
        place = ["-u", urlsplit(twin.url("fraud")).netloc, "-m", "fraud", "-i", str(given), "-o", str(found)]
        told = ["-H", f"api-key: {twin.keys('fraud').primary}", "--batch-size", "4", "--workers", "2", *form]
        command = [str(mlserver), "infer", *place, *told]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in found.read_text().splitlines()]
    assert len(answers) == len(lines), done.stderr
    by_row = {each["id"]: each["outputs"][0]["data"] for each in answers}
    wanted = {f"row-{n}": [1 / (1 + math.exp(-0.07 * n))] for n in range(20)}
    assert by_row == {name: pytest.approx(value, abs=1e-5) for name, value in wanted.items()}


def tensor(row: list[int]) -> dict[str, object]:
    return {"name": "x", "datatype": "FP32", "shape": [1, len(row)], "data": row}
