"""Plays the arrivals into the raw topics, never far ahead of the workers, and bursts of poison between them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.chaos.arrivals import Arrival

log = structlog.get_logger("chaos.feed")

SLICE = 1_000
TRICKLE, TRICKLE_S = 20, 0.1
"""What is sent, and how often, past the bound."""
TRIES = 60
ANSWER_S = 30.0
Record = tuple[str, int, bytes | None, bytes | None]
"""Topic, partition, key, value."""


class Feed:
    """`sent` counts the arrivals that the broker has; what a broker's death made doubtful is sent again, as a switch would.

    Past `bound`, where the next harm is to be done, it sends slowly.
    """

    def __init__(self, bootstrap: str, topic_of: dict[str, str], *, lead: int, behind: Callable[[], Awaitable[int]]) -> None:
        self._bootstrap = bootstrap
        self._topic_of = topic_of
        self._lead = lead
        self._behind = behind
        self._bursts: asyncio.Queue[tuple[list[Record], asyncio.Event]] = asyncio.Queue()
        self._moved = asyncio.Condition()
        self._producer: AIOKafkaProducer
        self.sent = 0
        self.latest_ms = 0
        self.done = False
        self.over = False
        self.bound = 0

    async def play(self, arrivals: Iterable[Arrival]) -> None:
        """Send all; then only poison, until somebody says that it is over."""
        source = iter(arrivals)
        self._producer = await self._started()
        try:
            while part := list(islice(source, SLICE if self.sent < self.bound else TRICKLE)):
                await self._send([(self._topic_of[one.source], one.partition, one.key, one.value) for one in part])
                self.sent += len(part)
                self.latest_ms = max(self.latest_ms, *(one.event_ms for one in part))
                await self._tell()
                await self._wait()
            self.done = True
            await self._tell()
            while not self.over:
                await self._send_bursts()
                await asyncio.sleep(0.1)
        finally:
            await self._producer.stop()

    async def reached(self, count: int) -> None:
        """Return when so many arrivals are sent, or all."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.sent >= count or self.done)

    async def poison(self, source: str, partition: int, records: Sequence[tuple[bytes | None, bytes | None]]) -> None:
        """Send these in a row, with nothing between them, and return when the broker has them."""
        sent = asyncio.Event()
        await self._bursts.put(([(self._topic_of[source], partition, key, value) for key, value in records], sent))
        await sent.wait()

    async def _started(self) -> AIOKafkaProducer:
        """A producer that has found a broker."""
        for _ in range(TRIES):
            producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all", linger_ms=5, request_timeout_ms=10_000)
            try:
                await producer.start()
            except KafkaError:
                await producer.stop()
                await asyncio.sleep(1)
            else:
                return producer
        raise RuntimeError(f"no broker of {self._bootstrap} answers: is one running?")

    async def _send(self, records: Sequence[Record]) -> None:
        left = list(records)
        for _ in range(TRIES):
            try:
                async with asyncio.timeout(ANSWER_S):
                    left = await self._refused(left)
            except TimeoutError:
                await self._begin_anew()
            if not left:
                return
            log.info("records.sent_again", count=len(left))
            await asyncio.sleep(1)
        raise RuntimeError(f"the brokers did not take {len(left)} records: is one running?")

    async def _begin_anew(self) -> None:
        """A producer that waited for a frozen broker may wait for ever."""
        log.info("producer.renewed")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await self._producer.stop()
        self._producer = await self._started()

    async def _refused(self, records: Sequence[Record]) -> list[Record]:
        """Send once; those of which the broker did not say that it has them."""
        doubtful: list[Record] = []
        sent: list[tuple[Record, asyncio.Future[Any]]] = []
        for record in records:
            topic, partition, key, value = record
            try:
                sent.append((record, await self._producer.send(topic, value, key=key, partition=partition)))
            except KafkaError:
                doubtful.append(record)
        answers = await asyncio.gather(*(future for _, future in sent), return_exceptions=True)
        if faults := [answer for answer in answers if isinstance(answer, BaseException) and not isinstance(answer, KafkaError)]:
            raise faults[0]
        return doubtful + [record for (record, _), answer in zip(sent, answers, strict=True) if isinstance(answer, KafkaError)]

    async def _send_bursts(self) -> None:
        while not self._bursts.empty():
            records, sent = self._bursts.get_nowait()
            await self._send(records)
            sent.set()

    async def _wait(self) -> None:
        """Let the workers come closer, and the harm that is being done come to an end: so it never happens to an idle pipeline."""
        await self._send_bursts()
        if self.sent >= self.bound:
            await asyncio.sleep(TRICKLE_S)
        while await self._behind() > self._lead:
            await asyncio.sleep(0.2)
            await self._send_bursts()

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()
