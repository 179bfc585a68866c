"""What comes out of a real FreeSWITCH's recordings: the facts that verdicts need, the same from its events and from its CDRs."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from functools import cache
from typing import Any

import msgspec
import pytest

from pipeline.core.leg import Leg, fold
from pipeline.vendors import VENDORS
from pipeline.vendors.freeswitch import esl, openings
from tests.vendors.fixtures import RECORDINGS
from tests.vendors.test_conformance import lines

SCENARIOS = tuple(sorted(path.name.removesuffix(".truth.json.gz") for path in RECORDINGS.glob("*.truth.json.gz")))
ENDINGS = {
    "freeswitch-esl": "events.lite.jsonl.gz",
    "freeswitch-json-cdr": "cdr.jsonl.gz",
}
WITHOUT_LINK = frozenset({  # variants of which the switch records no link at all: numbers dialed through the API, and mod_fifo's
    "originate_agents_first", "originate_agents_uuid_kill_while_ringing", "two_originates_then_uuid_bridge",
    "fifo_ringall_one_answers", "fifo_ringall_abandon",
})  # fmt: skip
NEVER_CONNECTED = frozenset({"cc_loopback_agents_ringall", "originate_loopback_ringall"})
"""Variants of which the phones sent 200 OK, but without a common codec: torn down at once, so the switch saw no answer."""
SAME_FACTS = (
    "parent",
    "rank",
    "group_id",
    "direction",
    "role",
    "offered_ms",
    "rang_ms",
    "answered_ms",
    "end",
    "is_real",
    "dialed",
    "agent",
)
EACH_SCENARIO = pytest.mark.parametrize("scenario", SCENARIOS)
EACH_SOURCE = pytest.mark.parametrize("vendor", ENDINGS)


@cache
def legs(scenario: str, vendor: str) -> dict[str, Leg]:
    """Return every leg's facts as one source alone tells them."""
    found: dict[str, Leg] = {}
    for value in lines(RECORDINGS / f"{scenario}.{ENDINGS[vendor]}"):
        for event in VENDORS[vendor].parse(value):
            fold(found.setdefault(event.leg_id, Leg(event.leg_id)), event)
    return found


@cache
def truth(scenario: str) -> list[dict[str, Any]]:
    """Return the calls as the phones saw them."""
    text = gzip.decompress((RECORDINGS / f"{scenario}.truth.json.gz").read_bytes())
    calls: list[dict[str, Any]] = msgspec.json.decode(text)["calls"]
    return calls


def true_legs(scenario: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(call, leg) for call in truth(scenario) for leg in call["legs"] if leg["uuid"]]


@EACH_SCENARIO
def test_events_and_cdrs_tell_the_same_facts(scenario: str) -> None:
    by_events, by_cdrs = legs(scenario, "freeswitch-esl"), legs(scenario, "freeswitch-json-cdr")
    assert by_events.keys() == by_cdrs.keys()
    for leg_id, leg in by_events.items():
        assert {name: getattr(leg, name) for name in SAME_FACTS} == {name: getattr(by_cdrs[leg_id], name) for name in SAME_FACTS}
        assert by_cdrs[leg_id].bridges.keys() == leg.bridges.keys()


@EACH_SOURCE
@EACH_SCENARIO
def test_every_agent_has_a_link_where_the_switch_records_one(scenario: str, vendor: str) -> None:
    found = legs(scenario, vendor)
    offered = [(call["variant"], found[leg["uuid"]]) for call, leg in true_legs(scenario) if leg["party"] == "agent"]
    assert {variant for variant, leg in offered if leg.parent is None} <= WITHOUT_LINK
    assert all(leg.parent in found for _, leg in offered if leg.parent is not None)


@EACH_SOURCE
@EACH_SCENARIO
def test_every_winner_was_answered_and_bridged(scenario: str, vendor: str) -> None:
    found = legs(scenario, vendor)
    peers = {peer for leg in found.values() for peer in leg.bridges}
    for call, leg in true_legs(scenario):
        if leg["party"] == "agent" and leg["result"] == "Answered" and call["variant"] not in NEVER_CONNECTED:
            assert found[leg["uuid"]].answered_ms is not None
            assert found[leg["uuid"]].bridges or leg["uuid"] in peers


