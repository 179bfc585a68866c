"""The tallies of small calls, column by column, by hand: the pipeline's last rows and the oracle's recount must both say so.

A case is a scenario (tests/support/scenario.py), and for each queue or agent what it counts, without what is 0 and without the bands.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence

import pytest
from msgspec.structs import replace

from pipeline.core.model import BANDS_S, AgentTallyRow, LegEvent, Policy, TallyRow
from pipeline.workbench.offline import Offline, last_rows
from tests.support.oracle import TallyKey, judge
from tests.support.scenario import at_ms, parse

MINUTE_MS, DAY_MS = 60_000, 86_400_000
FAR_MS = DAY_MS // 2  # past every time to live
POLICY = Policy(window_sizes_ms=(MINUTE_MS, DAY_MS), queue_of_number={"20220": "sales"})
COUNTED = ("legs_", "calls_", "race", "answered_le_", "abandoned_le_")

Counted = Mapping[str, int]
Counting = Callable[[Sequence[LegEvent], Policy], Mapping[TallyKey, Counted]]


def published(events: Sequence[LegEvent], policy: Policy) -> dict[TallyKey, Counted]:
    """What the last row of every key says, but for what was counted there for a while only, before more was known."""
    flow = Offline(policy)
    for event in events:
        flow.send(event)
    flow.run()
    flow.send_watermark(max(event.at_ms for event in events) + FAR_MS)
    flow.run()
    rows = [row for row in last_rows(flow.rows).values() if isinstance(row, TallyRow | AgentTallyRow)]
    found = {_key(row): {**_columns(row), **row.leg_reasons, **_call_reasons(row)} for row in rows}
    return {key: counted for key, counted in found.items() if counted}


def _key(row: TallyRow | AgentTallyRow) -> TallyKey:
    size_ms, start_ms = row.window_size_s * 1000, row.window_start_ms
    if isinstance(row, TallyRow):
        return TallyKey(row.tenant, "queue", row.queue, row.attribution, size_ms, start_ms)
    return TallyKey(row.tenant, "agent", row.agent, row.attribution, size_ms, start_ms)


def _columns(row: TallyRow | AgentTallyRow) -> Counted:
    names = [name for name in row.__struct_fields__ if name.startswith(COUNTED) and name != "race_legs_max"]
    return {name: value for name in names if (value := getattr(row, name))}


def _call_reasons(row: TallyRow | AgentTallyRow) -> Counted:
    return row.call_reasons if isinstance(row, TallyRow) else {}


def recounted(events: Sequence[LegEvent], policy: Policy) -> dict[TallyKey, Counted]:
    """What the oracle says."""
    tallies = judge(events, policy, until_ms=max(event.at_ms for event in events) + FAR_MS).tallies
    return {key: {**tally.counts, **tally.leg_reasons, **tally.call_reasons} for key, tally in tallies.items()}


both = pytest.mark.parametrize("counting", [published, recounted])


def told(text: str) -> tuple[LegEvent, ...]:
    (scenario,) = parse(text.strip())
    return scenario.events


def of_day(found: Mapping[TallyKey, Counted], attribution: str = "cohort") -> dict[str, dict[str, int]]:
    """Without the bands; an agent's name is written @name."""
    return {
        f"@{key.name}" if key.kind == "agent" else key.name: {name: value for name, value in counted.items() if "_le_" not in name}
        for key, counted in found.items()
        if key.size_ms == DAY_MS and key.attribution == attribution
    }


def wanted(text: str) -> dict[str, dict[str, int]]:
    """`queue: column 1, column 2` a line; a line without a colon goes on with the one above."""
    found: dict[str, dict[str, int]] = {}
    for line in text.strip().splitlines():
        name, colon, rest = line.strip().rpartition(": ")
        counted = found.setdefault(name, {}) if colon else list(found.values())[-1]
        counted |= {column: int(value) for column, value in (pair.split() for pair in rest.split(", "))}
    return found


