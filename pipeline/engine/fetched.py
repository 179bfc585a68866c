"""The records of a fetch, batch by batch and as light as the parser makes them, where aiokafka makes a large object of each."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import CorruptRecordException


def committed_records(fetch: FetchResult) -> list[Any]:
    """Take all records of a fetch that are committed, and move the consumer's position behind them. Empty if the fetch is out of date.

    They have `offset`, `timestamp`, `key`, `value` and `headers`. The fetch keeps nothing of its buffer.
    """
    if not fetch.check_assignment(fetch._topic_partition) or not fetch.has_more():
        return []
    parts = fetch._partition_records
    found: list[Any] = []
    while parts._records.has_next():
        batch = parts._records.next_batch()
        if not batch.validate_crc():
            raise CorruptRecordException(f"a batch of {fetch._topic_partition} is damaged: look at the broker's disk and its log")
        if not _is_hidden(parts, batch):
            records = list(batch)
            found += records if batch.base_offset >= parts.next_fetch_offset else _from(parts.next_fetch_offset, records)
        parts.next_fetch_offset = batch.next_offset
    fetch._update_position()
    parts._records_iterator = fetch._partition_records = None  # they hold each other, and so the buffer until the collector comes
    return found


def _is_hidden(parts: Any, batch: Any) -> bool:
    """A marker, or of an aborted transaction. Batches are told in the order of the log, as the aborted transactions are."""
    if batch.producer_id is not None:
        parts._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and parts._contains_abort_marker(batch):
            parts._aborted_producers.discard(batch.producer_id)
    return bool(batch.is_control_batch or (batch.is_transactional and batch.producer_id in parts._aborted_producers))


def _from(offset: int, records: list[Any]) -> list[Any]:
    return [record for record in records if record.offset >= offset]


class LightConsumer(AIOKafkaConsumer):
    """A consumer whose `getmany` is for one partition, and makes no large objects."""

    async def getmany(self, place: TopicPartition, *, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        """Return what was fetched, within this time; nothing else may take records meanwhile. Raises KafkaError."""
        fetcher = self._fetcher
        if place not in fetcher._records:
            await wait_for_fetch(fetcher, timeout_ms / 1000)
        fetch = fetcher._records.pop(place, None)
        if fetch is None:
            return {}
        fetcher._notify(fetcher._wait_consume_future)  # the next one may come
        if not isinstance(fetch, FetchResult):
            fetch.check_raise()
        return {place: records} if (records := committed_records(fetch)) else {}


async def wait_for_fetch(fetcher: Any, seconds: float) -> None:
    """Return when something was fetched, or after this time."""
    waiter = fetcher._create_fetch_waiter()
    await asyncio.wait([waiter], timeout=seconds)
    if waiter.done():
        waiter.result()  # raises what the coordinator found, a missing authorisation for instance
    else:
        waiter.cancel()
