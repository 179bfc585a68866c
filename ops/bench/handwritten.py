"""The ring-all job on plain aiokafka, exactly once: `handwritten.py BOOTSTRAP APPLICATION INPUT OUTPUT CHANGELOG`.

What an engineer would write who knows aiokafka and wants speed: a transactional producer for each partition, the next transaction of
which takes all that has come, batches to explicit partitions, one changelog record per touched call. It restores nothing and
expects to own all partitions: a bench needs no more.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from verdicts import CONTROL, Call, answered, encode, ended, is_full, offered, read_event

CHUNK = 4_000
Keyed = list[tuple[bytes, bytes | None]]


class Partition:
    """One partition of the input: its producer and its open calls."""

    def __init__(self, bootstrap: str, application: str, place: TopicPartition, output: str, changelog: str) -> None:
        self.place = place
        self.busy: asyncio.Task[None] | None = None
        self._application, self._output, self._changelog = application, output, changelog
        self._calls: dict[bytes, Call] = {}
        self.producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap, transactional_id=f"{application}-{place.partition}", linger_ms=0, retry_backoff_ms=20,
            max_batch_size=900_000, max_request_size=4_000_000,
        )  # fmt: skip

    async def chunk(self, records: Sequence[Any]) -> None:
        legs, changes = self._judged(records)
        await self.producer.begin_transaction()
        sent = [*await self._sent(self._output, legs), *await self._sent(self._changelog, changes)]
        await self.producer.send_offsets_to_transaction({self.place: records[-1].offset + 1}, self._application)
        await asyncio.gather(*sent)
        await self.producer.commit_transaction()

    def _judged(self, records: Sequence[Any]) -> tuple[Keyed, Keyed]:
        legs: Keyed = []
        touched: dict[bytes, Call] = {}
        for record in records:
            if record.value.startswith(CONTROL):
                continue
            if leg := self._leg(record.key, record.value, touched):
                legs.append((record.key, leg))
        return legs, [(key, encode(call) if call.legs else None) for key, call in touched.items()]

    def _leg(self, key: bytes, value: bytes, touched: dict[bytes, Call]) -> bytes | None:
        """Fold one event into its call. Return the enriched leg if this is its end."""
        event = read_event(value)
        if event.kind == "offered":
            touched[key] = call = self._calls.setdefault(key, Call())
            offered(call, event)
        elif event.kind == "answered":
            touched[key] = call = self._calls[key]
            answered(call, event)
        elif event.kind == "ended" and is_full(event):
            touched[key] = call = self._calls[key]
            leg = ended(call, event, value)
            if not call.legs:
                del self._calls[key]
            return leg
        return None

    async def _sent(self, topic: str, records: Iterable[tuple[bytes, bytes | None]]) -> list[asyncio.Future[Any]]:
        sent = []
        batch = self.producer.create_batch()
        for key, value in records:
            if batch.append(timestamp=None, key=key, value=value) is None:
                sent.append(await self.producer.send_batch(batch, topic, partition=self.place.partition))
                batch = self.producer.create_batch()
                batch.append(timestamp=None, key=key, value=value)
        if batch.record_count():
            sent.append(await self.producer.send_batch(batch, topic, partition=self.place.partition))
        return sent


async def main(bootstrap: str, application: str, source: str, output: str, changelog: str) -> None:
    consumer = AIOKafkaConsumer(
        source, bootstrap_servers=bootstrap, group_id=application, enable_auto_commit=False, auto_offset_reset="earliest",
        isolation_level="read_committed", max_partition_fetch_bytes=1 << 20,
    )  # fmt: skip
    await consumer.start()
    while not (places := consumer.assignment()):
        await consumer.getmany(timeout_ms=20, max_records=1)
    await consumer.seek_to_beginning()
    parts = {place: Partition(bootstrap, application, place, output, changelog) for place in places}
    for part in parts.values():
        await part.producer.start()
    print("ready", flush=True)  # noqa: T201 - the bench waits for it
    gc.collect()
    gc.freeze()
    while True:
        await turn(consumer, parts)


async def turn(consumer: AIOKafkaConsumer, parts: dict[TopicPartition, Partition]) -> None:
    """Give every idle partition what has come for it; a failed transaction ends the program."""
    for part in parts.values():
        if part.busy and part.busy.done():
            part.busy = part.busy.result()
    free = [place for place, part in parts.items() if part.busy is None]
    if not free:
        await asyncio.wait([part.busy for part in parts.values() if part.busy], return_when=asyncio.FIRST_COMPLETED)
        return
    for place, records in (await consumer.getmany(*free, timeout_ms=20, max_records=CHUNK * len(free))).items():
        parts[place].busy = asyncio.create_task(parts[place].chunk(records))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
