"""Records made to end a step, or to go round for ever: each becomes a dead letter or harmless, and the pipeline comes to rest."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from pipeline.core.model import LegEvent
from pipeline.engine.step import MAX_RECORD_BYTES, record_bytes
from pipeline.settings import load
from tests.simulation.cluster import Cluster

SETTINGS = load(environ={"CALLVERDICT_PARTITIONS": "1"})
T = 1_790_000_000_000
REST = 400
"""Records that a handful of events may cause; an endless round passes it at once."""

UNREADABLE_EVENTS = (
    b'{"leg_id":"\xff","kind":"offered","at_ms":1}',
    b'{"leg_id":"a","kind":"offered","at_ms":1,"ring_limit_ms":18446744073709551616}',
    b'{"leg_id":"a","kind":"offered","at_ms":1,"source":"' + b"s" * 999_000 + b'"}',
    b'{"leg_id":"a","kind":"ended","at_ms":1,"cause":"X","cause_space":"' + b"s" * 999_000 + b'"}',
    b'{"control":"watermark","origin":"x","at_ms":1180591620717411303424}',
    b'{"control":"linked","tenant":"","to":"a","leg_id":"a","parent":"b","rank":0,"at_ms":1180591620717411303424}',
    b'{"control":"linked","tenant":"","to":"a","leg_id":"b","parent":"c","rank":0,"at_ms":1,"hops":-100000}',
    b'{"control":"facts","tenant":"","to":"a","leg":["b"],"via":[]}',
    b'{"control":"facts","tenant":"","to":"a","leg":["b",null,0,null,null,-9],"via":["b"]}',
    b'{"control":"review","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b"[" * 100_000,
)
UNREADABLE_PARTIALS = (
    b'{"control":"partial","tenant":"","queue":"q","size_ms":60000,"start_ms":0,"partition":0,"revision":1,"counts":[]}',
    b'{"control":"partial","tenant":"","queue":"q","size_ms":60000,"start_ms":0,"partition":0,"revision":1180591620717411303424,"counts":[1]}',
    b'{"control":"reached","partition":0,"at_ms":1180591620717411303424}',
    b'{"control":"partial","tenant":"\xff"}',
    b"",
)


def cluster() -> Cluster:
    return Cluster(SETTINGS, Random(1), now_ms=T + 60_000)


def dead_letters(one: Cluster) -> int:
    return len(one.logs[one.names.dead_letters, 0])


@pytest.mark.parametrize("value", UNREADABLE_EVENTS, ids=range(len(UNREADABLE_EVENTS)))
def test_a_record_of_calls_events_that_cannot_be_read_is_a_dead_letter(value: bytes) -> None:
    one = cluster()
    one.write((one.names.events, 0), b"k", value)
    one.drain(most=5)
    assert dead_letters(one) == 1


@pytest.mark.parametrize("value", UNREADABLE_PARTIALS, ids=range(len(UNREADABLE_PARTIALS)))
def test_a_partial_that_cannot_be_read_is_a_dead_letter(value: bytes) -> None:
    one = cluster()
    one.write((one.names.partials, 0), b"k", value)
    one.drain(most=5)
    assert dead_letters(one) == 1


def test_no_record_becomes_larger_than_a_record_may_be() -> None:
    one = cluster()
    visits = [
        LegEvent(leg_id="ann", kind="queue_joined", at_ms=T, direction="inbound", visit_id=f"v{number}" * 20, queue=f"q{number}" * 30)
        for number in range(3_000)
    ]
    for place in (("calls.raw.canonical", 0), ("calls.raw.freeswitch-esl", 0)):
        one.write(place, b"k" * 1_000_000, b"x")
        one.write(place, b"k" * 999_000, None)
    one.write(("calls.raw.freeswitch-esl", 0), None, b'{"Event-Name":"CHANNEL_CREATE","Unique-ID":"u","Event-Date-Timestamp":"%d000",'
              b'"FreeSWITCH-Switchname":"' % T + rb"\u0001" * 150_000 + b'"}')  # fmt: skip
    one.write(("calls.raw.canonical", 0), None, msgspec.json.encode(visits))
    one.drain(most=50)
    one.tick_all(T + 40 * 3_600_000)
    one.drain(most=50)
    written = [(topic, rec) for (topic, _), log in one.logs.items() for rec in log if not topic.startswith("calls.raw")]
    assert max(record_bytes((rec.key, rec.value, rec.headers)) for _, rec in written) <= MAX_RECORD_BYTES
    assert dead_letters(one) == 4


def told(leg_id: str, kind: str, **facts: object) -> bytes:
    return msgspec.json.encode({"leg_id": leg_id, "kind": kind, "at_ms": T, **facts})


def test_links_that_lead_round_come_to_rest() -> None:
    one = cluster()
    for value in (
        told("b", "noted", group_id="g2"),
        told("cc", "offered", parent_leg_id="e"),
        told("b", "noted", parent_leg_id="cc", group_id="g2"),
        told("cc", "noted", parent_leg_id="b"),
        told("e", "noted", parent_leg_id="a"),
    ):
        one.write(("calls.raw.canonical", 0), None, value)
    rest(one)


def test_a_key_that_is_told_to_hang_under_itself_comes_to_rest() -> None:
    one = cluster()
    one.write(
        (one.names.events, 0), b"|a", b'{"control":"linked","tenant":"","to":"a","leg_id":"a","parent":"a","rank":1000,"at_ms":%d}' % T
    )
    one.write(("calls.raw.canonical", 0), None, told("a", "offered"))
    rest(one)


def rest(one: Cluster) -> None:
    for _ in range(REST):
        if not one.behind():
            return
        one.turn(most=5, crash=0.0)
    raise AssertionError(f"{len(one.logs[one.names.events, 0])} records in calls.events, and no end")
