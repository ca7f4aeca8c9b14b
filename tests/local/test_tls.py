"""HTTPS in the twin: a Secret of the folder, another certificate under load, a mistake in it, and the commands."""

from __future__ import annotations

import asyncio
import json
import ssl

import certs
from wye_operator.cli.main import main


def with_tls(manifests, pair: certs.Pair) -> None:
    manifests.write("tls.yaml", pair.secret())


def shows(port: int, pair: certs.Pair) -> bool:
    """Whether that certificate is shown."""
    trust = pair.trust
    trust.check_hostname = False
    return ssl.PEM_cert_to_DER_cert(pair.chain) == ssl.PEM_cert_to_DER_cert(
        ssl.get_server_certificate(("127.0.0.1", port))
    )


async def test_https_with_a_secret_of_the_folder_and_another_certificate(manifests, up):
    first, second = certs.pair("first.test"), certs.pair("second.test")
    with_tls(manifests, first)
    manifests.endpoint(tls={"secretName": "fraud-tls"})
    manifests.deployment("blue")
    async with up() as run:
        await run.traffic("blue=100")
        assert run.twin.url("fraud") == f"https://127.0.0.1:{run.port}"
        assert any(f"curl -k -s https://127.0.0.1:{run.port}/score" in line for line in run.words.said)
        before = run.target().router.envoys[0].process.pid
        assert await asyncio.to_thread(shows, run.port, first)
        with_tls(manifests, second)
        await run.until(lambda s: s.settled and chain_in_force(run) == second.chain)
        assert await asyncio.to_thread(shows, run.port, second)
        manifests.write("tls.yaml", {**second.secret(), "data": {}})
        await run.until(lambda s: s.endpoints["fraud"].conditions[0].reason == "CertificateInvalid")
        assert await asyncio.to_thread(shows, run.port, second)
        assert run.target().router.envoys[0].process.pid == before


def chain_in_force(run) -> str:
    """What the router's file has."""
    [secret] = json.loads((run.target().router._auth / "..data" / "tls.json").read_text())["resources"]
    return secret["tls_certificate"]["certificate_chain"]["inline_string"]


async def test_the_commands_speak_https_with_a_twin(manifests, up, capfd):
    with_tls(manifests, certs.pair())
    manifests.endpoint(tls={"secretName": "fraud-tls"})
    manifests.deployment("blue")
    request = manifests.folder / "request.json"
    request.write_text('{"x": [[0, 0]]}')
    async with up() as run:
        await run.traffic("blue=100")
        code = await asyncio.to_thread(main, ["invoke", str(manifests.folder), "-f", str(request)])
        told = capfd.readouterr()
        assert (code, json.loads(told.out)["answer"]) == (0, "blue"), told.err
    assert main(["plan", str(manifests.folder)]) == 0
    shown = capfd.readouterr().out
    assert "tls: a certificate" in shown
    assert "PRIVATE KEY" not in shown


async def test_a_twin_without_the_certificate_says_so_and_serves_nobody(manifests, up):
    manifests.endpoint(tls={"secretName": "fraud-tls"})
    manifests.deployment("blue")
    async with up() as run:
        await run.until(lambda s: s.settled and s.endpoints["fraud"].conditions[0].reason == "CertificateNotFound")
        assert "until there is one, nobody is served" in run.twin.status().endpoints["fraud"].conditions[0].message
        pair = certs.pair()
        with_tls(manifests, pair)
        await run.traffic("blue=100")
        assert await asyncio.to_thread(shows, run.port, pair)
