"""The outside audit of a chaos run: a plain read_committed consumer reads every topic, and four accounts must balance.

1. Every input record stands in calls.events, or in the dead letters, exactly as often as it was sent.
2. What keys passed on to each other stands in calls.events exactly once, and a replay of calls.events, in one go and without a crash,
   ends with the same rows, byte for byte and revision for revision, and with the same state.
3. The last rows are the batch oracle's answer for each contact and the sum of these answers for each window, and every leg of a ring-all
   has the result that was planned.
4. No key has a revision twice or goes back, every tally record balances, every offset is committed to the end.
"""

from __future__ import annotations

import gc
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.app.codec import decode_item, encode
from pipeline.app.topics import Names
from pipeline.core.model import AgentTallyRow, CallRow, LegEvent, LegRow, Policy, TallyRow
from pipeline.settings import Settings
from pipeline.workbench.offline import Row
from pipeline.workbench.reading import Reader, Told
from pipeline.workbench.topicreplay import LogReplay
from tests.chaos.contacts import Contact, name_of
from tests.chaos.findings import Findings
from tests.chaos.memory import digest_of
from tests.support.comparison import differences, unbalanced
from tests.support.oracle import OracleAnswer, TallyKey, judge
from tests.support.oracle.tallies import Tally

T = TypeVar("T", LegRow, CallRow, TallyRow, AgentTallyRow)
FETCH_BYTES = 8 << 20


class Topics(Protocol):
    """Where an audit reads from."""

    def records(self, topic: str) -> AsyncIterator[Any]:
        """Every committed record that the topic now has, each partition in order."""


