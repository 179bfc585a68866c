"""What every vendor must hold: its fixtures, and that any bytes at all give events or BadRecord, the same ones each time."""

from __future__ import annotations

import copy
import gzip
import re
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline.vendors
from pipeline.core.model import LegEvent
from pipeline.errors import BadRecord
from pipeline.vendors import REASONS, VENDORS
from tests.vendors.fixtures import HERE, RECORDINGS, Fixture, fixtures

EACH_VENDOR = pytest.mark.parametrize("vendor", VENDORS)
RECORDED = {
    "freeswitch-esl": ("s06_callcenter.events.jsonl.gz", "s10_pickup_fifo_loopback_misc.events.lite.jsonl.gz"),
    "freeswitch-json-cdr": ("s06_callcenter.cdr.jsonl.gz", "s10_pickup_fifo_loopback_misc.cdr.jsonl.gz"),
}
HOSTILE = (
    b"", b" ", b"\x00", b"null", b"true", b"0", b"[]", b"{}", b"[[]]", b'"x"', b"{", b"}", b"nan", b"\xef\xbb\xbf{}", b"\xff\xfe{}",
    b'{"a":' + b"9" * 5_000 + b"}", b'{"a":1e999}', b'{"a":"' + b"x" * 100_000 + b'"}', b"[" * 100_000, b'{"a":' * 100_000,
    b'{"Event-Name":' + b"[" * 50_000 + b"]" * 50_000 + b"}", b'{"callflow":' + b"[" * 50_000, b'{"leg_id":' + b"[" * 50_000,
    b'{"Event-Name":"\\ud800"}', b'{"Event-Name":"CHANNEL_ANSWER","Unique-ID":"\xff\xfe","Event-Date-Timestamp":"1"}',
    b'{"Event-Name":"CHANNEL_STATE","Unique-ID":"ann"} {}', b'{"Event-Name":"CHANNEL_STATE"',
    b'{"variables":{"uuid":"\\u0000","end_uepoch":"%ZZ"}}', b'{"variables":{"uuid":"%00%ff","end_uepoch":"9"}}',
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**63, 1.5, 1e308, "", "0", "-1", "9" * 400, "9" * 18, "٣", "1e3", "x" * 300, "\x00", "%", "%zz%ff",
    "ARRAY::", "ARRAY::a|:b", [], [[]], ["", None, 7], {}, {"a": {"b": []}}, [{"times": None}], "loopback/x", "inbound", "NaN",
)  # fmt: skip


def outcome(vendor: str, value: bytes) -> tuple[LegEvent, ...] | str:
    """Return the events, checked against their schema, or the reason for none. Anything else that is raised fails the test."""
    events = _read(vendor, value)
    if isinstance(events, BadRecord):
        assert events.reason in REASONS
        assert 20 < len(events.message) < 700, events.message
        assert ": " in events.message, "say what to do"
        return events.reason
    assert isinstance(events, tuple)
    for event in events:
        assert msgspec.json.decode(msgspec.json.encode(event), type=LegEvent) == event
        assert event.parent_leg_id != event.leg_id
        assert event.peer_leg_id != event.leg_id
        assert (event.kind in ("bridged", "unbridged")) <= (event.peer_leg_id is not None)
        assert (event.kind == "ended") <= (event.cause is not None)
    return events


def _read(vendor: str, value: bytes) -> tuple[LegEvent, ...] | BadRecord:
    try:
        return VENDORS[vendor].parse(value)
    except BadRecord as error:
        return error


def samples(vendor: str) -> list[bytes]:
    """Return records to spoil: those of the fixtures, and some that a switch wrote."""
    written = [value for (owner, _), fixture in fixtures().items() if owner == vendor for value in fixture.inputs()]
    recorded = [line for name in RECORDED.get(vendor, ()) for line in lines(RECORDINGS / name, every=40)]
    return written + recorded


def lines(path: Path, *, every: int = 1) -> list[bytes]:
    with gzip.open(path) as file:
        return [line.rstrip(b"\n") for line in islice(file, 0, None, every)]


SAMPLES = {vendor: samples(vendor) for vendor in VENDORS}


@pytest.mark.parametrize(("vendor", "name"), fixtures())
def test_a_fixture_gives_what_it_says(vendor: str, name: str) -> None:
    fixture: Fixture = fixtures()[vendor, name]
    outcomes = [outcome(vendor, value) for value in fixture.inputs()]
    if fixture.refused is not None:
        assert outcomes == [fixture.refused] * len(outcomes)
    else:
        assert [event for events in outcomes for event in (events if isinstance(events, tuple) else [events])] == fixture.expected


