"""Crashes, duplicates, disorder and odd chunks: the topics' last records are the oracle's answer, and no revision comes twice."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from pipeline.core.model import CallRow, LateRow, LegEvent, LegRow, TallyRow
from pipeline.errors import BadRecord
from pipeline.settings import load, policy
from pipeline.vendors import canonical
from pipeline.workbench.offline import Row, key_of
from tests.core.test_laws import FAR_MS
from tests.simulation.cluster import Cluster
from tests.support.comparison import differences, is_in_order, unbalanced
from tests.support.oracle import judge
from tests.support.strategies import traffic

SETTINGS = load(environ={"CALLVERDICT_PARTITIONS": "3", "CALLVERDICT_WINDOW_SIZES_S": "60,900"})
POLICY = policy(SETTINGS)

simulated = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=False)
given_all = given(events=traffic(max_calls=3), seed=st.integers(0, 2**32), most=st.integers(1, 12), crash=st.sampled_from((0.0, 0.05, 0.3)))


@settings(simulated, max_examples=100)
@given_all
def test_crashes_duplicates_and_disorder_change_nothing(events: list[LegEvent], seed: int, most: int, crash: float) -> None:
    run(events, seed, most, crash)


@pytest.mark.slow
@settings(simulated, max_examples=1_000, phases=[Phase.generate])
@given_all
def test_a_thousand_of_them(events: list[LegEvent], seed: int, most: int, crash: float) -> None:
    run(events, seed, most, crash)


def run(events: list[LegEvent], seed: int, most: int, crash: float) -> None:
    chance = Random(seed)
    last_ms = max(event.at_ms for event in events)
    events = [event for event in (msgspec.structs.replace(event, tenant="") for event in events) if is_readable(event)]
    assume(events)
    told = events + chance.choices(events, k=chance.randint(0, len(events)))
    chance.shuffle(told)
    cluster = Cluster(SETTINGS, chance, now_ms=last_ms)
    for event in told:
        cluster.send(event)
        if chance.random() < 0.2 and cluster.behind():
            cluster.turn(most=most, crash=crash)
    cluster.drain(most=most, crash=crash)
    cluster.tick_all(last_ms + FAR_MS)
    cluster.drain(most=most, crash=crash)
    rows = rows_of(cluster)
    assert differences(rows, judge(events, POLICY, until_ms=last_ms + FAR_MS)) == []
    assert unbalanced(rows) == []
    assert is_in_order((key_of(row), row.revision) for row in rows if not isinstance(row, LateRow))
    assert not any(cluster.logs[cluster.names.dead_letters, partition] for partition in range(3))


def rows_of(cluster: Cluster) -> list[Row]:
    """Every row ever published, in the order of each partition."""
    return [
        *_rows(cluster, cluster.names.legs, LegRow),
        *_rows(cluster, cluster.names.results, CallRow),
        *_rows(cluster, cluster.names.tallies, TallyRow),
    ]


def _rows(cluster: Cluster, topic: str, kind: type[Row]) -> list[Row]:
    logs = (cluster.logs[topic, partition] for partition in range(cluster.counts[topic]))
    return [msgspec.json.decode(rec.value, type=kind) for log in logs for rec in log if rec.value is not None]


def is_readable(event: LegEvent) -> bool:
    """A canonical producer is held to more than the core: a leg must not name itself, a bridge names a peer."""
    try:
        canonical.parse(msgspec.json.encode(event))
    except BadRecord:
        return False
    return True