class Reading:
    """Topics of a broker as anybody can read them."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self._bootstrap = bootstrap
        self._partitions = partitions

    async def records(self, topic: str) -> AsyncIterator[Any]:
        """Every committed record that the topic now has, each partition in order."""
        places = [TopicPartition(topic, number) for number in range(self._partitions)]
        async with AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, isolation_level="read_committed", enable_auto_commit=False, auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES, fetch_max_bytes=4 * FETCH_BYTES, fetch_max_wait_ms=50,
        ) as consumer:  # fmt: skip
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            while [place for place in places if await consumer.position(place) < ends[place]]:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    for record in records:
                        yield record


class Intake:
    """Account 1."""

    def __init__(self, settings: Settings, policy: Policy) -> None:
        self._readers = {source.topic: Reader(source, settings, policy) for source in settings.sources}
        self.readable: Counter[int] = Counter()  # hashes of what calls.events must hold
        self.unreadable: Counter[tuple[str, int, int]] = Counter()

    def take(self, record: Any) -> None:
        """A record of a raw topic."""
        place = f"{record.topic}/{record.partition}"
        told = Told(place, record.offset, record.value)
        events = self._readers[record.topic].events(told, origin=place, stamped_ms=record.timestamp)
        if events:
            self.readable.update(hash(encode(event)) for event in events)
        else:
            self.unreadable[record.topic, record.partition, record.offset] += 1


def letter_place(record: Any) -> tuple[str, int, int]:
    """Where the record stood that a dead letter tells of."""
    headers = dict(record.headers)
    return headers["source-topic"].decode(), int(headers["source-partition"]), int(headers["source-offset"])


class Rows:
    """The last value of every key of one output topic, and what its history must keep to."""

    def __init__(self, name: str, kind: type[T], findings: Findings) -> None:
        self._name = name
        self._findings = findings
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(kind).decode
        self._reached: dict[bytes, int] = {}
        self.last: dict[bytes, bytes] = {}
        self.records = 0

    def take(self, record: Any) -> None:
        self.records += 1
        if record.value is None:
            self.last.pop(record.key, None)
            return
        row: Any = self._decode(record.value)
        self._keep_revision(record.key, row.revision)
        if isinstance(row, TallyRow | AgentTallyRow):
            self._findings.check("a tally that does not balance", [(record.value, not unbalanced([row]))])
        self.last[record.key] = record.value

    def _keep_revision(self, key: bytes, revision: int) -> None:
        reached = self._reached.get(key, 0)
        if revision == reached:
            self._findings.add("double", f"a revision of {self._name}", (key, revision))
        elif revision < reached:
            self._findings.add("wrong", f"a revision of {self._name} that goes back", (key, reached, revision))
        self._reached[key] = max(reached, revision)

    def rows(self) -> Iterator[Any]:
        return map(self._decode, self.last.values())


class Audit:
    """`findings` has everything that is not as it must be."""

    def __init__(self, settings: Settings, policy: Policy, names: Names, reading: Topics) -> None:
        self.findings = Findings()
        self.legs = Rows("legs", LegRow, self.findings)
        self.results = Rows("results", CallRow, self.findings)
        self.tallies = Rows("tallies", TallyRow, self.findings)
        self.agents = Rows("tallies of agents", AgentTallyRow, self.findings)
        self.records_in = 0
        self._policy = policy
        self._names = names
        self._reading = reading
        self._intake = Intake(settings, policy)

    async def read(self, raw: Iterable[str]) -> None:
        """Read the inputs and the outputs."""
        for topic in raw:
            async for record in self._reading.records(topic):
                self._intake.take(record)
                self.records_in += 1
        letters = Counter([letter_place(record) async for record in self._reading.records(self._names.dead_letters)])
        self.findings.compare_counts("dead letters", letters, self._intake.unreadable)
        outputs = (
            (self._names.legs, self.legs), (self._names.results, self.results), (self._names.tallies, self.tallies),
            (self._names.tallies_agents, self.agents),
        )  # fmt: skip
        for topic, rows in outputs:
            async for record in self._reading.records(topic):
                rows.take(record)
        async for record in self._reading.records(self._names.late):
            self.findings.add("lost", "a fact in calls.late", record.value)
        gc.collect()

    async def recount(self, replay: LogReplay) -> None:
        """Accounts 1 and 2: read calls.events and step through it once more."""
        events: Counter[int] = Counter()
        async for record in self._reading.records(self._names.events):
            for item in decode_item(record.value):
                if isinstance(item, LegEvent):
                    events[hash(record.value)] += 1
                replay.take_item(record.partition, item, is_here=True)
        replay.end("none")
        self.findings.compare_counts("events", events, self._intake.readable)
        if surplus := replay.passed_on - replay.flow.passed:
            self.findings.add("double" if surplus > 0 else "lost", "facts that keys passed on", surplus, abs(surplus))
        kept = replay.kept
        given: tuple[tuple[Rows, Mapping[bytes, Row]], ...] = (
            (self.legs, kept.legs), (self.results, kept.results), (self.tallies, kept.tallies), (self.agents, kept.tallies_agents),
        )  # fmt: skip
        for rows, wanted in given:
            self.findings.compare_values("rows as the log gives them", rows.last, {key: encode(row) for key, row in wanted.items()})

    def compare_state(self, replay: LogReplay, live: Mapping[str, str], restored: Mapping[str, str]) -> None:
        """Account 2: what the workers had in memory, what another one restored, what the log gives."""
        self.findings.compare_values("state after a restart", restored, live)
        recounted = {f"{self._names.events}/{number}": digest_of(state) for number, state in enumerate(replay.flow.parts)}
        self.findings.compare_values("state as the log gives it", {key: live.get(key) for key in recounted}, recounted)

    def judge(self, contacts: Iterable[Contact]) -> None:
        """Account 3."""
        of_contact: dict[str | None, list[Row]] = defaultdict(list)
        for row in (*self.legs.rows(), *self.results.rows()):
            of_contact[name_of(row.leg_id if isinstance(row, LegRow) else row.call_id)].append(row)
        totals: dict[TallyKey, Tally] = {}
        for contact in contacts:
            answer = judge(contact.all_events, self._policy, until_ms=None)
            add(totals, answer.tallies)
            self._compare(of_contact.pop(name_of(contact.all_events[0].leg_id), []), replace(answer, tallies={}))
            self._compare_plan(contact, answer)
        for rows in of_contact.values():
            self.findings.add("double", "rows of nobody", rows[0], len(rows))
        self._compare([*self.tallies.rows(), *self.agents.rows()], OracleAnswer(legs={}, calls={}, visits={}, tallies=totals))

    def _compare(self, rows: list[Row], answer: OracleAnswer) -> None:
        for line in differences(rows, answer):
            self.findings.add("lost" if "ours False" in line or "ours None" in line else "wrong", "what the oracle says", line)

    def _compare_plan(self, contact: Contact, answer: OracleAnswer) -> None:
        told = {leg_id: leg.result for (_, _, leg_id), leg in answer.legs.items()}
        for leg_id, result in contact.results.items():
            if told.get(leg_id) != result:
                self.findings.add("wrong", "the plan", f"{leg_id}: planned {result}, the oracle says {told.get(leg_id)}")

    def check_offsets(self, offsets: Mapping[TopicPartition, tuple[int, int]]) -> None:
        """Account 4."""
        self.findings.check("offsets", ((f"{place}: {at} of {end}", max(0, at) == end) for place, (at, end) in offsets.items()))


def add(totals: dict[TallyKey, Tally], more: Mapping[TallyKey, Tally]) -> None:
    for key, tally in more.items():
        totals.setdefault(key, Tally()).add(tally)