@EACH_SOURCE
@EACH_SCENARIO
def test_every_loser_was_ended_by_the_switch_unless_he_answered_too_late(scenario: str, vendor: str) -> None:
    found = legs(scenario, vendor)
    for _, leg in true_legs(scenario):
        end = found[leg["uuid"]].end
        assert end is not None
        if leg["result"] == "Lose-race" and leg["what"] != "answered_too_late_lost_race":
            assert end.ended_by == "platform"
            assert end.sip_status is None


@EACH_SOURCE
@EACH_SCENARIO
def test_a_refusal_carries_the_status_that_the_phone_sent(scenario: str, vendor: str) -> None:
    found = legs(scenario, vendor)
    for _, leg in true_legs(scenario):
        end = found[leg["uuid"]].end
        if re.match("refused_[4-6]", leg["what"]) and end is not None and end.ended_by == "far_refused":  # a 302 is followed
            assert end.sip_status == int(leg["what"].split("_")[1])


@EACH_SOURCE
def test_loopback_halves_are_pseudo_and_nobody_else_is(vendor: str) -> None:
    pseudo = Counter(scenario[:3] for scenario in SCENARIOS for leg in legs(scenario, vendor).values() if leg.role_hint() == "pseudo")
    assert pseudo == {"s06": 52, "s10": 18}
    real = {leg["uuid"] for scenario in SCENARIOS for _, leg in true_legs(scenario)}
    assert not [
        leg for scenario in SCENARIOS for leg in legs(scenario, vendor).values() if leg.role_hint() == "pseudo" and leg.leg_id in real
    ]


@EACH_SOURCE
def test_every_member_has_one_visit_and_every_way_out_is_seen(vendor: str) -> None:
    visits = [visit for leg in legs("s06_callcenter", vendor).values() for visit in leg.visits.values()]
    assert Counter(visit.exit for visit in visits) == {None: 47, "abandoned": 34, "queue_timeout": 7, "queue_no_agents": 4}
    assert all(visit.joined_ms is not None and visit.left_ms is not None and visit.joined_ms <= visit.left_ms for visit in visits)


def test_the_limit_and_the_losers_mark_are_in_the_cdrs_of_the_autodialer() -> None:
    found = legs("s08_autodialer", "freeswitch-json-cdr").values()
    assert Counter(leg.context_hint() for leg in found) == {"autodialer": 96, None: 55}
    assert {leg.ring_limit_ms for leg in found if leg.context_hint()} <= {value * 1000 for value in range(1, 61)}


@pytest.mark.parametrize("name", ["s01_ringall_one_answers.events.jsonl.gz", "s06_callcenter.events.jsonl.gz"])
def test_looking_at_an_event_by_its_name_never_loses_a_fact(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = lines(RECORDINGS / name)
    skipped = sum(openings.is_factless(openings.opening(value), value) for value in values)
    quick = list(map(esl.parse, values))
    monkeypatch.setattr(openings, "_NARROW", {})
    assert list(map(esl.parse, values)) == quick, "what is not decoded is not read"
    monkeypatch.setattr(esl, "opening", lambda _: None)
    assert list(map(esl.parse, values)) == quick
    assert skipped > len(values) / 2


def test_the_raw_events_tell_what_the_short_ones_tell() -> None:
    short = legs("s06_callcenter", "freeswitch-esl")
    raw: dict[str, Leg] = {}
    for value in lines(RECORDINGS / "s06_callcenter.events.jsonl.gz"):
        for event in esl.parse(value):
            fold(raw.setdefault(event.leg_id, Leg(event.leg_id)), event)
    assert raw.keys() == short.keys()
    names = (*SAME_FACTS, "bridges", "unbridges", "visits")
    assert all(getattr(raw[leg_id], name) == getattr(leg, name) for leg_id, leg in short.items() for name in names)
    assert Counter(leg.ring_limit_ms is not None for leg in raw.values()) == {True: 555, False: 144}
    assert sum("loser" in leg.flags for leg in raw.values()) == 90
