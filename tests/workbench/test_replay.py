"""Replay: the last row of every key from recordings, whatever the order and the repetition of the files, and from the logs of topics."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.app.codec import decode_item, encode, key_of
from pipeline.core.model import LegEvent, Policy
from pipeline.core.routing import Item
from pipeline.errors import BadRecord, SettingsError
from pipeline.settings import Settings, Source, policy
from pipeline.workbench.casefile import UnknownCall, told
from pipeline.workbench.kept import Kept, Rows
from pipeline.workbench.kin import kin_events
from pipeline.workbench.offline import Offline
from pipeline.workbench.reading import LogReader, Reader, Told, source_named
from pipeline.workbench.replay import End, Replay, ReplayError, replay_files
from pipeline.workbench.topiclog import TopicLog
from pipeline.workbench.topicreplay import LogReplay, is_events, replay_log, replay_raw
from tests.support.broker import Broker
from tests.support.strategies import traffic

RECORDINGS = Path(__file__).parents[1] / "recordings" / "freeswitch"
S05, S08, S10 = (next(RECORDINGS.glob(f"{name}*.events.lite.jsonl.gz")) for name in ("s05", "s08", "s10"))
SETTINGS = Settings()
POLICY = policy(SETTINGS)
TOPICS: tuple[Rows, ...] = ("legs", "results", "tallies", "late")
CALLER = {"leg_id": "ann", "direction": "inbound"}
OFFER = {"leg_id": "bob", "direction": "outbound", "parent_leg_id": "ann"}
BEGIN_MS = 1_795_449_900_000


def reader_of(vendor: str, settings: Settings = SETTINGS) -> Reader:
    return Reader(source_named(vendor, settings), settings, policy(settings))


def replayed(*paths: Path, end: End = "settle", vendor: str = "freeswitch-esl") -> Replay:
    return replay_files(paths, reader_of(vendor), POLICY, end=end)


def bytes_of(kept: Kept) -> dict[str, list[bytes]]:
    return {rows: list(kept.lines(rows)) for rows in TOPICS}


def without_revision(kept: Kept) -> dict[str, list[Any]]:
    """What "equal" means between two runs: live rows without their revision."""
    decoded = {rows: [json.loads(line) for line in kept.lines(rows)] for rows in TOPICS}
    return {rows: [value | {"revision": 0} for value in values if not value.get("is_deleted")] for rows, values in decoded.items()}


def recording(directory: Path, *events: dict[str, Any], name: str = "events.jsonl") -> Path:
    path = directory / name
    path.write_text("".join(json.dumps({**event, "at_ms": BEGIN_MS + event["at_ms"]}) + "\n" for event in events), encoding="utf-8")
    return path


def events_of(path: Path) -> list[LegEvent]:
    reader = reader_of("freeswitch-esl")
    return [event for value in gzip.decompress(path.read_bytes()).splitlines() for event in reader.events(Told("", 0, value))]


def test_order_and_repetition_of_the_files_change_no_byte() -> None:
    once = bytes_of(replayed(S05, S08, S10).kept)
    assert [len(once[rows]) > 5 for rows in ("legs", "results", "tallies")] == [True] * 3
    assert bytes_of(replayed(S10, S05, S08).kept) == once
    assert bytes_of(replayed(S08, S10, S08, S05, S05, S10).kept) == once
    assert bytes_of(replayed(S10).kept) == bytes_of(replayed(S10, S10).kept)


def test_repeated_records_change_nothing_but_revisions(tmp_path: Path) -> None:
    lines = gzip.decompress(S10.read_bytes()).splitlines(keepends=True)
    path = tmp_path / "twice.jsonl"
    path.write_bytes(b"".join(lines + lines[::-1]))
    assert without_revision(replayed(path).kept) == without_revision(replayed(S10).kept)


def test_rows_are_sorted_by_key_and_are_what_the_topics_hold() -> None:
    kept = replayed(S10).kept
    legs = [msgspec.json.decode(line) for line in kept.lines("legs")]
    assert list(kept.legs) != sorted(kept.legs)
    assert list(kept.lines("legs")) == [encode(kept.legs[key]) for key in sorted(kept.legs)]
    assert all(key == key_of(row) for key, row in kept.legs.items())
    assert sum(row["is_deleted"] for row in legs) > 0
    assert all((row["result"] is None) == row["is_deleted"] for row in legs)


@pytest.mark.parametrize(
    ("end", "open_calls", "caller", "agent"),
    [("none", 1, None, None), ("settle", 1, None, None), ("ttl", 0, "Failed", "Failed")],
)
def test_open_calls_are_said_and_never_guessed(tmp_path: Path, end: End, open_calls: int, caller: str | None, agent: str | None) -> None:
    path = recording(tmp_path, {**CALLER, "kind": "offered", "at_ms": 0}, {**OFFER, "kind": "offered", "at_ms": 1000})
    done = replayed(path, end=end, vendor="canonical")
    results = {row.leg_id: row.result for row in done.kept.legs.values()}
    assert (done.open_calls(), results.get("ann"), results.get("bob")) == (open_calls, caller, agent)
    assert [remark.partition(" ")[0] for remark in done.remarks()] == (["1"] if open_calls else [])
    pending = [row.legs_pending for row in done.kept.tallies.values() if (row.attribution, row.window_size_s) == ("cohort", 60)]
    assert sum(pending) == (1 if open_calls else 0)


def test_without_an_end_what_ended_is_not_final(tmp_path: Path) -> None:
    events = ({**CALLER, "kind": "offered", "at_ms": 0}, {**CALLER, "kind": "ended", "at_ms": 3000, "cause": "ORIGINATOR_CANCEL"})
    path = recording(tmp_path, *events)
    finals = {end: [row.final for row in replayed(path, end=end, vendor="canonical").kept.legs.values()] for end in ("none", "settle")}
    assert finals == {"none": [False], "settle": [True]}


def test_a_withdrawn_row_stays_until_retention_is_over() -> None:
    settled, forgotten = replayed(S10).kept, replayed(S10, end="ttl").kept
    assert sum(row.is_deleted for row in settled.legs.values()) > 0
    assert sum(row.is_deleted for row in forgotten.legs.values()) == 0
    assert without_revision(settled)["legs"] == without_revision(forgotten)["legs"]


def test_what_comes_after_its_call_is_gone_is_late(tmp_path: Path) -> None:
    long_ms = POLICY.retention_ms + 60_000
    path = recording(
        tmp_path,
        {**CALLER, "kind": "offered", "at_ms": 0},
        {**CALLER, "kind": "ended", "at_ms": 3000, "cause": "ORIGINATOR_CANCEL"},
        *({"leg_id": f"x{number}", "kind": "ended", "at_ms": long_ms, "cause": "NORMAL_CLEARING"} for number in range(2000)),
        {**CALLER, "kind": "answered", "at_ms": 2000},
        {"leg_id": "y", "kind": "ended", "at_ms": long_ms, "cause": "NORMAL_CLEARING"},
    )
    done = replayed(path, vendor="canonical")
    assert [(row.leg_id, row.reason) for row in done.kept.late] == [("ann", "call_closed")]
    assert [json.loads(line)["kind"] for line in done.kept.lines("late")] == ["answered"]


def test_bad_records_are_counted_by_reason_with_the_first_of_each(tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    good = gzip.decompress(S10.read_bytes())
    path.write_bytes(b"garbage\n" + good + b"more\n" + b'{"Event-Name":"CHANNEL_ANSWER"}\n')
    reader = reader_of("freeswitch-esl")
    done = replay_files([path], reader, POLICY, end="settle")
    found = {reason: (bad.count, bad.first.number) for reason, bad in reader.bad.items()}
    records = len(good.splitlines())
    assert found == {"not_json": (2, 1), "missing_leg_id": (1, records + 3)}
    assert reader.bad["not_json"].message
    assert (reader.records, reader.bad_records) == (records + 3, 3)
    assert bytes_of(done.kept)["results"] == bytes_of(replayed(S10).kept)["results"]


@pytest.mark.parametrize(("content", "sentence"), [(b"", "no records"), (b"x\ny\n", "none of 2 records can be read as canonical")])
def test_nothing_to_read_is_said(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_bytes(content)
    with pytest.raises(ReplayError, match=sentence):
        replayed(path, vendor="canonical")


def test_a_source_is_found_by_name_then_by_vendor() -> None:
    berlin = Source(vendor="freeswitch-esl", name="berlin", topic="b", tenant="acme")
    settings = Settings(sources=(Source(vendor="canonical"), berlin, Source(vendor="freeswitch-esl", name="paris", topic="p")))
    assert source_named("paris", settings).topic == "p"
    assert source_named("freeswitch-esl", settings).name == "berlin"
    assert source_named("freeswitch-json-cdr", settings).tenant == ""
    with pytest.raises(SettingsError, match="no source rome: give one of canonical, berlin, paris, freeswitch-esl"):
        source_named("rome", settings)


def test_a_record_later_than_its_broker_got_it_is_bad() -> None:
    reader = reader_of("canonical")
    value = json.dumps({**CALLER, "kind": "offered", "at_ms": BEGIN_MS}).encode()
    assert len(reader.events(Told("t/0", 1, value), stamped_ms=BEGIN_MS - 300_000)) == 1
    assert reader.events(Told("t/0", 2, value), stamped_ms=BEGIN_MS - 300_001) == ()
    assert (reader.bad["future_time"].count, reader.bad["future_time"].first.number) == (1, 2)


class Logged(Offline):
    """Writes down what is put into each partition, as the worker's topic would hold it."""

    def __init__(self, partitions: int) -> None:
        super().__init__(POLICY, partitions=partitions)
        self.logs: list[list[bytes]] = [[] for _ in range(partitions)]

    def put(self, index: int, item: Item) -> None:
        self.logs[index].append(encode(item))
        super().put(index, item)


