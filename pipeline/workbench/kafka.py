"""A real Apache Kafka on this machine's loopback, for tests and demos: it lives as long as the `with` block.

    with LocalKafka(brokers=3) as kafka:
        produce_to(kafka.bootstrap)
        kafka.stop_broker(2, signal.SIGKILL)
        kafka.start_broker(2)

The broker that stays between commands is in keptkafka.py.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from pipeline.workbench.brokers import HOST, Node, command, free_ports, nodes_at, properties
from pipeline.workbench.runtime import LocalKafkaError

READY_S = 90
STOP_S = 30


def bootstrap_of(nodes: Sequence[Node]) -> str:
    return ",".join(f"{HOST}:{node.port}" for node in nodes)


class LocalKafka:
    """Brokers of a cluster of their own in a folder of their own; both are gone afterwards, even if this process is killed."""

    def __init__(self, *, brokers: int = 1, heap_mb: int = 512, broker_properties: Mapping[str, str | int] | None = None) -> None:
        self.nodes = nodes_at(free_ports(2 * brokers))
        self._heap_mb = heap_mb
        self._properties = dict(broker_properties or {})
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._folder: Path | None = None
        self._watchman: subprocess.Popen[str] | None = None

    @property
    def bootstrap(self) -> str:
        return bootstrap_of(self.nodes)

    @property
    def folder(self) -> Path:
        if self._folder is None:
            raise LocalKafkaError("this Kafka is not started: use it in a `with` block")
        return self._folder

    @property
    def pids(self) -> dict[int, int]:
        """Broker number -> process id of the brokers that run."""
        return {number: process.pid for number, process in self._running.items()}

    def start(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="callverdict-kafka-"))
        self._watchman = _watchman(self._folder)
        try:
            prepare(self.nodes, self._folder, self._properties)
            for node in self.nodes:
                self.start_broker(node.id, wait=False)
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        for number in list(self._running):  # killed: an orderly end writes data that nobody reads, and three in turn wait 6 s for a quorum
            self.stop_broker(number, signal.SIGKILL)
        if self._watchman and self._watchman.stdin:
            self._watchman.stdin.close()
            self._watchman.wait()
        self._watchman = None
        self._folder = None

    def start_broker(self, number: int, *, wait: bool = True) -> None:
        """Start (again) the broker with this number, counted from 1. With `wait`, return when all brokers answer."""
        self._running[number] = spawn(self.folder, number, heap_mb=self._heap_mb)
        self._tell_watchman(f"+{self._running[number].pid}")
        if wait:
            self._wait()

    def stop_broker(self, number: int, how: signal.Signals = signal.SIGTERM) -> None:
        """End it by a signal and wait for its end."""
        self.signal_broker(number, how)
        self._ended(number)

    def signal_broker(self, number: int, which: signal.Signals) -> None:
        """SIGSTOP and SIGCONT make a broker that hangs and comes back."""
        self._running[number].send_signal(which)

    def _ended(self, number: int) -> None:
        process = self._running.pop(number)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._tell_watchman(f"-{process.pid}")

    def _wait(self) -> None:
        running = [node for node in self.nodes if node.id in self._running]
        wait_ready(running, self._trouble)

    def _trouble(self) -> str | None:
        for number, process in self._running.items():
            if process.poll() is not None:
                return last_words(self.folder, number)
        return None

    def _tell_watchman(self, line: str) -> None:
        if self._watchman and self._watchman.stdin:
            self._watchman.stdin.write(line + "\n")
            self._watchman.stdin.flush()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def prepare(nodes: Sequence[Node], folder: Path, more: Mapping[str, str | int]) -> None:
    """Write every broker's properties and give its data folder the format of a new cluster."""
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
    for node in nodes:
        write_properties(node, nodes, folder, more)
    running = [_format(folder, node.id, cluster) for node in nodes]
    for process in running:
        output = process.communicate()[0].decode(errors="replace")
        if process.returncode:
            raise LocalKafkaError(f"Kafka could not format {folder}: {output.strip()[-500:]}")


def write_properties(node: Node, nodes: Sequence[Node], folder: Path, more: Mapping[str, str | int]) -> None:
    _properties_file(folder, node.id).write_text(properties(node, nodes, folder, more))


def spawn(folder: Path, number: int, *, heap_mb: int = 512) -> subprocess.Popen[bytes]:
    """Start one broker in a process group of its own, so that Ctrl-C reaches only who may stop it in order."""
    with log_file(folder, number).open("ab") as log:
        return subprocess.Popen(
            broker_command(folder, number, heap_mb=heap_mb),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def broker_command(folder: Path, number: int, *, heap_mb: int = 512) -> list[str]:
    return command("kafka.Kafka", str(_properties_file(folder, number)), heap_mb=heap_mb)


def wait_ready(nodes: Sequence[Node], trouble: Callable[[], str | None], *, ready_s: float = READY_S) -> None:
    """Return when these brokers listen and the cluster's metadata lists as many. `trouble` says why that will never be."""
    with ThreadPoolExecutor(1) as thread:  # the caller may have an event loop of its own
        answered = thread.submit(asyncio.run, _ready(nodes, trouble, time.monotonic() + ready_s)).result()
    if not answered:
        message = (
            f"the broker at {bootstrap_of(nodes)} did not answer within {ready_s:.0f} s: see what keeps this machine busy, then run again"
        )
        raise LocalKafkaError(message)


def last_words(folder: Path, number: int) -> str:
    """Why a broker ended, from its log, with what to do where that is known."""
    text = log_file(folder, number).read_text(errors="replace").strip()
    if "Address already in use" in text:
        return f"broker {number} found its port taken: stop what listens there, or start again for other ports"
    return f"broker {number} ended by itself; its last words: {text[-800:]}"


def log_file(folder: Path, number: int) -> Path:
    return folder / f"broker{number}.log"


def _properties_file(folder: Path, number: int) -> Path:
    return folder / f"server{number}.properties"


def _format(folder: Path, number: int, cluster: str) -> subprocess.Popen[bytes]:
    arguments = command("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(_properties_file(folder, number)))
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


async def _ready(nodes: Sequence[Node], trouble: Callable[[], str | None], until_s: float) -> bool:
    while time.monotonic() < until_s:
        if reason := trouble():
            raise LocalKafkaError(reason)
        if all(listens(node.port) for node in nodes) and await _brokers_known(bootstrap_of(nodes)) >= len(nodes):
            return True
        await asyncio.sleep(0.1)
    return False


def listens(port: int) -> bool:
    """Asked before aiokafka is, which logs an error for every port that nobody answers yet."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


async def _brokers_known(bootstrap: str) -> int:
    client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=2_000)
    try:
        await client.bootstrap()
        return len(client.cluster.brokers())
    except KafkaError:
        return 0
    finally:
        await client.close()


def _watchman(folder: Path) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-m", "pipeline.workbench.watchman", str(folder)]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, text=True, start_new_session=True)
