"""The local Kafka is a real one, survives what tests do to it, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pipeline.workbench import keptkafka, runtime
from pipeline.workbench.brokers import free_ports, is_free
from pipeline.workbench.kafka import LocalKafka
from pipeline.workbench.runtime import LocalKafkaError
from pipeline.workbench.watchman import remaining
from tests.support.broker import Broker

JARS_KEPT = runtime.cache_folder() / "jars"


async def create_topic(bootstrap: str, topic: str, copies: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, copies)])
    finally:
        await admin.close()


async def send_in_transaction(bootstrap: str, topic: str, values: list[bytes], *, commit: bool) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"{topic}-writer")
    await producer.start()
    try:
        await producer.begin_transaction()
        for value in values:
            await producer.send_and_wait(topic, value)
        await (producer.commit_transaction() if commit else producer.abort_transaction())
    finally:
        await producer.stop()


async def committed(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """The first `count` records of partition 0 that a reader of committed records sees."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        return [(await asyncio.wait_for(consumer.getone(), 30)).value for _ in range(count)]
    finally:
        await consumer.stop()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def wait_until_gone(pids: list[int], folder: Path) -> None:
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s and (folder.exists() or any(map(is_alive, pids))):
        time.sleep(0.05)
    assert not folder.exists()
    assert not any(map(is_alive, pids))


@pytest.mark.kafka
async def test_it_keeps_transactions(kafka: Broker, topic_prefix: str) -> None:
    topic = f"{topic_prefix}verdicts"
    await create_topic(kafka.bootstrap, topic, 1)
    await send_in_transaction(kafka.bootstrap, topic, [b"aborted"], commit=False)
    await send_in_transaction(kafka.bootstrap, topic, [b"first", b"second"], commit=True)
    assert await committed(kafka.bootstrap, topic, 2) == [b"first", b"second"]


@pytest.mark.kafka
def test_three_brokers_survive_the_kill_of_one() -> None:
    with LocalKafka(brokers=3) as cluster:
        asyncio.run(create_topic(cluster.bootstrap, "replicated", 3))
        asyncio.run(send_in_transaction(cluster.bootstrap, "replicated", [b"before"], commit=True))
        cluster.stop_broker(2, signal.SIGKILL)
        assert sorted(cluster.pids) == [1, 3]
        assert asyncio.run(committed(cluster.bootstrap, "replicated", 1)) == [b"before"]
        cluster.start_broker(2)
        assert sorted(cluster.pids) == [1, 2, 3]
        folder, pids = cluster.folder, list(cluster.pids.values())
    wait_until_gone(pids, folder)


@pytest.mark.kafka
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_parent_leaves_no_broker_behind() -> None:
    program = """
import sys
from pipeline.workbench.kafka import LocalKafka
with LocalKafka() as kafka:
    print(kafka.folder, *kafka.pids.values(), flush=True)
    sys.stdin.read()
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout
        folder, *pids = parent.stdout.readline().split()
        assert all(is_alive(int(pid)) for pid in pids)
        parent.kill()
    wait_until_gone([int(pid) for pid in pids], Path(folder))


def test_the_watchman_ends_what_was_not_taken_back() -> None:
    assert remaining(["+11\n", "+12\n", "-11\n", "+13\n", "-99\n"]) == {12, 13}


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder of this test's own that shares the jars."""
    monkeypatch.setenv("CALLVERDICT_CACHE", str(tmp_path))
    if JARS_KEPT.exists():
        (tmp_path / "jars").symlink_to(JARS_KEPT)
    yield tmp_path
    keptkafka.stop()


@pytest.mark.kafka
def test_the_kept_broker_keeps_its_records(own_cache: Path) -> None:
    port = free_ports(1)[0]
    first = keptkafka.start(port=port, brokers=1)
    asyncio.run(create_topic(first.bootstrap, "kept", 1))
    asyncio.run(send_in_transaction(first.bootstrap, "kept", [b"still here"], commit=True))
    assert keptkafka.start(port=port, brokers=1) == first
    with pytest.raises(LocalKafkaError, match=r"runs at 127\.0\.0\.1.*kafka stop"):
        keptkafka.start(port=port, brokers=3)
    assert keptkafka.stop() == 1
    assert keptkafka.status() == (first, {})
    with pytest.raises(LocalKafkaError, match=r"kept data is of 1 broker.*--delete"):
        keptkafka.start(port=port, brokers=3)
    second = keptkafka.start(port=free_ports(1)[0], brokers=1)
    assert asyncio.run(committed(second.bootstrap, "kept", 1)) == [b"still here"]
    assert keptkafka.stop(delete=True) == 1
    assert keptkafka.status() == (None, {})
    assert not (own_cache / "kafka").exists()


def test_a_taken_port_is_named(own_cache: Path) -> None:
    port = free_ports(1)[0]
    listener = subprocess.Popen(
        [sys.executable, "-c", f"import socket, sys; s = socket.create_server(('127.0.0.1', {port})); print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with listener:
        assert listener.stdout
        listener.stdout.readline()
        assert not is_free(port)
        with pytest.raises(LocalKafkaError, match=f"port {port} is taken: .*--port"):
            keptkafka.start(port=port, brokers=1)
        listener.kill()
    assert not (own_cache / "kafka").exists()


def test_a_pid_file_of_somebody_elses_process_is_not_believed(own_cache: Path) -> None:
    folder = own_cache / "kafka"
    folder.mkdir()
    (folder / "cluster.json").write_text('{"port": 9092, "brokers": 1}')
    (folder / "broker1.pid").write_text(str(os.getpid()))
    assert keptkafka.status()[1] == {}
    assert keptkafka.stop() == 0


def test_a_jar_with_another_checksum_is_refused_and_removed(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_cache / "jars").unlink(missing_ok=True)

    def fetch_something_else(paths: list[str], store: Path) -> None:
        for path in paths:
            (store / path).parent.mkdir(parents=True, exist_ok=True)
            (store / path).write_bytes(b"not a jar")

    monkeypatch.setattr(runtime, "_fetch", fetch_something_else)
    with pytest.raises(LocalKafkaError, match="checksum other than the pinned one"):
        runtime.kafka_jars()
    assert len(list(own_cache.rglob("*.jar"))) == len(runtime._lock()) - 1


def test_without_network_it_says_what_to_do(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_cache / "jars").unlink(missing_ok=True)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(LocalKafkaError, match="46 jars of Kafka are not here yet and cannot be fetched: connect to the network once"):
        runtime.kafka_jars()


def test_an_old_java_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    old.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    chosen = runtime.java()
    assert chosen != str(old)
    assert (runtime._java_version(chosen) or 0) >= runtime.OLDEST_JAVA
