"""What lasts: logs, transactions, committed offsets, and the epochs that fence. A Kafka without network, replicas or bytes.

As Kafka does it: a commit is decided in one moment and then written into each partition in its own time; a transaction that stays open
is aborted when its time is over; whoever asks for a transactional id fences the holder before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from aiokafka.errors import ProducerFenced

from pipeline.engine.records import Record
from pipeline.engine.writer import Position
from tests.simulation.log import Log, Place, Rec, Transaction

TRANSACTION_TIMEOUT_S = 15.0
MARKER_S = 0.02
"""A marker comes mostly within this; one in ten takes ten times as long."""
SCATTERED = 0.5
"""Of so many transactions each marker comes at a time of its own, of the others all come at once."""


@dataclass(slots=True)
class Identity:
    """A transactional id. `settled` is set when its last transaction is written everywhere."""

    epoch: int = 0
    open: Transaction | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)


class Broker:
    """`clock` gives the wall clock in ms, with an error of its own for each partition (its leader's)."""

    def __init__(self, counts: Mapping[str, int], chance: Random, clock: Callable[[], int]) -> None:
        self.counts = counts
        self.committed: dict[Place, Position] = {}
        self.logs: dict[Place, Log] = {
            (topic, partition): Log(topic, partition) for topic, count in counts.items() for partition in range(count)
        }
        self.error_ms: dict[Place, int] = {}
        self.news: list[Callable[[], None]] = []
        self.aborted_records = 0
        self.findings: list[str] = []
        self._chance = chance
        self._clock = clock
        self._identities: dict[str, Identity] = {}
        self._furthest: dict[Place, int] = {}
        self._begun: deque[tuple[float, Identity, Transaction]] = deque()

    # -- producers without transactions, and readers

    def write(self, place: Place, key: bytes | None, value: bytes | None) -> Rec:
        log = self.logs[place]
        log.append([(key, value, ())], self._stamp(place))
        self._tell()
        entry = log.entries[-1]
        assert entry is not None
        return entry[0]

    def decided(self, topic: str) -> list[Rec]:
        """Every committed record of a topic, partition after partition."""
        return [record for partition in range(self.counts[topic]) for record in self.logs[topic, partition].decided()]

    # -- transactions

    async def take_id(self, producer: str) -> int:
        """Return a new epoch, once what the holder before had open is aborted everywhere."""
        identity = self._identities.setdefault(producer, Identity())
        identity.epoch += 1
        epoch = identity.epoch
        if identity.open is not None and identity.open.outcome == "open":
            self._decide(identity, identity.open, "aborted")
        if identity.open is not None:
            await identity.settled.wait()
        if identity.epoch != epoch:
            raise ProducerFenced(f"{producer}: taken by somebody else meanwhile")
        return epoch

    async def begin(self, producer: str, epoch: int) -> None:
        """Open a transaction, once the one before is written everywhere."""
        identity = self._checked(producer, epoch)
        if identity.open is not None:
            await identity.settled.wait()
            self._checked(producer, epoch)
        identity.open = Transaction(producer)
        identity.settled.clear()
        self._begun.append((asyncio.get_running_loop().time(), identity, identity.open))
        if len(self._begun) == 1:
            self._await_time_out()

    def produce(self, producer: str, epoch: int, place: Place, records: Iterable[Record]) -> int:
        """Return the offset of the first record."""
        return self.logs[place].append(records, self._stamp(place), self._open(producer, epoch))

    def add_offsets(self, producer: str, epoch: int, offsets: Mapping[Place, Position]) -> None:
        self._open(producer, epoch).offsets.update(offsets)

    def commit(self, producer: str, epoch: int) -> None:
        """Decide it; the markers follow."""
        self._decide(self._checked(producer, epoch), self._open(producer, epoch), "committed")

    @property
    def is_settled(self) -> bool:
        """No transaction is open or being written."""
        return all(identity.open is None for identity in self._identities.values())

    def _checked(self, producer: str, epoch: int) -> Identity:
        identity = self._identities[producer]
        if identity.epoch != epoch:
            raise ProducerFenced(f"{producer}: epoch {epoch} is over, {identity.epoch} holds")
        return identity

    def _open(self, producer: str, epoch: int) -> Transaction:
        identity = self._checked(producer, epoch)
        if identity.open is None or identity.open.outcome != "open":
            raise ProducerFenced(f"{producer}: the transaction took too long")
        return identity.open

    def _await_time_out(self) -> None:
        """One timer for the oldest transaction that is still open."""
        while self._begun and self._begun[0][2].outcome != "open":
            self._begun.popleft()
        if self._begun:
            asyncio.get_running_loop().call_at(self._begun[0][0] + TRANSACTION_TIMEOUT_S, self._time_out)

    def _time_out(self) -> None:
        _, identity, transaction = self._begun.popleft()
        if transaction.outcome == "open":
            identity.epoch += 1
            self._decide(identity, transaction, "aborted")
        self._await_time_out()

    def _decide(self, identity: Identity, transaction: Transaction, outcome: Literal["committed", "aborted"]) -> None:
        transaction.outcome = outcome
        if outcome == "aborted":
            self.aborted_records += sum(log.high - log.open[transaction] for log in transaction.logs)
            transaction.offsets.clear()
        parts: list[Callable[[], None]] = [lambda log=log: log.mark(transaction) for log in transaction.logs]  # type: ignore[misc]
        for place, position in transaction.offsets.items():
            if position.offset < self._furthest.get(place, 0):
                self.findings.append(f"position of {place} back from {self._furthest[place]} to {position.offset}")
            self._furthest[place] = position.offset
        if transaction.offsets:
            parts.append(lambda: self.committed.update(transaction.offsets))
        self._write_markers(identity, parts)

    def _write_markers(self, identity: Identity, parts: Sequence[Callable[[], None]]) -> None:
        missing = len(parts)

        def write(some: Sequence[Callable[[], None]]) -> None:
            nonlocal missing
            for part in some:
                part()
            missing -= len(some)
            self._tell()
            if not missing:
                settle()

        def settle() -> None:
            identity.open = None
            identity.settled.set()

        if not parts:
            settle()
            return
        loop = asyncio.get_running_loop()
        for some in [[part] for part in parts] if self._chance.random() < SCATTERED else [parts]:
            loop.call_later(self._chance.random() * MARKER_S * (10 if self._chance.random() < 0.1 else 1), write, some)

    def _stamp(self, place: Place) -> int:
        return self._clock() + self.error_ms.get(place, 0)

    def _tell(self) -> None:
        for tell in self.news:
            tell()