CASES = {
    "one of three wins: one lost while ringing, one before it rang": (
        """
S01 [Answered] t
ann caller | 0 offer, 0 answer, 1 join sales, 12 bridge bob, 60 end NORMAL_CLEARING far_hung_up => -
bob of ann agent=bob | 2 offer, 3 ring, 12 answer, 12 bridge ann, 60 end NORMAL_CLEARING platform => -
cat of ann agent=cat | 2 offer, 4 ring, 12.1 end LOSE_RACE platform => -
dan of ann | 2 offer, 12.04 end LOSE_RACE platform => -
""",
        """
sales: legs_offered 3, legs_answered 1, legs_lose_race 2, legs_rang_lost 1, legs_never_rang 1
    races 1, race_legs 3, race_margin_ms 140
    legs_ring_ms 27140, legs_ring_answered_ms 9000, legs_ring_lose_race_ms 18140, legs_talk_ms 48000
    Answered.answered 1, Lose-race.lost_race 2
    calls_offered 1, calls_answered 1, calls_wait_ms 11000, calls_answered_wait_ms 11000, answered.connected 1
@bob: legs_offered 1, legs_answered 1, races 1, race_legs 3, legs_ring_ms 9000, legs_ring_answered_ms 9000, legs_talk_ms 48000
    Answered.answered 1
@cat: legs_offered 1, legs_lose_race 1, legs_rang_lost 1, race_margin_ms 100, legs_ring_ms 8100, legs_ring_lose_race_ms 8100
    Lose-race.lost_race 1
""",
    ),
    "who had ended or answered before the win, or came after it, was not in the race": (
        """
S02 [Answered] t
ann caller queue=sales | 0 offer, 12 answer, 12 bridge bob, 60 end NORMAL_CLEARING far_hung_up => -
bob of ann | 2 offer, 3 ring, 12 answer, 12 bridge ann, 60 end NORMAL_CLEARING platform => -
cat of ann | 2 offer, 4 ring, 7 end USER_BUSY far_refused sip=486 => -
dan of ann | 20 offer, 22 ring, 25 end NO_ANSWER platform => -
""",
        """
sales: legs_offered 3, legs_answered 1, legs_busy 1, legs_timeout 1, races 1, race_legs 1
    legs_ring_ms 15000, legs_ring_answered_ms 9000, legs_ring_busy_ms 3000, legs_ring_timeout_ms 3000, legs_talk_ms 48000
    Answered.answered 1, Busy.busy 1, Timeout.ring_timeout 1
    calls_offered 1, calls_answered 1, calls_wait_ms 12000, calls_answered_wait_ms 12000, answered.connected 1
""",
    ),
    "overflow to a second queue, abandoned there": (
        """
S57 [Cancel] t
ann caller | 0 offer, 0 answer, 1 join east, 31 leave east queue_timeout, 32 join west, 50 leave west abandoned,\
 50 end NORMAL_CLEARING far_hung_up => -
bob of ann | 2 offer, 3 ring, 31 end ORIGINATOR_CANCEL platform => -
cat of ann agent=cat | 33 offer, 50 end ORIGINATOR_CANCEL platform => -
""",
        """
east: legs_offered 1, legs_cancel 1, legs_ring_ms 28000, legs_ring_cancel_ms 28000, Cancel.queue_timeout 1
    calls_offered 1, calls_flow_out 1, calls_wait_ms 30000, flow_out.queue_timeout 1
west: legs_offered 1, legs_cancel 1, legs_never_rang 1, legs_ring_ms 17000, legs_ring_cancel_ms 17000, Cancel.caller_cancelled 1
    calls_offered 1, calls_abandoned 1, calls_wait_ms 18000, calls_abandoned_wait_ms 18000, abandoned.abandoned 1
@cat: legs_offered 1, legs_cancel 1, legs_never_rang 1, legs_ring_ms 17000, legs_ring_cancel_ms 17000, Cancel.caller_cancelled 1
""",
    ),
    "left by a key, then answered outside of every queue visit: once more where it was answered, waiting since that offer": (
        """
S03 [Answered] t
ann caller | 0 offer, 0 answer, 1 join east, 31 leave east queue_exit_key, 45 bridge eve, 60 end NORMAL_CLEARING far_hung_up => -
eve of ann queue=desk | 40 offer, 41 ring, 45 answer, 45 bridge ann, 60 end NORMAL_CLEARING platform => -
""",
        """
east: calls_offered 1, calls_flow_out 1, calls_wait_ms 30000, flow_out.queue_exit_key 1
desk: legs_offered 1, legs_answered 1, races 1, race_legs 1, legs_ring_ms 4000, legs_ring_answered_ms 4000, legs_talk_ms 15000
    Answered.answered 1
    calls_offered 1, calls_answered 1, calls_wait_ms 5000, calls_answered_wait_ms 5000, answered.connected 1
""",
    ),
    "left without a word for a second queue, where somebody outside picked the caller up": (
        """
S04 [Answered] t
ann caller | 0 offer, 0 answer, 1 join east, 31 leave east, 32 join west, 40 bridge pia, 60 end NORMAL_CLEARING far_hung_up => -
""",
        """
east: calls_offered 1, calls_flow_out 1, calls_wait_ms 30000, flow_out.left 1
west: calls_offered 1, calls_answered 1, calls_wait_ms 8000, calls_answered_wait_ms 8000, answered.connected 1
""",
    ),
    "left by a key, then sent through a loopback pair, whose half waits in the second queue: no person's visit, but answered there": (
        """
S12 [Answered] t
ann caller | 0 offer, 0 answer, 1 join east, 31 leave east queue_exit_key, 45 bridge lop, 60 end NORMAL_CLEARING far_hung_up => -
lop of ann pseudo | 32 offer, 32 answer, 33 join west, 45 bridge eve, 45 leave west, 60 end NORMAL_CLEARING platform => -
eve of lop | 40 offer, 41 ring, 45 answer, 45 bridge lop, 60 end NORMAL_CLEARING platform => -
""",
        """
east: calls_offered 1, calls_flow_out 1, calls_wait_ms 30000, flow_out.queue_exit_key 1
west: legs_offered 1, legs_answered 1, races 1, race_legs 1, legs_ring_ms 4000, legs_ring_answered_ms 4000, legs_talk_ms 15000
    Answered.answered 1
    calls_offered 1, calls_answered 1, calls_wait_ms 5000, calls_answered_wait_ms 5000, answered.connected 1
""",
    ),
    "left by a key, then a second caller of the call is picked up: once more in that one's queue": (
        """
S13 [Answered] t
ann caller | 0 offer, 1 join east, 31 leave east queue_exit_key, 60 end NORMAL_CLEARING far_hung_up => -
abe of ann role=caller queue=desk | 40 offer, 45 answer, 45 bridge pia, 60 end NORMAL_CLEARING platform => -
""",
        """
east: calls_offered 1, calls_flow_out 1, calls_wait_ms 30000, flow_out.queue_exit_key 1
desk: calls_offered 1, calls_answered 1, answered.connected 1
""",
    ),
    "outside working hours": (
        """
S05 [Cancel] t
ann caller dialed=20220 +after_hours | 0 offer, 0 answer, 9 end NORMAL_CLEARING far_hung_up => -
""",
        "sales: calls_offered 1, calls_outside_working_hours 1, calls_wait_ms 9000, outside_working_hours.after_hours 1",
    ),
    "to voicemail": (
        """
S06 [Cancel] t
ann caller +voicemail | 0 offer, 0 answer, 1 join sales, 20 leave sales, 40 end NORMAL_CLEARING platform => -
""",
        "sales: calls_offered 1, calls_flow_out 1, calls_wait_ms 19000, flow_out.voicemail 1",
    ),
    "gone after four seconds: abandoned, and shortly": (
        """
S07 [Cancel] t
ann caller | 0 offer, 0 answer, 1 join sales, 5 end NORMAL_CLEARING far_hung_up => -
""",
        """
sales: calls_offered 1, calls_abandoned 1, calls_short_abandoned 1, calls_wait_ms 4000, calls_abandoned_wait_ms 4000
    abandoned.abandoned 1
""",
    ),
    "an agent dials and the line is busy: the call ends as the customer's leg does": (
        """
S08 [Busy] t
amy caller ctx=manual_outbound | 0 offer, 8 end ORIGINATOR_CANCEL far_hung_up => -
ron of amy | 0 offer, 1 ring, 3 end USER_BUSY far_refused sip=486 => -
""",
        """
(none): legs_offered 1, legs_busy 1, legs_ring_ms 2000, legs_ring_busy_ms 2000, Busy.busy 1
    calls_offered 1, calls_busy 1, calls_wait_ms 8000, busy.busy 1
""",
    ),
    "a dialer's call has no caller who waits": (
        """
S09 [Timeout] t
ron root ctx=autodialer queue=spring | 0 offer, 2 ring, 30 end NO_ANSWER platform => -
""",
        """
spring: legs_offered 1, legs_timeout 1, legs_ring_ms 28000, legs_ring_timeout_ms 28000, Timeout.dialer_ring_limit 1
    calls_offered 1, calls_timeout 1, timeout.dialer_ring_limit 1
""",
    ),
    "a source that cannot tell ringing: nobody never rang": (
        """
S10 [Cancel] t
ann caller queue=sales | 0 offer, 9 end ORIGINATOR_CANCEL far_hung_up => -
bob of ann cannot=ringing | 1 offer, 9 end ORIGINATOR_CANCEL platform => -
""",
        """
sales: legs_offered 1, legs_cancel 1, legs_ring_ms 8000, legs_ring_cancel_ms 8000, Cancel.caller_cancelled 1
    calls_offered 1, calls_abandoned 1, calls_wait_ms 9000, calls_abandoned_wait_ms 9000, abandoned.abandoned 1
""",
    ),
    "no end was ever told": (
        """
S11 [Answered] t
ann caller queue=sales | 0 offer, 6 answer, 6 bridge bob => -
bob of ann | 1 offer, 2 ring, 6 answer, 6 bridge ann => -
cat of ann | 1 offer, 2 ring => -
""",
        """
sales: legs_offered 2, legs_answered 1, legs_failed 1, races 1, race_legs 2, legs_ring_ms 4000, legs_ring_answered_ms 4000
    Answered.no_end_event 1, Failed.no_end_event 1
    calls_offered 1, calls_answered 1, calls_wait_ms 6000, calls_answered_wait_ms 6000, answered.no_end_event 1
""",
    ),
}


