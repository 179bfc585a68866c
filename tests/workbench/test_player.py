"""The plan of a play: when a record is sent, by how much times move; and a play through a real Kafka."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from hypothesis import given
from hypothesis import strategies as st

from pipeline.workbench.player import AT_ONCE, PlayError, Telling, Timed, due_us, merged, partitioner, play, shift_of, survey
from pipeline.workbench.recording import RecordingError, own_time_us, records
from tests.support.broker import Broker

S01 = Path(__file__).parents[1] / "recordings" / "freeswitch" / "s01_ringall_one_answers.events.lite.jsonl.gz"
BASE_US = 1_795_449_900_000_000


def event(at_us: int, leg: str = "leg") -> bytes:
    return json.dumps({"Unique-ID": leg, "Event-Date-Timestamp": str(at_us)}).encode()


def file_of(directory: Path, name: str, *lines: bytes) -> Path:
    path = directory / name
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def in_order_of_arrival(times_us: list[int | None]) -> list[Timed]:
    reached_us, lines = 0, []
    for own_us in times_us:
        reached_us = max(reached_us, own_us or 0)
        lines.append(Timed(reached_us, own_us, b""))
    return lines


TIMES = st.lists(st.none() | st.integers(BASE_US, BASE_US + 3_600_000_000), min_size=1, max_size=40)
SPEEDS = st.sampled_from([AT_ONCE, 0.1, 0.5, 1.0, 3.0, 10.0, 1_000.0])


@given(TIMES, SPEEDS, st.integers(BASE_US, 2 * BASE_US))
def test_no_record_comes_from_the_future_and_one_second_more_would(times_us: list[int | None], speed: float, start_us: int) -> None:
    lines = in_order_of_arrival(times_us)
    found = survey(lines, speed)
    shift_us = shift_of(found, Telling(speed=speed), start_us).seconds * 1_000_000
    spare = [
        start_us + due_us(line.reached_us, found.first_us, speed) - (line.own_us + shift_us) for line in lines if line.own_us is not None
    ]
    assert all(us >= 0 for us in spare)
    assert not spare or min(spare) < 1_000_000


@given(TIMES, SPEEDS)
def test_records_are_sent_in_their_order(times_us: list[int | None], speed: float) -> None:
    lines = in_order_of_arrival(times_us)
    due = [due_us(line.reached_us, survey(lines, speed).first_us, speed) for line in lines]
    assert due == sorted(due)
    assert due[0] == 0


def test_times_that_are_kept_do_not_move() -> None:
    found = survey(in_order_of_arrival([BASE_US]), 1.0)
    assert shift_of(found, Telling(times="keep"), 2 * BASE_US).seconds == 0


def test_several_files_are_merged_by_time_each_in_its_own_order(tmp_path: Path) -> None:
    one = file_of(tmp_path, "one", event(BASE_US + 5, "a"), event(BASE_US + 3, "late"), event(BASE_US + 9, "c"))
    other = file_of(tmp_path, "other", b"", event(BASE_US + 4, "b"), b"garbage", event(BASE_US + 8, "d"))
    sent = [line.record for line in merged([one, other])]
    assert sent == [
        event(BASE_US + 4, "b"), b"garbage", event(BASE_US + 5, "a"), event(BASE_US + 3, "late"), event(BASE_US + 8, "d"), event(BASE_US + 9, "c")
    ]  # fmt: skip


async def test_kept_times_and_ids_give_the_same_bytes(tmp_path: Path) -> None:
    out = tmp_path / "out.gz"
    sent = await play([S01], Telling(times="keep", ids="keep"), out=out)
    assert gzip.decompress(out.read_bytes()) == gzip.decompress(S01.read_bytes())
    assert sent.records == len(list(records(S01)))


async def test_the_same_seed_gives_the_same_ids_and_another_gives_others(tmp_path: Path) -> None:
    outs = [tmp_path / name for name in ("one", "same", "other")]
    for out, seed in zip(outs, ("x", "x", "y"), strict=True):
        await play([S01], Telling(times="keep", seed=seed), out=out)
    one, same, other = (out.read_bytes() for out in outs)
    assert one == same != other


async def test_new_times_end_now(tmp_path: Path) -> None:
    await play([S01], Telling(speed=AT_ONCE), out=tmp_path / "out")
    last_s = max(own_time_us(record) or 0 for record in records(tmp_path / "out")) / 1_000_000
    assert -0.5 < time.time() - last_s < 10


async def test_what_cannot_be_played_is_said(tmp_path: Path) -> None:
    empty, damaged = file_of(tmp_path, "empty"), tmp_path / "damaged.gz"
    damaged.write_bytes(S01.read_bytes()[:5_000])
    with pytest.raises(PlayError, match="no records: give files with one record a line"):
        await play([empty], Telling(), out=tmp_path / "out")
    with pytest.raises(RecordingError, match=r"damaged\.gz: damaged gzip .*: fetch the file again"):
        await play([damaged], Telling(), out=tmp_path / "out")
    with pytest.raises(PlayError, match="would overwrite a file that is played"):
        await play([damaged], Telling(), out=damaged)


MURMUR2 = [
    (b"21", -973932308),
    (b"foobar", -790332482),
    (b"a-little-bit-long-string", -985981536),
    (b"a-little-bit-longer-string", -1486304829),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    (b"abc", 479470107),
]
"""From org.apache.kafka.common.utils.UtilsTest."""


@pytest.mark.parametrize(("key", "murmur2"), MURMUR2)
def test_keys_go_where_kafkas_own_producer_sends_them(key: bytes, murmur2: int) -> None:
    assert partitioner()(key, list(range(7)), []) == (murmur2 & 0x7FFFFFFF) % 7


def test_without_keys_partitions_take_turns() -> None:
    choose = partitioner()
    assert [choose(None, [0, 1, 2], []) for _ in range(5)] == [0, 1, 2, 0, 1]


async def topic_made(bootstrap: str, name: str, partitions: int) -> None:
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    await client.create_topics([NewTopic(name, partitions, 1, topic_configs={"message.timestamp.type": "LogAppendTime"})])
    await client.close()


async def read(bootstrap: str, topic: str, partitions: int, count: int) -> list[tuple[int, int, bytes | None, bytes]]:
    """(partition, broker's timestamp in ms, key, value) of the first `count` records."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, part) for part in range(partitions)])
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            return [(r.partition, r.timestamp, r.key, r.value) for r in [await consumer.getone() for _ in range(count)]]
    finally:
        await consumer.stop()


@pytest.mark.kafka
async def test_a_play_arrives_keyed_in_order_and_not_from_the_future(kafka: Broker, topic_prefix: str, tmp_path: Path) -> None:
    topic, out = f"{topic_prefix}raw", tmp_path / "sent.gz"
    heard: list[int] = []
    await topic_made(kafka.bootstrap, topic, 3)
    sent = await play([S01], Telling(speed=50.0), bootstrap=kafka.bootstrap, topic=topic, out=out, on_sent=heard.append)
    found = survey(merged([S01]), 50.0)
    assert sent.seconds >= (found.last_us - found.first_us) / 50 / 1_000_000
    there = await read(kafka.bootstrap, topic, 3, sent.records)
    written = list(records(out))
    assert sorted(value for *_, value in there) == sorted(written)
    assert sum(heard) == sum(map(len, written)) == sent.size_bytes
    for leg in {key for _, _, key, _ in there if key is not None}:
        at_the_broker = [value for _, _, key, value in there if key == leg]
        assert at_the_broker == [record for record in written if json.loads(record).get("Unique-ID") == leg.decode()]
        assert len({partition for partition, _, key, _ in there if key == leg}) == 1
    assert len({partition for partition, _, key, _ in there if key is None}) == 3
    assert all((own_time_us(value) or 0) // 1_000 <= timestamp for _, timestamp, _, value in there)


@pytest.mark.kafka
async def test_a_topic_that_is_missing_is_not_made_by_the_asking(kafka: Broker, topic_prefix: str) -> None:
    for _ in range(2):
        with pytest.raises(PlayError, match="is missing: make it with `callverdict topics create`, or give another --topic"):
            await play([S01], Telling(speed=AT_ONCE), bootstrap=kafka.bootstrap, topic=f"{topic_prefix}gone")