def logged(events: Iterable[LegEvent], *, partitions: int, every: int) -> Logged:
    """Run events as a worker would, a watermark after `every` events; the log ends with the watermark that lets calls settle."""
    flow = Logged(partitions)
    reached_ms = 0
    for number, event in enumerate(events, 1):
        flow.send(msgspec.structs.replace(event, origin="raw/0"))
        reached_ms = max(reached_ms, event.at_ms)
        if number % every == 0:
            flow.send_watermark(reached_ms, "raw/0")
            flow.run()
    flow.send_watermark(reached_ms + POLICY.settle_ms + POLICY.grace_ms)
    flow.run()
    return flow


def kept_of(flow: Offline) -> Kept:
    kept = Kept()
    kept.take(flow.rows, flow.retired)
    return kept


def taken(logs: Sequence[Sequence[bytes]], end: End) -> LogReplay:
    replay = LogReplay(POLICY, partitions=len(logs))
    for partition, log in enumerate(logs):
        for value in log:
            for item in decode_item(value):
                replay.take_item(partition, item, is_here=True)
    replay.end(end)
    return replay


@hypothesis_settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(events=traffic(), partitions=st.integers(1, 3), every=st.integers(1, 7))
def test_the_log_of_calls_events_gives_the_workers_rows_with_their_revisions(events: list[LegEvent], partitions: int, every: int) -> None:
    flow = logged(events, partitions=partitions, every=every)
    replay = taken(flow.logs, "none")
    for rows in TOPICS:
        assert list(replay.kept.lines(rows)) == list(kept_of(flow).lines(rows))
    assert replay.flow.passed == replay.passed_on
    assert bytes_of(taken(flow.logs, "settle").kept) == bytes_of(replay.kept)