@both
@pytest.mark.parametrize("case", CASES)
def test_a_call_counts_so(counting: Counting, case: str) -> None:
    text, expected = CASES[case]
    assert of_day(counting(told(text), POLICY)) == wanted(expected)


@both
@pytest.mark.parametrize("case", CASES)
def test_over_a_whole_day_both_attributions_are_the_same(counting: Counting, case: str) -> None:
    found = counting(told(CASES[case][0]), POLICY)
    assert of_day(found, "activity") == of_day(found, "cohort")


ACROSS_MINUTES = """
S01 [Answered] t
ann caller | 0 offer, 0 answer, 1 join sales, 70 bridge bob, 200 end NORMAL_CLEARING far_hung_up => -
bob of ann | 2 offer, 3 ring, 70 answer, 70 bridge ann, 200 end NORMAL_CLEARING platform => -
cat of ann | 2 offer, 3 ring, 71 end LOSE_RACE platform => -
dan of ann | 2 offer, 20 end USER_BUSY far_refused sip=486 => -
"""
BY_MINUTE = """
22:13 activity: legs_offered 3, legs_pending 2, legs_busy 1, legs_never_rang 1, legs_ring_ms 18000, legs_ring_busy_ms 18000
    Busy.busy 1, calls_offered 1, calls_pending 1
22:14 activity: legs_answered 1, legs_lose_race 1, legs_pending -2, legs_rang_lost 1, races 1, race_legs 2, race_margin_ms 1000
    legs_ring_ms 135000, legs_ring_answered_ms 67000, legs_ring_lose_race_ms 68000, Answered.answered 1, Lose-race.lost_race 1
    calls_answered 1, calls_pending -1, calls_wait_ms 69000, calls_answered_wait_ms 69000, answered.connected 1
22:16 activity: legs_talk_ms 130000
22:13 cohort: legs_offered 3, legs_answered 1, legs_lose_race 1, legs_busy 1, legs_never_rang 1, legs_rang_lost 1
    races 1, race_legs 2, race_margin_ms 1000
    legs_ring_ms 153000, legs_ring_answered_ms 67000, legs_ring_lose_race_ms 68000, legs_ring_busy_ms 18000, legs_talk_ms 130000
    Answered.answered 1, Lose-race.lost_race 1, Busy.busy 1
    calls_offered 1, calls_answered 1, calls_wait_ms 69000, calls_answered_wait_ms 69000, answered.connected 1
"""


