"""The end of a topic: its last committed records, and those that come after, as a person reads them.

No group, nothing committed: no worker notices.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.app import broker
from pipeline.app.cluster import Brokers, clients
from pipeline.app.lag import partitions_of
from pipeline.core.inspection import CALL_PARTS, LEG_PARTS

POLL_MS = 200
SILENT_S = 30.0
PARTS = {"calls": CALL_PARTS, "legs": LEG_PARTS}


class Seen(NamedTuple):
    """One record. `stamped_ms`: when the broker got it."""

    stamped_ms: int
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


Wanted = Callable[[Seen], bool]


@asynccontextmanager
async def reader(brokers: Brokers) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        **clients(brokers), client_id="callverdict-show", enable_auto_commit=False, isolation_level="read_committed",
        auto_offset_reset="earliest",
    )  # fmt: skip
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def tail(brokers: Brokers, topic: str, *, last: int, wanted: Wanted, follow: bool) -> AsyncIterator[Seen]:
    """The last wanted records in the broker's order of time, then, if asked, those that come, for ever.

    Raises SettingsError if the topic is missing, BrokerSilentError if the broker goes away.
    """
    places = await partitions_of(brokers, [topic])
    async with reader(brokers) as consumer:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        for record in await _last(consumer, ends, last, wanted):
            yield record
        for place, end in ends.items():
            consumer.seek(place, end)
        while follow:
            for record in await _fetched(consumer):
                if wanted(record):
                    yield record


async def _last(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int], last: int, wanted: Wanted) -> list[Seen]:
    """Read from ever further back until there are enough: offsets say nothing of how many records are between them."""
    begins = await consumer.beginning_offsets(list(ends))
    back = 2 * last + 50
    while True:
        starts = {place: max(begins[place], end - back) for place, end in ends.items()}
        found = sorted(record for record in await _between(consumer, starts, ends) if wanted(record))
        if len(found) >= last or starts == begins:
            return found[len(found) - last :] if last < len(found) else found
        back *= 4


async def _between(consumer: AIOKafkaConsumer, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> list[Seen]:
    found: list[Seen] = []
    for place, start in starts.items():
        consumer.seek(place, start)
    last_s = asyncio.get_running_loop().time()
    while any([await consumer.position(place) < end for place, end in ends.items()]):
        fetched = await _fetched(consumer)
        found += [record for record in fetched if record.offset < ends[TopicPartition(record.topic, record.partition)]]
        now_s = asyncio.get_running_loop().time()
        last_s = now_s if fetched else last_s
        if now_s - last_s > SILENT_S:
            raise broker.BrokerSilentError("the broker hands over nothing more: see that it runs, and try again")
    return found


async def _fetched(consumer: AIOKafkaConsumer) -> list[Seen]:
    fetched = await consumer.getmany(timeout_ms=POLL_MS)
    return sorted(
        Seen(one.timestamp, one.topic, one.partition, one.offset, one.key, one.value, tuple(one.headers))
        for records in fetched.values()
        for one in records
    )


# As a person reads it.


def line(record: Seen, what: str) -> str:
    """One record in a line. `what`: legs, results, tallies, agents, audit, late or dead-letters."""
    at = datetime.fromtimestamp(record.stamped_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    if what == "dead-letters":
        return f"{at} {dead_letter(record)}"
    if record.value is None:
        return f"{at} gone: {text(record.key)}"
    row: dict[str, Any] = msgspec.json.decode(record.value)
    return f"{at} {LINES[what](row)}"


def leg(row: Mapping[str, Any]) -> str:
    beside = [] if row["lost_by_ms"] is None else [f"{row['lost_by_ms']:+d} ms"]
    return f"{said(row, beside)}  {named(row, 'agent', 'queue', 'leg_id', 'call_id')}"


def result(row: Mapping[str, Any]) -> str:
    beside = [] if row["wait_ms"] is None else [f"waited {row['wait_ms'] / 1000:.3f} s"]
    return f"{said(row, beside)}  {named(row, 'answered_by', 'queue', 'call_id')}"


def said(row: Mapping[str, Any], beside: Sequence[str]) -> str:
    """The verdict and how firm it is."""
    if row["is_deleted"]:
        return f"withdrawn  revision {row['revision']}"
    words = [*(row[name] for name in ("reason", "rule") if row[name]), *beside]
    words += ["needs review"] if row["needs_review"] else []
    return f"{row['result']:<9}  {', '.join(words)}; {'final' if row['final'] else 'provisional'}, revision {row['revision']}"


def tally(row: Mapping[str, Any]) -> str:
    start = datetime.fromtimestamp(row["window_start_ms"] / 1000, UTC)
    sums = [f"{unit} {row[f'{unit}_offered']}{parts(row, unit)}" for unit in PARTS if f"{unit}_offered" in row]
    late = f" ({row['revision_reason']})" if row["revision_reason"] else ""
    return (
        f"{row.get('queue') or row.get('agent')}, {row['attribution']}, {row['window_size_s']} s from {start:%Y-%m-%d %H:%M:%S}: "
        f"{'; '.join(sums)}; {row['window_state']}, revision {row['revision']}{late}"
    )


def audit(row: Mapping[str, Any]) -> str:
    start = datetime.fromtimestamp(row["window_start_ms"] / 1000, UTC)
    changed = ", ".join(f"{column} {by:+}" for column, by in row["change"].items())
    window = f"{row['queue'] or row['agent']}, {row['attribution']}, {row['window_size_s']} s from {start:%Y-%m-%d %H:%M:%S}"
    return f"{row['reason']}  {window}: {changed}  {named(row, 'rule', 'leg_id', 'call_id')}"


def parts(row: Mapping[str, Any], unit: str) -> str:
    """What was offered, as the sum of what became of it."""
    counted = [(column.removeprefix(f"{unit}_").replace("_", "-"), row[column]) for column in PARTS[unit]]
    told = [f"{count} {word}" for word, count in counted if count]
    return f" = {' + '.join(told)}" if told else ""


def late(row: Mapping[str, Any]) -> str:
    return f"{row['reason']}, {row['late_ms'] / 1000:.0f} s late  {named(row, 'kind', 'leg_id', 'call_id', 'queue')}"


def dead_letter(record: Seen) -> str:
    told = {name: text(value) for name, value in record.headers}
    place = f"{told.get('source-topic')}/{told.get('source-partition')} at {told.get('source-offset')}"
    return f"{told.get('reason')}  {place}: {told.get('message')}"


def named(row: Mapping[str, Any], *names: str) -> str:
    return " ".join(f"{name.removesuffix('_id')}={row[name]}" for name in names if row[name])


def text(content: bytes | None) -> str:
    return "" if content is None else content.decode(errors="backslashreplace")


LINES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "legs": leg, "results": result, "tallies": tally, "agents": tally, "audit": audit, "late": late,
}  # fmt: skip
