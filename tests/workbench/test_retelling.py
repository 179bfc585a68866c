"""A recording told anew is the same story: every time moved alike, every id renamed alike, every other byte kept."""

from __future__ import annotations

import json
import re
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import UUID, uuid5

import msgspec
import pytest

from pipeline.core.model import LegEvent
from pipeline.vendors import VENDORS
from pipeline.workbench.recording import own_id, own_time_us, records
from pipeline.workbench.retelling import Shift, moved, renamer

RECORDINGS = Path(__file__).parents[1] / "recordings" / "freeswitch"
FILES = sorted(path for path in RECORDINGS.glob("*.jsonl.gz"))
SEED = "6ba7b811-9dad-11d1-80b4-00c04fd430c8"
SHIFT_S = 86_400 * 37 + 12_345  # over a month's end and, in Europe, into another half of the year
STEP = 11  # of the records of a file: enough to meet every header

UUID_SHAPE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def some_records(path: Path) -> list[bytes]:
    return list(islice(records(path), 0, None, STEP))


def shift_for(path: Path) -> Shift:
    return Shift(SHIFT_S, max(own_time_us(record) or 0 for record in records(path)) // 1_000_000)


def leaves(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Every scalar of a document with its path, repeated keys included."""
    if isinstance(value, tuple):
        return [leaf for key, inner in value for leaf in leaves(inner, f"{path}.{key}")]
    if isinstance(value, list):
        return [leaf for at, inner in enumerate(value) for leaf in leaves(inner, f"{path}[{at}]")]
    return [(path, str(value))]


def document(record: bytes) -> list[tuple[str, str]]:
    return leaves(json.loads(record, object_pairs_hook=lambda pairs: tuple((key, value) for key, value in pairs)))


def moved_by_s(old: str, new: str) -> float | None:
    """By how many seconds a whole text, read as a time, moved; None if it is no time."""
    old, new = unquote(old), unquote(new)
    if old.isdigit() and new.isdigit() and len(old) == len(new):
        return (int(new) - int(old)) / {10: 1, 13: 1_000, 16: 1_000_000}[len(old)]
    for form in ("%Y-%m-%d %H:%M:%S", "%a, %d %b %Y %H:%M:%S GMT"):
        try:
            return (datetime.strptime(new, form) - datetime.strptime(old, form)).total_seconds()  # noqa: DTZ007 - wall clocks
        except ValueError:
            continue
    return None


def is_time_of_the_recording(text: str) -> bool:
    return re.fullmatch(r"17954\d{5}(\d{3}(\d{3})?)?|2026-11-23[ T].*|\w{3}, 23 Nov 2026.*", unquote(text)) is not None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_time_of_every_record_moves_by_the_same_seconds_and_nothing_else_changes(path: Path) -> None:
    shift, seen = shift_for(path), 0
    for record in some_records(path):
        old, new = document(record), document(moved(record, shift))
        assert [key for key, _ in old] == [key for key, _ in new]
        for (key, before), (_, after) in zip(old, new, strict=True):
            if is_time_of_the_recording(before):
                assert (key, before, moved_by_s(before, after)) == (key, before, SHIFT_S)
                seen += 1
            elif before != after:
                history = re.compile(r"\b(17954\d{5})(?=(:|%3A)[0-9a-f]{8}-)")
                assert history.sub(lambda match: str(int(match[1]) + SHIFT_S), before) == after
    assert seen > 2 * len(some_records(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_moving_back_gives_the_same_bytes(path: Path) -> None:
    shift = shift_for(path)
    back = Shift(-shift.seconds, shift.around_s + shift.seconds)
    for record in some_records(path):
        assert moved(moved(record, shift), back) == record


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_uuid_becomes_uuid5_of_seed_and_old_wherever_it_stands(path: Path) -> None:
    renamed, space = renamer(SEED), UUID(SEED)
    for record in some_records(path):
        assert renamed(record).decode() == UUID_SHAPE.sub(lambda match: str(uuid5(space, match[0])), record.decode())


def vendor_of(path: Path) -> str:
    return "freeswitch-json-cdr" if ".cdr." in path.name else "freeswitch-esl"


def retold(event: LegEvent) -> LegEvent:
    """What the told-anew record must say, by the event's own fields instead of the record's bytes."""
    old = msgspec.to_builtins(event)
    for key in ("at_ms", "joined_ms"):
        if key in old:
            old[key] += SHIFT_S * 1000
    text = UUID_SHAPE.sub(lambda match: str(uuid5(UUID(SEED), match[0])), json.dumps(old))
    return msgspec.json.decode(text, type=LegEvent)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_vendors_read_the_same_story(path: Path) -> None:
    parse, renamed, shift, read = VENDORS[vendor_of(path)].parse, renamer(SEED), shift_for(path), 0
    for record in some_records(path):
        events = parse(renamed(moved(record, shift)))
        assert events == tuple(map(retold, parse(record)))
        read += len(events)
    assert read > 0


SHIFT = Shift(3_600, 1_795_449_900)

BYTES = [
    ("text of microseconds", b'{"Event-Date-Timestamp":"1795449900968893"}', b'{"Event-Date-Timestamp":"1795453500968893"}'),
    ("a number of milliseconds", b'{"at_ms": 1795449900968}', b'{"at_ms": 1795453500968}'),
    ("a repeated key", b'{"a_epoch":"1795449900","a_epoch":"1795449901"}', b'{"a_epoch":"1795453500","a_epoch":"1795453501"}'),
    ("never", b'{"Caller-Channel-Answered-Time":"0"}', b'{"Caller-Channel-Answered-Time":"0"}'),
    ("a phone number", b'{"Caller-Caller-ID-Number":"1795449900"}', b'{"Caller-Caller-ID-Number":"1795449900"}'),
    ("a phone number under a word of time", b'{"last_update":"4930123456"}', b'{"last_update":"4930123456"}'),
    ("a fraction", b'{"start_time":1795449900.5}', b'{"start_time":1795449900.5}'),
    ("a stamp", b'{"end_stamp":"2026-11-23 23:59:59"}', b'{"end_stamp":"2026-11-24 00:59:59"}'),
    ("a percent-encoded stamp", b'{"end_stamp":"2026-11-23%2016%3A05%3A02"}', b'{"end_stamp":"2026-11-23%2017%3A05%3A02"}'),
    ("an ISO time with zone", b'{"time":"2026-11-23T16:05:02.5+01:00"}', b'{"time":"2026-11-23T17:05:02.5+01:00"}'),
    ("no such day", b'{"end_stamp":"2026-13-23 16:05:02"}', b'{"end_stamp":"2026-13-23 16:05:02"}'),
    ("GMT", b'{"x":"Mon, 23 Nov 2026 23:05:00 GMT"}', b'{"x":"Tue, 24 Nov 2026 00:05:00 GMT"}'),
    ("GMT encoded", b'{"x":"Mon,%2030%20Nov%202026%2023%3A05%3A00%20GMT"}', b'{"x":"Tue,%2001%20Dec%202026%2000%3A05%3A00%20GMT"}'),
    ("a transfer", b'["1795449906:f9199443-d1c2-4b1c-a8b9-a9118b0ae660:bl"]', b'["1795453506:f9199443-d1c2-4b1c-a8b9-a9118b0ae660:bl"]'),
    ("an SDP session", b'{"variable_sdp":"o=- 1795449900 1795449900 IN"}', b'{"variable_sdp":"o=- 1795449900 1795449900 IN"}'),
    ("JSON as text", b'{"body":"{\\"at_ms\\":1795449900968}"}', b'{"body":"{\\"at_ms\\":1795449900968}"}'),
    ("no JSON at all", b"\xff\x00 garbage 1795449900", b"\xff\x00 garbage 1795449900"),
]


@pytest.mark.parametrize(("old", "new"), [row[1:] for row in BYTES], ids=[row[0] for row in BYTES])
def test_what_moves_by_an_hour_and_what_stays(old: bytes, new: bytes) -> None:
    assert moved(old, SHIFT) == new


def test_a_uuid_in_capitals_and_behind_a_percent_sign_is_the_same_uuid() -> None:
    renamed = renamer("any word")
    plain = renamed(b"f9199443-d1c2-4b1c-a8b9-a9118b0ae660")
    assert renamed(b"x%3Af9199443-d1c2-4b1c-a8b9-a9118b0ae660%3A") == b"x%3A" + plain + b"%3A"
    assert renamed(b"F9199443-D1C2-4B1C-A8B9-A9118B0AE660") == plain.upper()
    assert renamer("another word")(b"f9199443-d1c2-4b1c-a8b9-a9118b0ae660") != plain


OWN = [
    (b'{"Event-Name":"X","Unique-ID":"leg","Event-Date-Timestamp":"1795449900968893"}', b"leg", 1_795_449_900_968_893),
    (b'{"core-uuid":"c","variables":{"uuid":"leg","end_uepoch":"1795449900968893"}}', b"leg", 1_795_449_900_968_893),
    (b'{"leg_id": "leg", "kind": "offered", "at_ms": 1795449900968}', b"leg", 1_795_449_900_968_000),
    (b'{"Event-Name":"HEARTBEAT","Event-Date-Timestamp":"1795449900968893"}', None, 1_795_449_900_968_893),
    (b'{"body":"{\\"Unique-ID\\":\\"no\\"}"}', None, None),
    (b"garbage", None, None),
]


@pytest.mark.parametrize(("record", "leg", "at_us"), OWN)
def test_a_record_names_its_leg_and_its_time(record: bytes, leg: bytes | None, at_us: int | None) -> None:
    assert (own_id(record), own_time_us(record)) == (leg, at_us)