@both
def test_each_happening_counts_in_its_minute_and_in_the_cohorts(counting: Counting) -> None:
    found = {
        f"{dt.datetime.fromtimestamp(key.start_ms / 1000, tz=dt.UTC):%H:%M} {key.attribution}": {
            name: value for name, value in counted.items() if "_le_" not in name
        }
        for key, counted in counting(told(ACROSS_MINUTES), POLICY).items()
        if key.size_ms == MINUTE_MS
    }
    assert found == wanted(BY_MINUTE)


BANDS = ((0, BANDS_S), (5_000, BANDS_S), (5_001, BANDS_S[1:]), (120_000, BANDS_S[9:]), (600_000, BANDS_S[13:]), (600_001, ()))


@both
@pytest.mark.parametrize(("wait_ms", "bands"), BANDS)
def test_a_wait_of_exactly_a_band_is_within_it(counting: Counting, wait_ms: int, bands: tuple[int, ...]) -> None:
    over = 1 + wait_ms / 1000
    abandoned = f"S01 [Cancel] t\nann caller | 0 offer, 1 join sales, {over} end ORIGINATOR_CANCEL far_hung_up => -"
    answered = (
        f"S02 [Answered] t\nann caller | 0 offer, 1 join sales, {over} bridge pia, {over} answer, 900 end NORMAL_CLEARING far_hung_up => -"
    )
    for word, text in (("abandoned", abandoned), ("answered", answered)):
        found = next(counted for key, counted in counting(told(text), POLICY).items() if key.size_ms == DAY_MS)
        assert {name for name in found if "_le_" in name} == {f"{word}_le_{band_s}_s" for band_s in bands}
        assert found.get("calls_short_abandoned", 0) == (word == "abandoned" and wait_ms <= POLICY.short_abandoned_ms)


