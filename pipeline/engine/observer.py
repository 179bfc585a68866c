"""What can be seen of the engine from outside: the calls of an observer, the status of each partition, the fault points."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol, TypeAlias

import msgspec

State: TypeAlias = Literal["opening", "restoring", "waiting", "running", "closing"]
FaultPoint: TypeAlias = Literal[
    "while_restoring", "before_begin", "after_begin", "after_send", "after_offsets", "after_futures", "after_commit"
]
Fault: TypeAlias = Callable[[FaultPoint, str, int], Awaitable[None]]
"""Called at each named point with topic and partition; tests end or delay the process there."""


async def no_fault(_point: FaultPoint, _topic: str, _partition: int) -> None:
    """What production passes."""


class PartitionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One owned partition. `waiting`: restored, while others of its stage are not. `oldest_ms`: the broker's time of the
    oldest record in hand that is not committed.
    """

    stage: str
    topic: str
    partition: int
    state: State
    restored_records: int
    restored_s: float
    next_offset: int
    queued_records: int
    transaction_s: float
    oldest_ms: int | None = None


class Observer(Protocol):
    """Told about happenings, in the event loop: it must return at once and must not raise."""

    def chunk(self, stage: str, topic: str, partition: int, records: int, seconds: float, /) -> None:
        """A chunk was taken, stepped through and committed."""

    def transaction(self, stage: str, topic: str, partition: int, records: int, seconds: float, /) -> None:
        """One committed transaction over so many input records; a tick has none."""

    def restored(self, stage: str, topic: str, partition: int, records: int, seconds: float, /) -> None:
        """The changelog of a partition was read."""

    def stopped(self, reason: str, /) -> None:
        """The process ends."""


class SilentObserver:
    def chunk(self, stage: str, topic: str, partition: int, records: int, seconds: float) -> None:
        pass

    def transaction(self, stage: str, topic: str, partition: int, records: int, seconds: float) -> None:
        pass

    def restored(self, stage: str, topic: str, partition: int, records: int, seconds: float) -> None:
        pass

    def stopped(self, reason: str) -> None:
        pass
