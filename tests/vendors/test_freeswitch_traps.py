"""The fifteen traps of FreeSWITCH's records, each with fixtures whose name begins with its number; here is what fixtures cannot say."""

from __future__ import annotations

import msgspec
import pytest

from pipeline.core.model import LATEST_MS
from pipeline.errors import BadRecord
from pipeline.vendors.freeswitch import esl, json_cdr, openings
from tests.vendors.fixtures import fixtures

AT_US = 1_795_449_937_308_855


def event(name: str = "CHANNEL_ANSWER", **headers: object) -> bytes:
    defaults = {"Event-Name": name, "Unique-ID": "ann", "Event-Date-Timestamp": str(AT_US)}
    return msgspec.json.encode(defaults | headers)


@pytest.mark.parametrize("number", range(1, 16))
def test_every_trap_has_a_fixture(number: int) -> None:
    assert [name for _, name in fixtures() if name.startswith(f"trap_{number:02}_")]


@pytest.mark.parametrize(
    "record",
    [
        b'{"Event-Name":"CHANNEL_STATE","Unique-ID":"ann"}',
        b'{"Event-Name":"CHANNEL_STATE","Unique-ID":"ann"}\r\n',
        b'{"Event-Subclass":"sofia::register","Event-Name":"CUSTOM","x":"\xff"}',
    ],
)
def test_a_factless_event_is_skipped_unread(record: bytes) -> None:
    assert openings.is_factless(openings.opening(record), record)
    assert esl.parse(record) == ()


@pytest.mark.parametrize(
    "record",
    [
        event("CHANNEL_ANSWER"),
        b'{"x":{"Event-Name":"CHANNEL_STATE"},"Event-Name":"CHANNEL_ANSWER","Unique-ID":"ann","Event-Date-Timestamp":"9"}',
        b'{"Event-Name":"CHANNEL_\\u0041NSWER"}',
        b'{"Event-Name":"CHANNEL_STATE\\"","Unique-ID":"ann"}',
        b'{"Event-Name":["CHANNEL_STATE","CHANNEL_ANSWER"]}',
        b'["Event-Name","CHANNEL_STATE"]}',
        b'{"Event-Name":"CUSTOM","Event-Subclass":"callcenter::info"}',
        b'{"Event-Subclass":"callcenter::info","Event-Name":"CUSTOM"}',
        b'{"Event-Subclass":"callcenter::info\\u0000","Event-Name":"CUSTOM"}',
    ],
)
def test_what_may_tell_something_is_read(record: bytes) -> None:
    assert not openings.is_factless(openings.opening(record), record)


@pytest.mark.parametrize(
    ("shown", "real"), [("CHANNEL_CREATE", "CHANNEL_ANSWER"), ("CUSTOM", "CHANNEL_ANSWER"), ("CHANNEL_HOLD", "CHANNEL_HANGUP_COMPLETE")]
)
def test_of_a_name_that_is_repeated_the_last_one_counts(shown: str, real: str) -> None:
    """An event is decoded by the name that it shows first."""
    alone = event(real, **{"Caller-Channel-Answered-Time": "7000", "variable_hangup_cause": "USER_BUSY"})
    assert alone.startswith(b'{"Event-Name":')
    assert esl.parse(b'{"Event-Name":"' + shown.encode() + b'",' + alone[1:]) == esl.parse(alone) != ()


def test_every_event_that_is_read_says_what_for() -> None:
    assert openings.READ_FOR.keys() == esl.READERS.keys()


@pytest.mark.parametrize("action", ["member-queue-start", "bridge-agent-start", "agent-offering", None, ["x", "member-queue-end"]])
def test_an_event_of_the_callcenter_is_read_whole_if_it_tells_a_fact(action: object, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "CC-Member-Session-UUID": "ann",
        "CC-Agent-UUID": "bob",
        "CC-Member-UUID": "v1",
        "CC-Queue": "sales",
        "variable_cc_side": "member",
    }
    record = event("CUSTOM", **{"Event-Subclass": "callcenter::info", "CC-Action": action, **told})
    quick = esl.parse(record)
    monkeypatch.setattr(openings, "_NARROW", {})
    assert esl.parse(record) == quick
    assert bool(quick) == (action in ("member-queue-start", "bridge-agent-start"))


