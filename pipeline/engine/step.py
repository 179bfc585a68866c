"""What the engine asks of a job: a step per input partition, and what a step may want written.

The life of a step, in this order: restore*  restored  opened  (chunk | tick)*
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from pipeline.engine.records import ConsumerRecord, Record

BATCH_BYTES = 1_000_000
"""One produced batch. Kafka's own default limit of a topic (`max.message.bytes`) is 1,048,588."""

RECORD_FRAME_BYTES = 96
"""More than a record's own lengths, its offset and its batch's head can take."""

MAX_RECORD_BYTES = BATCH_BYTES - RECORD_FRAME_BYTES
"""The largest record that a step may write, as `record_bytes` counts; larger ones are the step's to turn into a dead letter."""

RESERVED = b"\0"
"""Keys of a changelog that begin so are the engine's own; `restore` never sees them."""


def record_bytes(record: Record) -> int:
    """An upper bound of what a record takes, without its frame: key, value, headers with 20 bytes each for their lengths."""
    key, value, headers = record
    return len(key or b"") + len(value or b"") + sum(20 + 4 * len(name) + len(content) for name, content in headers)


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What one call of a step wants written, all of it in one transaction.

    `changes` go to the stage's changelog, to the partition with the input's number: one per touched key, None deletes.
    `metadata` is kept with the committed offset and given back by `restored`; None keeps what was there.
    """

    outputs: Mapping[tuple[str, int], Sequence[Record]] = {}
    changes: Sequence[tuple[bytes, bytes | None]] = ()
    metadata: str | None = None

    def __bool__(self) -> bool:
        return bool(self.outputs or self.changes or self.metadata is not None)


class Step(Protocol):
    """The job of one stage on one input partition. Synchronous, reads no clock, never raises on data.

    It may raise `Halt` to end the worker on purpose. Anything else it raises ends the process too, as our own bug.
    After a rebalance that brings a partition back unchanged the engine goes on with the same step, from `opened`.
    """

    def restore(self, key: bytes, value: bytes | None) -> None:
        """One record of the changelog, in order; None: the key is gone."""

    def restored(self, metadata: str) -> None:
        """The changelog is read; `metadata` as last committed, empty at first."""

    def opened(self, *, backlog: bool) -> Batch | None:
        """Before the first chunk; `backlog`: the partition holds records that are not committed.

        No chunk of any partition of this stage in this worker is processed before the batches that `opened` returned
        for all of them are committed.
        """

    def chunk(self, records: Sequence[ConsumerRecord]) -> Batch:
        """The next records of the partition, at least one, in order, each exactly once."""

    def tick(self, now_ms: int) -> Batch | None:
        """The partition is read to its end and idle. What is returned is committed without moving the offset."""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One job: the topics it reads, the changelog that keeps its state, and how a step is made.

    `open` gets topic, partition and the partition counts of `topics`, `outputs` and the changelog.
    A stage with a changelog reads exactly one topic, and the changelog has as many partitions as that topic.
    Transactions that are not full begin once in `lingers` times the setting `linger_s`, at the same moment in all partitions of the stage;
    `phase` moves that moment by its share of the time, so that a stage begins when the one before it has written.
    """

    name: str
    topics: tuple[str, ...]
    open: Callable[[str, int, Mapping[str, int]], Step]
    changelog: str | None = None
    outputs: tuple[str, ...] = ()
    lingers: float = 1.0
    phase: float = 0.0

    def __post_init__(self) -> None:
        if self.changelog is not None and len(self.topics) != 1:
            raise ValueError(f"stage {self.name}: a stage with a changelog reads exactly one topic, not {len(self.topics)}")

    @property
    def all_topics(self) -> tuple[str, ...]:
        return (*self.topics, *self.outputs, *((self.changelog,) if self.changelog else ()))
