"""A real broker that wants TLS, a certificate or a password: every command gets in, and who does not is told why."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.workbench.brokers import HOST, free_ports
from pipeline.workbench.kafka import LocalKafka
from tests.integration.installation import Installation, source

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
TLS = ROOT / "tests" / "support" / "tls"
S01 = ROOT / "tests" / "recordings" / "freeswitch" / "s01_ringall_one_answers.events.lite.jsonl.gz"
NAMED = {"security_protocol": "SASL_SSL", "sasl_username": "anna", "sasl_password": "open sesame", "ssl_ca_file": TLS / "authority.pem"}
CERTIFIED = {
    "security_protocol": "SSL",
    "ssl_ca_file": TLS / "authority.pem",
    "ssl_cert_file": TLS / "client.pem",
    "ssl_key_file": TLS / "client-key.pem",
}


class Secured(NamedTuple):
    """Addresses of one broker's listeners."""

    plain: str
    named: str
    certified: str


def listeners(plain: int, controller: int, named: int, certified: int) -> dict[str, str | int]:
    """A password over TLS, and TLS with the client's own certificate, beside the plain one that the broker is started by."""
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    ours = f"PLAINTEXT://{HOST}:{plain},NAMED://{HOST}:{named},CERTIFIED://{HOST}:{certified}"
    return {
        "listeners": f"{ours},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": ours,
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,NAMED:SASL_SSL,CERTIFIED:SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": one_line("broker.pem"),
        "ssl.keystore.key": one_line("broker-key.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": one_line("authority.pem"),
        "listener.name.certified.ssl.client.auth": "required",
        "listener.name.named.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.named.plain.sasl.jaas.config": f'{login} user_anna="open sesame";',
    }


def one_line(name: str) -> str:
    """A PEM file as a properties file holds it."""
    return (TLS / name).read_text().strip().replace("\n", "\\n")


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    kafka = LocalKafka()
    (node,) = kafka.nodes
    named, certified = free_ports(2)
    kafka._properties.update(listeners(node.port, node.controller_port, named, certified))
    with kafka:
        yield Secured(kafka.bootstrap, f"{HOST}:{named}", f"{HOST}:{certified}")


def commanded(folder: Path, bootstrap: str, *arguments: str, **chosen: object) -> subprocess.CompletedProcess[str]:
    """Run `callverdict` with these settings and no others."""
    ours = {f"CALLVERDICT_{name.upper()}": str(value) for name, value in {"bootstrap": bootstrap, **chosen}.items()}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CALLVERDICT_")}
    command = [sys.executable, "-m", "pipeline.cli.main", *arguments]
    environ = {**clean, **ours, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(("way", "chosen"), [("named", NAMED), ("certified", CERTIFIED)])
async def test_the_whole_way_through_a_secured_listener(
    secured: Secured, tmp_path: Path, topic_prefix: str, way: str, chosen: Mapping[str, object]
) -> None:
    more = {**chosen, "partitions": 2, "instance_id": "one-{number}"}
    installation = Installation(getattr(secured, way), topic_prefix, tmp_path, [source("freeswitch-esl")], **more)
    try:
        made = installation.command("topics", "create")
        assert (made.returncode, len(made.stdout.splitlines())) == (0, 12), made.stderr
        assert installation.command("topics", "check").returncode == 0
        worker = installation.worker()
        await worker.ready()
        played = installation.command(
            "play", str(S01), "--topic", installation.raw[0], "--speed", "max", "--times", "keep", "--ids", "keep"
        )
        assert played.returncode == 0, played.stderr
        for _ in range(150):
            if (answer := installation.command("lag", "--json")).stdout and '"records": 0,' in answer.stdout.splitlines()[2]:
                break
            await asyncio.sleep(0.2)
        else:
            pytest.fail(f"never worked off: {answer}")
        ticked = installation.command("tick", "--until", "settle")
        assert "told 2 partitions" in ticked.stdout, ticked.stderr
        judged = installation.command("replay", "--from-topic", f"{topic_prefix}calls.events", "--out", "legs.jsonl")
        assert judged.returncode == 0, judged.stderr
        assert len((tmp_path / "legs.jsonl").read_bytes().splitlines()) > 100
        assert await worker.stop() == 0
        assert "open sesame" not in worker.log
    finally:
        installation.end()


@pytest.mark.parametrize(
    ("command", "way", "chosen", "sentence"),
    [
        ("topics check", "named", {**NAMED, "sasl_password": "close sesame"}, "refuses our name or password"),
        ("lag", "named", {**NAMED, "sasl_mechanism": "SCRAM-SHA-256"}, "refuses how we show our name"),
        ("tick", "named", {**NAMED, "ssl_ca_file": TLS / "stranger.pem"}, "shows a certificate that is not to be trusted"),
        (f"play {S01} --topic x", "plain", NAMED, "ends the connection: set security_protocol to what its listener speaks"),
        (
            "explain --call x",
            "named",
            {},
            "ends the connection: set security_protocol",
        ),
        ("lag", "certified", {**CERTIFIED, "ssl_cert_file": "", "ssl_key_file": ""}, "ends the connection: set security_protocol"),
    ],
)
def test_who_is_not_let_in_is_told_why(
    secured: Secured, tmp_path: Path, command: str, way: str, chosen: Mapping[str, object], sentence: str
) -> None:
    answer = commanded(tmp_path, getattr(secured, way), *command.split(), **chosen)
    assert (answer.returncode, answer.stdout) == (2, ""), answer.stderr
    assert answer.stderr.startswith(f"callverdict: {getattr(secured, way)} ")
    assert sentence in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_a_worker_that_is_refused_ends_on_purpose(secured: Secured, tmp_path: Path) -> None:
    answer = commanded(tmp_path, secured.named, "worker", "--web-port", "0", **{**NAMED, "sasl_password": "close sesame"})
    assert answer.returncode == 2
    (line,) = [line for line in answer.stderr.splitlines() if "broker.refuses" in line]
    assert "check sasl_username and sasl_password" in line
    assert "close sesame" not in answer.stderr


async def test_a_broker_that_goes_away_in_the_middle_is_one_sentence(tmp_path: Path) -> None:
    with LocalKafka() as kafka:
        made = commanded(tmp_path, kafka.bootstrap, "topics", "create", partitions=1)
        assert made.returncode == 0, made.stderr
        kafka.signal_broker(1, signal.SIGSTOP)  # it takes connections and says nothing more
        answer = await asyncio.to_thread(commanded, tmp_path, kafka.bootstrap, "lag")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("callverdict: ")
    assert len(answer.stderr.splitlines()) == 1