@EACH_VENDOR
def test_every_vendor_has_fixtures_for_what_it_takes_and_for_what_it_refuses(vendor: str) -> None:
    own = [fixture for (owner, _), fixture in fixtures().items() if owner == vendor]
    assert any(fixture.expected for fixture in own)
    assert any(fixture.refused for fixture in own)


def test_sources_are_named_as_the_settings_name_them() -> None:
    assert set(VENDORS) == {"freeswitch-esl", "freeswitch-json-cdr", "canonical"}


def test_no_fixture_folder_is_left_over() -> None:
    assert {path.name for path in HERE.iterdir() if path.is_dir() and any(path.glob("*.json"))} == set(VENDORS)


@EACH_VENDOR
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value[:24]))
def test_hostile_bytes_give_events_or_a_bad_record(vendor: str, value: bytes) -> None:
    outcome(vendor, value)


@EACH_VENDOR
@settings(deadline=None)
@given(value=st.binary(max_size=200))
def test_any_bytes_give_events_or_a_bad_record(vendor: str, value: bytes) -> None:
    assert outcome(vendor, value) == outcome(vendor, value)


@EACH_VENDOR
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_record_with_spoilt_bytes_gives_events_or_a_bad_record(vendor: str, data: st.DataObject) -> None:
    value = bytearray(data.draw(st.sampled_from(SAMPLES[vendor])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(value) - 1, 0)))
        spoil = data.draw(st.sampled_from(("cut", "flip", "drop", "double", "insert")))
        if spoil == "cut":
            del value[at:]
        elif spoil == "flip" and value:
            value[at] ^= 1 << data.draw(st.integers(0, 7))
        elif spoil == "drop":
            del value[at : at + 8]
        elif spoil == "double":
            value[at:at] = value[at : at + 40]
        else:
            value[at:at] = data.draw(st.sampled_from((b"\x00", b"\xff", b'"', b"\\", b"{", b"[", b"9" * 30, b"\\ud800", b"-", b"1e9")))
    assert outcome(vendor, bytes(value)) == outcome(vendor, bytes(value))


@EACH_VENDOR
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_record_with_swapped_types_gives_events_or_a_bad_record(vendor: str, data: st.DataObject) -> None:
    record = msgspec.json.decode(data.draw(st.sampled_from(list(filter(_is_json, SAMPLES[vendor])))))
    for _ in range(data.draw(st.integers(1, 3))):
        _swap(record, data)
    value = msgspec.json.encode(record)
    assert outcome(vendor, value) == outcome(vendor, value)


def _is_json(value: bytes) -> bool:
    try:
        msgspec.json.decode(value)
    except msgspec.DecodeError:
        return False
    return True


def _swap(node: Any, data: st.DataObject) -> None:
    """Put a strange value somewhere in the document."""
    while True:
        if not isinstance(node, dict | list) or not node:
            return
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if isinstance(node[key], dict | list) and data.draw(st.booleans()):
            node = node[key]
            continue
        node[key] = copy.deepcopy(data.draw(st.sampled_from(VALUES)))
        return


@EACH_VENDOR
def test_what_was_read_before_changes_nothing(vendor: str) -> None:
    forth = [outcome(vendor, value) for value in SAMPLES[vendor]]
    back = [outcome(vendor, value) for value in reversed(SAMPLES[vendor])]
    assert forth == back[::-1]


@EACH_VENDOR
def test_tenant_and_origin_are_left_to_the_caller(vendor: str) -> None:
    read = [events for value in SAMPLES[vendor] if isinstance(events := outcome(vendor, value), tuple)]
    assert {(event.tenant, event.origin) for events in read for event in events} == {("", "")}


def test_every_reason_is_in_the_table_and_every_row_is_used() -> None:
    folder = Path(pipeline.vendors.__file__).parent
    sources = "".join(path.read_text() for path in sorted(folder.rglob("*.py")) if path != folder / "__init__.py")
    raised = set(re.findall(r'BadRecord\(\s*"(\w+)"', sources))
    chosen = set(re.findall(r'"(\w+)"', re.search(r"def _reason\(.*?\n\n\n", sources, re.DOTALL).group()))  # type: ignore[union-attr]
    assert raised | chosen == set(REASONS)
