"""The input of a run: the same for the same seed, as rich as the harm list says, and judged alike by the core and the oracle in any disorder."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from random import Random

import pytest

from pipeline.core.model import LateRow, LegEvent, Result
from pipeline.errors import BadRecord
from pipeline.settings import load, policy
from pipeline.vendors import canonical
from pipeline.workbench.offline import Offline
from tests.chaos.arrivals import AHEAD, AHEAD_MS, MOST_LATE_MS, SILENT, Arrival, arrivals
from tests.chaos.contacts import Contact, contact_of, contacts, name_of
from tests.chaos.poison import KINDS
from tests.support.comparison import differences
from tests.support.oracle import judge

SEED = 11
EVENTS = 12_000
POLICY = policy(load(environ={"CALLVERDICT_WINDOW_SIZES_S": "60,900"}))
TEN_HOURS_MS = 36_000_000


@pytest.fixture(scope="module")
def sent() -> list[Arrival]:
    return list(arrivals(SEED, EVENTS, 3))


def test_the_same_seed_sends_the_same(sent: list[Arrival]) -> None:
    assert list(arrivals(SEED, EVENTS, 3)) == sent
    assert list(arrivals(SEED + 1, EVENTS, 3)) != sent


def test_every_event_is_sent_at_least_once_and_some_twice(sent: list[Arrival]) -> None:
    told = {(contact.tenant, event.leg_id, event.kind, event.at_ms) for contact in contacts(SEED, EVENTS) for event in contact.all_events}
    found: Counter[tuple[str, str, str, int]] = Counter()
    for one in sent:
        (event,) = canonical.parse(one.value)
        found["acme" if one.source == "north" else "", event.leg_id, event.kind, event.at_ms] += 1
    assert found.keys() == told
    assert 1.1 < len(sent) / EVENTS < 1.2
    assert max(found.values()) > 1


def test_one_partition_is_an_hour_ahead_and_others_are_minutes_late(sent: list[Arrival]) -> None:
    behind_ms = defaultdict(list)
    for one in sent:
        behind_ms[one.source, one.partition].append(one.at_ms - one.event_ms)
    assert set(behind_ms[AHEAD]) <= set(range(-AHEAD_MS, -AHEAD_MS + MOST_LATE_MS))
    assert max(map(max, behind_ms.values())) > 5 * 60_000


def test_one_partition_is_silent_for_a_third_of_the_time(sent: list[Arrival]) -> None:
    told = sorted({int((name_of(one.key.decode()) or "")[1:]) for one in sent if (one.source, one.partition) == SILENT})
    assert max(later - earlier for earlier, later in pairwise(told)) > told[-1] / 4


def test_every_result_every_link_and_every_kind_of_call_comes() -> None:
    found = list(contacts(SEED, EVENTS))
    assert {result for contact in found for result in contact.results.values()} >= set(Result) - {Result.FAILED}
    verdicts = {leg.result for contact in found for leg in judge(contact.all_events, POLICY, until_ms=None).legs.values()}
    assert verdicts >= set(Result)
    assert any(contact.links for contact in found)
    assert any(event.group_id for contact in found for event in contact.events)


def disordered(contact: Contact, dice: Random) -> list[LegEvent]:
    told = contact.all_events + dice.choices(contact.all_events, k=dice.randrange(5))
    return sorted(told, key=lambda event: event.at_ms + dice.choice((0, 0, dice.randrange(MOST_LATE_MS))))


@pytest.mark.parametrize("begin", range(0, 200, 50))
def test_the_core_says_of_each_contact_what_the_oracle_says(begin: int) -> None:
    """In any disorder, spread over partitions, with watermarks between; and of ring-alls both say what was planned."""
    for number in range(begin, begin + 50):
        contact = contact_of(SEED, number)
        answer = judge(contact.all_events, POLICY, until_ms=None)
        flow = played(contact, Random(number))
        assert differences(flow.rows, answer) == [], number
        assert not [row for row in flow.rows if isinstance(row, LateRow)], number
        assert {leg_id: leg.result for (_, _, leg_id), leg in answer.legs.items() if leg_id in contact.results} == contact.results


def played(contact: Contact, dice: Random) -> Offline:
    flow = Offline(POLICY, partitions=3)
    now_ms = 0
    for event in disordered(contact, dice):
        flow.send(event)
        now_ms = max(now_ms, event.at_ms)
        if dice.random() < 0.5:
            flow.send_watermark(now_ms)
        index = dice.randrange(3)
        flow.take(index, dice.randrange(4)) if flow.queues[index] else None
    flow.run()
    flow.send_watermark(now_ms + TEN_HOURS_MS)
    flow.run()
    return flow


@pytest.mark.parametrize("value", KINDS[:-1], ids=range(len(KINDS) - 1))
def test_poison_cannot_be_read(value: bytes | None) -> None:
    """The last kind can, and is too far in the future for the broker's clock."""
    if value is not None:
        with pytest.raises(BadRecord):
            canonical.parse(value)
    (event,) = canonical.parse(KINDS[-1] or b"")
    assert event.at_ms > 4_000_000_000_000
