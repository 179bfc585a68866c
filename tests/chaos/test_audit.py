"""The audit finds what it is there to find: each test spoils the topics of a clean run in one way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from random import Random

import pytest

from pipeline.app.topics import Names, names, topics
from pipeline.engine.step import Batch
from pipeline.settings import Settings, load, policy
from pipeline.workbench.topicreplay import LogReplay
from tests.chaos.arrivals import SOURCES, arrivals
from tests.chaos.audit import Audit
from tests.chaos.contacts import contacts
from tests.chaos.memory import digest_of
from tests.chaos.poison import burst
from tests.simulation.cluster import Cluster
from tests.simulation.log import Place, Rec

SEED, EVENTS, PARTITIONS = 3, 500, 3
NOW_MS = 1_800_000_000_000
SETTINGS: Settings = load(
    environ={
        "CALLVERDICT_PARTITIONS": str(PARTITIONS),
        "CALLVERDICT_WINDOW_SIZES_S": "60,900",
        "CALLVERDICT_SOURCES": json.dumps(SOURCES),
    }
)
NAMES: Names = names(SETTINGS)
RAW = [source.topic for source in SETTINGS.sources]
CONTROL = b'{"control"'
Logs = dict[Place, list[Rec]]


@dataclass
class Topics:
    """What a plain consumer would read."""

    logs: Logs

    async def records(self, topic: str) -> AsyncIterator[Rec]:
        for number in range(PARTITIONS):
            for record in self.logs.get((topic, number), []):
                yield record


class Headed(Cluster):
    """Keeps the headers of what is written, which tell where a dead letter stood."""

    def _commit(self, place: Place, batch: Batch, position: int | None) -> None:
        begins = {target: len(self.logs[target]) for target in batch.outputs}
        super()._commit(place, batch, position)
        for target, records in batch.outputs.items():
            for written, (_, _, headers) in zip(self.logs[target][begins[target] :], records, strict=False):
                written.headers = headers


@pytest.fixture(scope="module")
def clean() -> Cluster:
    cluster = Headed(SETTINGS, Random(SEED), now_ms=NOW_MS)
    topic_of = {source.name: source.topic for source in SETTINGS.sources}
    for one in arrivals(SEED, EVENTS, PARTITIONS):
        cluster.write((topic_of[one.source], one.partition), one.key, one.value)
    for key, value in burst(Random(SEED), 20):
        cluster.write((topic_of["east"], 1), key, value)
    cluster.drain(most=400, crash=0.02)
    cluster.tick_all(NOW_MS)
    cluster.drain(most=400)
    return cluster


async def counts(cluster: Cluster, spoil: Callable[[Logs], object]) -> dict[str, int]:
    """What the audit counts once the logs are spoiled."""
    logs = {place: list(log) for place, log in cluster.logs.items()}
    spoil(logs)
    audit = Audit(SETTINGS, policy(SETTINGS), NAMES, Topics(logs))
    replay = LogReplay(policy(SETTINGS), partitions=PARTITIONS)
    await audit.read(RAW)
    await audit.recount(replay)
    live = {f"{NAMES.events}/{number}": digest_of(state) for number, state in enumerate(replay.flow.parts)}
    audit.compare_state(replay, live, live)
    audit.judge(contacts(SEED, EVENTS))
    return {kind: count for kind, count in audit.findings.counts.items() if count}


def place_of(logs: Logs, topic: str) -> Place:
    return next(place for place in sorted(logs) if place[0] == topic and logs[place])


def last_fact(log: list[Rec]) -> Rec:
    """The last record that says something of a call, or what a bad record said."""
    return next(record for record in reversed(log) if record.headers or not (record.value or CONTROL).startswith(CONTROL))


async def test_a_clean_run_has_no_findings(clean: Cluster) -> None:
    assert {topic.name for topic in topics(SETTINGS)} >= {topic for topic, _ in clean.logs}
    assert await counts(clean, lambda _: None) == {}


@pytest.mark.parametrize("topic", [NAMES.events, NAMES.legs, NAMES.results, NAMES.tallies, NAMES.dead_letters])
async def test_a_record_that_is_missing_is_found(clean: Cluster, topic: str) -> None:
    def less(logs: Logs) -> None:
        log = logs[place_of(logs, topic)]
        log.remove(last_fact(log))

    found = await counts(clean, less)
    assert found, "nothing was noticed"
    if topic in (NAMES.dead_letters, NAMES.events):
        assert found["lost"] >= 1


@pytest.mark.parametrize("topic", [NAMES.events, NAMES.legs, NAMES.results, NAMES.tallies, NAMES.dead_letters])
async def test_a_record_that_is_there_twice_is_found(clean: Cluster, topic: str) -> None:
    def twice(logs: Logs) -> None:
        log = logs[place_of(logs, topic)]
        log.append(last_fact(log))

    assert (await counts(clean, twice))["double"] >= 1


async def test_a_revision_that_goes_back_is_wrong(clean: Cluster) -> None:
    def reverse(logs: Logs) -> None:
        for place in [place for place in logs if place[0] == NAMES.legs]:
            logs[place] = list(reversed(logs[place]))

    assert (await counts(clean, reverse))["wrong"] >= 1


async def test_a_verdict_that_is_another_is_wrong(clean: Cluster) -> None:
    def change(logs: Logs) -> None:
        log = logs[place_of(logs, NAMES.legs)]
        number = next(number for number, record in enumerate(log) if b'"result":"Lose-race"' in (record.value or b""))
        last = max(index for index, record in enumerate(log) if record.key == log[number].key)
        log[last] = replace(log[last], value=(log[last].value or b"").replace(b'"result":"Lose-race"', b'"result":"Busy"'))

    assert (await counts(clean, change))["wrong"] >= 1


async def test_a_tally_that_does_not_balance_is_wrong(clean: Cluster) -> None:
    def change(logs: Logs) -> None:
        log = logs[place_of(logs, NAMES.tallies)]
        row = json.loads(log[0].value or b"")
        log[0] = replace(log[0], value=json.dumps({**row, "legs_offered": row["legs_offered"] + 1}).encode())

    assert (await counts(clean, change))["wrong"] >= 1


async def test_a_state_that_differs_is_wrong() -> None:
    audit = Audit(SETTINGS, policy(SETTINGS), NAMES, Topics({}))
    replay = LogReplay(policy(SETTINGS), partitions=PARTITIONS)
    live = {f"{NAMES.events}/{number}": digest_of(state) for number, state in enumerate(replay.flow.parts)}
    other = {**live, f"{NAMES.events}/0": "another"}
    audit.compare_state(replay, live, other)
    assert audit.findings.counts == {"wrong": 1}
    audit.compare_state(replay, other, other)
    assert audit.findings.counts == {"wrong": 2}
