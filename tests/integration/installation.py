"""One callverdict on the tests' broker: settings and topics of its own, real worker processes, and what stands in its topics."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from pipeline.app import broker
from pipeline.app.lag import inputs, lag
from pipeline.app.ticking import tick
from pipeline.app.topics import Names, names, topics
from pipeline.settings import Settings, load
from pipeline.workbench.brokers import free_ports
from pipeline.workbench.player import AT_ONCE, Telling, play

ROOT = Path(__file__).parents[2]
KEPT = Telling(speed=AT_ONCE, times="keep", ids="keep")
FOR_A_YEAR_S = 366 * 86_400
"""The recordings keep their times; a machine whose clock is behind them must not take them for a switch from the future."""


def source(vendor: str, **more: Any) -> dict[str, Any]:
    return {"vendor": vendor, "clock_error_s": FOR_A_YEAR_S, **more}


class Worker:
    """`callverdict worker` as a process: a supervisor and the worker under it. Its log goes to a file."""

    def __init__(self, environ: Mapping[str, str], folder: Path, *arguments: str) -> None:
        self.port = free_ports(1)[0]
        self._log = folder / f"worker-{self.port}.log"
        with self._log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli.main", "worker", "--web-port", str(self.port), *arguments],
                cwd=folder, stdout=out, stderr=subprocess.STDOUT, env=environ,
            )  # fmt: skip

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def pids(self) -> list[int]:
        """Every process that the supervisor has started so far."""
        return [int(pid) for pid in re.findall(r"worker\.started number=1 pid=(\d+)", self.log)]

    def page(self, path: str) -> str | None:
        """What the worker's web server says; None while it says nothing or no."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as answer:
                text: str = answer.read().decode()
                return text
        except (urllib.error.URLError, OSError):
            return None

    async def ready(self, *, within_s: float = 40.0) -> None:
        await self._until(lambda: self.page("/readyz") is not None, within_s=within_s)

    async def kill(self) -> None:
        """SIGKILL for the worker, not for its supervisor, which starts the next one."""
        started = self.pids
        os.kill(started[-1], signal.SIGKILL)
        await self._until(lambda: len(self.pids) > len(started), within_s=20)

    async def stop(self) -> int:
        """SIGTERM, then the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self, *, within_s: float = 40.0) -> int:
        return await asyncio.to_thread(self.process.wait, within_s)

    def end(self) -> None:
        """Leave nothing behind, whatever happened."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    async def _until(self, holds: Any, *, within_s: float) -> None:
        until_s = time.monotonic() + within_s
        while not await asyncio.to_thread(holds):
            assert self.process.poll() is None, f"the worker ended with {self.process.returncode}:\n{self.log[-6000:]}"
            assert time.monotonic() < until_s, f"not within {within_s} s:\n{self.log[-6000:]}"
            await asyncio.sleep(0.05)


class Installation:
    """Settings by environment, topics with a prefix, workers that end with the test."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, sources: Sequence[Mapping[str, Any]], **more: object) -> None:
        chosen = {
            "bootstrap": bootstrap, "topic_prefix": prefix, "app_id": prefix.rstrip("."), "sources": json.dumps(sources),
            "session_timeout_s": 6, "tick_s": 3_600, **more,
        }  # fmt: skip
        ours = {f"CALLVERDICT_{name.upper()}": str(value) for name, value in chosen.items()}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CALLVERDICT_") or name == "CALLVERDICT_CACHE"}
        self.environ = {**clean, **ours, "PYTHONPATH": str(ROOT)}
        self.folder = folder
        self.settings: Settings = load(ours, directory=folder)
        self.topics: Names = names(self.settings)
        self._workers: list[Worker] = []

    @property
    def raw(self) -> tuple[str, ...]:
        """The sources' topics, in the order of the sources."""
        return tuple(source.topic for source in self.settings.sources)

    async def create(self) -> None:
        await broker.create(self.settings.bootstrap, topics(self.settings))

    def worker(self, *arguments: str) -> Worker:
        self._workers.append(Worker(self.environ, self.folder, *arguments))
        return self._workers[-1]

    def end(self) -> None:
        for worker in self._workers:
            worker.end()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `callverdict` as a person would."""
        command = [sys.executable, "-m", "pipeline.cli.main", *arguments]
        return subprocess.run(command, cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False, timeout=60)

    async def play(self, recording: Path, topic: str) -> None:
        await play([recording], KEPT, bootstrap=self.settings.bootstrap, topic=topic)

    async def write(self, topic: str, records: Iterable[tuple[bytes | None, bytes | None]], *, partition: int | None = None) -> None:
        """Produce keys and values as any client would; without `partition` by murmur2."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.settings.bootstrap, acks="all", linger_ms=5, partitioner=DefaultPartitioner()
        ) as producer:
            sent = [await producer.send(topic, value, key=key, partition=partition) for key, value in records]
            await asyncio.gather(*sent)

    async def lag(self) -> int:
        rows = await lag(self.settings.bootstrap, self.settings.app_id, inputs(self.settings), now_ms=0)
        return sum(row.records for row in rows)

    async def worked_off(self, *, within_s: float = 90.0) -> None:
        """Return when no input has anything left."""
        until_s = time.monotonic() + within_s
        while behind := await self.lag():
            logs = "\n".join(worker.log[-3000:] for worker in self._workers)
            assert time.monotonic() < until_s, f"{behind} records behind after {within_s} s:\n{logs}"
            await asyncio.sleep(0.1)

    async def settle(self) -> None:
        """Work everything off, move stream time on as `callverdict tick` does, work that off too."""
        await self.worked_off()
        await tick(self.settings, "settle")
        await self.worked_off()

    async def offsets(self, topic_names: Collection[str]) -> dict[TopicPartition, tuple[int, int]]:
        """Committed and end offset of every partition, as a plain client hears them; -1 where nothing is committed."""
        async with AIOKafkaConsumer(bootstrap_servers=self.settings.bootstrap, isolation_level="read_committed") as consumer:
            places = [place for topic in topic_names for place in await _places(consumer, topic)]
            ends = await consumer.end_offsets(places)
        async with broker.admin(self.settings.bootstrap) as admin:
            found = await admin.list_consumer_group_offsets(self.settings.app_id, partitions=places)
        return {place: (found[place].offset, ends[place]) for place in places}

    async def read(self, topic: str) -> list[Any]:
        """Every committed record of a topic, partition by partition."""
        async with AIOKafkaConsumer(
            bootstrap_servers=self.settings.bootstrap, isolation_level="read_committed", auto_offset_reset="earliest",
            enable_auto_commit=False, max_partition_fetch_bytes=4 << 20, fetch_max_wait_ms=50,
        ) as consumer:  # fmt: skip
            places = await _places(consumer, topic)
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            found: list[Any] = []
            while any([await consumer.position(place) < ends[place] for place in places]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found.extend(records)
        return sorted(found, key=lambda record: (record.partition, record.offset))


async def _places(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    partitions = await consumer._client._wait_on_metadata(topic)
    assert partitions, f"{topic} has no partitions"
    return [TopicPartition(topic, partition) for partition in sorted(partitions)]