@both
def test_a_queue_counts_on_its_own_clock_and_an_agent_on_the_policys(counting: Counting) -> None:
    events = told("S01 [Busy] t\nbob root queue=sales agent=bob | 0 offer, 1 end USER_BUSY far_refused sip=486 => -")
    policy = replace(POLICY, zone="Asia/Kathmandu", zone_of={"sales": "Asia/Kolkata"})
    begins = {key.kind: key.start_ms for key in counting(events, policy) if key.size_ms == DAY_MS}
    day = dt.datetime.fromtimestamp(at_ms("0") / 1000, tz=dt.UTC).replace(hour=0, minute=0, second=0)  # 22:13, so there tomorrow already
    midnight_ms = round(day.timestamp() * 1000) + DAY_MS
    assert begins == {"queue": midnight_ms - 330 * MINUTE_MS, "agent": midnight_ms - 345 * MINUTE_MS}


@both
def test_agents_have_no_windows_under_a_quarter_of_an_hour(counting: Counting) -> None:
    events = told("S01 [Busy] t\nbob root queue=sales agent=bob | 0 offer, 1 end USER_BUSY far_refused sip=486 => -")
    policy = replace(POLICY, window_sizes_ms=(MINUTE_MS, 899_000, 900_000, DAY_MS))
    assert {key.size_ms for key in counting(events, policy) if key.kind == "agent"} == {900_000, DAY_MS}