def test_a_log_that_the_worker_has_not_finished_is_told_by_what_is_missing() -> None:
    events = events_of(S10)
    flow = logged(events, partitions=2, every=50)
    assert not [remark for remark in taken(flow.logs, "none").remarks() if "not in the log" in remark]
    cut = [[value for value in log if not value.startswith((b'{"control":"facts"', b'{"control":"linked"'))] for log in flow.logs]
    assert [remark for remark in taken(cut, "none").remarks() if "not in the log" in remark]


def test_any_spread_over_partitions_and_any_watermarks_give_the_same_rows() -> None:
    events = events_of(S05)
    assert without_revision(kept_of(logged(events, partitions=4, every=17))) == without_revision(replayed(S05).kept)


def test_calls_events_is_known_by_its_name() -> None:
    assert [is_events(topic) for topic in ("calls.events", "eu.calls.events", "calls.raw.events")] == [True, True, False]


async def filled(kafka: Broker, topic: str, logs: Sequence[Sequence[bytes]]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, len(logs), 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        for partition, log in enumerate(logs):
            for value in log:
                await producer.send(topic, value, partition=partition)


@pytest.mark.kafka
async def test_topics_give_what_files_give(kafka: Broker, topic_prefix: str) -> None:
    values = gzip.decompress(S10.read_bytes()).splitlines()
    await filled(kafka, f"{topic_prefix}raw", [values[::2], [*values[1::2], b"garbage"], []])
    reader = reader_of("freeswitch-esl")
    async with TopicLog(kafka.bootstrap, f"{topic_prefix}raw") as log:
        done = await replay_raw(log, reader, POLICY, end="settle")
        assert [number async for _, number, *_ in log.records()] == [number async for _, number, *_ in log.records()]
    assert without_revision(done.kept) == without_revision(replayed(S10).kept)
    assert {reason: (bad.count, bad.first.place) for reason, bad in reader.bad.items()} == {"not_json": (1, f"{topic_prefix}raw/1")}


@pytest.mark.kafka
async def test_the_log_in_kafka_gives_the_workers_rows_and_explains_a_call(kafka: Broker, topic_prefix: str) -> None:
    events = events_of(S10)
    flow = logged(events, partitions=2, every=100)
    topic = f"{topic_prefix}calls.events"
    await filled(kafka, topic, flow.logs)
    call = max(kept_of(flow).results.values(), key=lambda row: (row.legs_offered, row.call_id))
    async with TopicLog(kafka.bootstrap, topic) as log:
        replay = await replay_log(log, LogReader(), POLICY, end="none")
        found = await kin_events(log, call.call_id)
        with pytest.raises(UnknownCall, match=f"knows no call or leg {call.call_id[:-1]}: the nearest ids there are {call.call_id}"):
            await kin_events(log, call.call_id[:-1])
    assert bytes_of(replay.kept) == bytes_of(kept_of(flow))
    story = told(found, Policy(), call_id=call.call_id)
    assert len(found) < len(events) / 4
    assert story.row is not None
    assert (story.row.result, story.row.legs_offered) == (call.result, call.legs_offered)


@pytest.mark.kafka
async def test_a_log_holds_what_was_committed_and_ends_at_an_open_transaction(kafka: Broker, topic_prefix: str) -> None:
    topic = f"{topic_prefix}log"
    await filled(kafka, topic, [[b"plain"], []])
    async with (
        AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"{topic_prefix}a") as first,
        AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"{topic_prefix}b") as second,
    ):
        async with first.transaction():
            await first.send_and_wait(topic, b"committed", partition=0)
        await first.begin_transaction()
        await first.send_and_wait(topic, b"aborted", partition=0)
        await first.send_and_wait(topic, b"aborted", partition=1)
        await first.abort_transaction()
        assert await values_of(kafka, topic) == [b"plain", b"committed"]
        await second.begin_transaction()
        await second.send_and_wait(topic, b"open", partition=0)
        async with first.transaction():
            await first.send_and_wait(topic, b"behind it", partition=0)
        assert await values_of(kafka, topic) == [b"plain", b"committed"]
        await second.commit_transaction()
        assert await values_of(kafka, topic) == [b"plain", b"committed", b"open", b"behind it"]


async def values_of(kafka: Broker, topic: str) -> list[bytes | None]:
    async with asyncio.timeout(30), TopicLog(kafka.bootstrap, topic) as log:
        return [record.value async for record in log.records()]


@pytest.mark.kafka
async def test_a_missing_topic_is_said(kafka: Broker, topic_prefix: str) -> None:
    with pytest.raises(SettingsError, match=f"the topic {topic_prefix}x is missing"):
        async with asyncio.timeout(30), TopicLog(kafka.bootstrap, f"{topic_prefix}x"):
            pass


def test_a_record_that_is_no_item_of_the_log_is_put_aside() -> None:
    reader = LogReader()
    assert reader.items(Told("calls.events/0", 7, b"{}")) == ()
    assert reader.bad_records == 1
    with pytest.raises(BadRecord):
        decode_item(b"{}")