def test_a_name_that_a_caller_chose_cannot_cost_the_record() -> None:
    record = event("CHANNEL_CREATE", **{"Call-Direction": "inbound", "Caller-Destination-Number": "caf\xe9"})
    (offered,) = esl.parse(record.decode().encode("latin-1"))
    assert offered.dialed == "caf\ufffd"


def test_an_id_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(BadRecord, match=r"^bad_id: Unique-ID .*: send the channel's own UUID$"):
        esl.parse(b'{"Event-Name":"CHANNEL_ANSWER","Unique-ID":"\xff","Event-Date-Timestamp":"9"}')


def test_the_latest_time_is_read_and_one_millisecond_more_is_refused() -> None:
    (answered,) = esl.parse(event(**{"Event-Date-Timestamp": f"{LATEST_MS}999"}))
    assert answered.at_ms == LATEST_MS
    with pytest.raises(BadRecord, match=rf"^bad_time: Event-Date-Timestamp='{LATEST_MS + 1}000': send microseconds"):
        esl.parse(event(**{"Event-Date-Timestamp": f"{LATEST_MS + 1}000"}))


@pytest.mark.parametrize("never", ["0", "00", 0, 0.0, "", None, "999"])
def test_never_is_no_time(never: object) -> None:
    (ended,) = esl.parse(event("CHANNEL_HANGUP_COMPLETE", **{"Hangup-Cause": "X", "Caller-Channel-Answered-Time": never}))
    assert ended.kind == "ended"


def test_times_are_rounded_down_alike_in_events_and_cdrs() -> None:
    (answered,) = esl.parse(event(**{"Event-Date-Timestamp": "1795449937308999"}))
    (ended,) = json_cdr.parse(msgspec.json.encode({"variables": {"uuid": "ann", "end_uepoch": "1795449937308999", "answer_uepoch": "0"}}))
    assert answered.at_ms == ended.at_ms == 1_795_449_937_308


@pytest.mark.parametrize(
    ("disposition", "ended_by", "status"),
    [
        ("recv_refuse", "far_refused", 486),
        ("recv_bye", "far_hung_up", None),
        ("recv_cancel", "far_hung_up", None),
        ("send_bye", "platform", None),
        ("send_cancel", "platform", None),
        ("send_refuse", "platform", None),
        (None, None, None),
    ],
)
def test_who_ended_the_leg(disposition: str | None, ended_by: str | None, status: int | None) -> None:
    record = event(
        "CHANNEL_HANGUP", **{"Hangup-Cause": "USER_BUSY", "variable_sip_hangup_disposition": disposition, "variable_sip_term_status": "486"}
    )
    (ended,) = esl.parse(record)
    assert (ended.ended_by, ended.sip_status) == (ended_by, status)


@pytest.mark.parametrize("status", ["", "0", "99", "700", "904", "abc", "48\u0666", "1e2"])
def test_what_is_no_sip_status_is_not_taken_for_one(status: str) -> None:
    record = event(
        "CHANNEL_HANGUP", **{"Hangup-Cause": "X", "variable_sip_hangup_disposition": "recv_refuse", "variable_sip_term_status": status}
    )
    (ended,) = esl.parse(record)
    assert ended.sip_status is None


@pytest.mark.parametrize(
    ("limits", "ring_limit_ms"),
    [
        ({"x_ring_limit_s": "20", "leg_timeout": "9"}, 20_000),
        ({"leg_timeout": "9", "originate_timeout": "60"}, 9_000),
        ({"leg_timeout": "0", "originate_timeout": "60"}, 60_000),
        ({"call_timeout": 30}, 30_000),
        ({"call_timeout": "9" * 500}, None),
        ({"x_ring_limit_s": "-1"}, None),
        ({}, None),
    ],
)
def test_the_ring_limit_is_the_closest_that_was_set(limits: dict[str, object], ring_limit_ms: int | None) -> None:
    headers = {f"variable_{name}": value for name, value in limits.items()}
    (answered,) = esl.parse(event("CHANNEL_ANSWER", **{"Call-Direction": "outbound"}, **headers))
    assert answered.ring_limit_ms == ring_limit_ms
