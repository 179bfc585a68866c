"""Real recordings through real workers: the topics hold what `callverdict replay` gives, even when workers are killed on the way."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.app.lag import inputs
from pipeline.settings import policy
from pipeline.workbench.kept import Kept
from pipeline.workbench.reading import Reader
from pipeline.workbench.replay import replay_files
from tests.integration import audit
from tests.integration.conftest import Install
from tests.integration.installation import ROOT, Installation, Worker, source

RECORDINGS = ROOT / "tests" / "recordings" / "freeswitch"
S06_RECORDS = 16_139
KILLED_CHUNK = 50
CLOSING_MS = 35_000  # settling and grace
METRIC = re.compile(r"^(callverdict_\S+) (\S+)$", re.MULTILINE)


class Told(NamedTuple):
    """What stands in the topics when everything is worked off, and what a replay of the same file keeps."""

    installation: Installation
    legs: list[Any]
    results: list[Any]
    tallies: list[Any]
    late: list[Any]
    dead_letters: list[Any]
    kept: Kept
    metrics: str


def kept_by_replay(installation: Installation, recording: Path) -> Kept:
    rules = policy(installation.settings)
    reader = Reader(installation.settings.sources[0], installation.settings, rules)
    return replay_files([recording], reader, rules, end="settle").kept


async def read_all(installation: Installation, kept: Kept, metrics: str) -> Told:
    topics = installation.topics
    names = (topics.legs, topics.results, topics.tallies, topics.late, topics.dead_letters)
    legs, results, tallies, late, letters = [await installation.read(name) for name in names]
    return Told(installation, legs, results, tallies, late, letters, kept, metrics)


async def reached(installation: Installation, records: int, worker: Worker) -> int:
    """Wait until the committed offsets of the raw topic come to so many records; how many it is then."""
    async with asyncio.timeout(60):
        while (done := sum(max(0, at) for at, _ in (await installation.offsets(installation.raw)).values())) < records:
            assert worker.process.poll() is None, worker.log
    return done


async def played(installation: Installation, recording: Path, *kill_at: int) -> Told:
    """Play into a running worker; kill it each time it has committed so many records."""
    await installation.create()
    worker = installation.worker()
    await worker.ready()
    playing = asyncio.create_task(installation.play(recording, installation.raw[0]))
    for records in kill_at:
        done = await reached(installation, records, worker)
        await worker.kill()
        assert done < S06_RECORDS, "the worker was killed after its work: nothing was interrupted"
    await playing
    await installation.settle()
    assert len(worker.pids) == 1 + len(kill_at), f"the worker died by itself too:\n{worker.log}"
    metrics = worker.page("/metrics") or ""
    assert await worker.stop() == 0
    return await read_all(installation, kept_by_replay(installation, recording), metrics)


@pytest.fixture(scope="module", params=["s01_ringall_one_answers.events", "s05_mixed_ringall.events.lite", "s06_callcenter.events"])
def told(request: pytest.FixtureRequest, install: Install) -> Told:
    recording = RECORDINGS / f"{request.param}.jsonl.gz"
    is_killed = request.param.startswith("s06")
    installation = install(source("freeswitch-esl"), **({"chunk_records": KILLED_CHUNK} if is_killed else {}))
    return asyncio.run(played(installation, recording, *((2_000, 8_000) if is_killed else ())))


def test_topics_hold_what_replay_gives(told: Told) -> None:
    audit.assert_as_replayed(told.legs, told.results, told.tallies, told.kept)
    assert not told.late
    assert not told.dead_letters


def test_withdrawn_legs_are_really_elsewhere(told: Told) -> None:
    audit.assert_withdrawn_are_elsewhere(told.legs)


def test_no_revision_comes_twice_or_goes_back(told: Told) -> None:
    for records in (told.legs, told.results, told.tallies):
        audit.assert_revisions_grow(records)


def test_every_published_tally_balances(told: Told) -> None:
    audit.assert_balanced(told.tallies)


def test_every_input_is_committed_to_its_end(told: Told) -> None:
    offsets = asyncio.run(told.installation.offsets(inputs(told.installation.settings)))
    assert {place: end for place, (_, end) in offsets.items()} == {place: committed for place, (committed, end) in offsets.items()}
    assert sum(end for _, end in offsets.values()) > 0
    assert asyncio.run(told.installation.lag()) == 0
    answer = told.installation.command("lag", "--json")
    assert '"records": 0,' in answer.stdout.splitlines()[2], answer


def test_metrics_count_what_stands_in_the_topics(told: Told) -> None:
    """A worker that was killed counts only what its last life did: no more than all."""
    was_killed = told.installation.settings.engine.chunk_records == KILLED_CHUNK
    metrics = {name: float(value) for name, value in METRIC.findall(told.metrics)}
    topics = told.installation.topics
    stages = {"normalize": told.installation.raw[0], "assemble": topics.events, "tally": topics.partials}
    for stage, topic in stages.items():
        records = asyncio.run(told.installation.read(topic))
        counted = metrics[f'callverdict_records_in_total{{stage="{stage}"}}']
        assert counted <= len(records) if was_killed else counted == len(records), stage
    published = Counter(json.loads(record.value)["result"] for record in told.legs)
    for result, count in published.items():
        counted = metrics.get(f'callverdict_legs_out_total{{result="{result or "withdrawn"}"}}', 0)
        assert counted <= count if was_killed else counted == count
    closing_ms = max(json.loads(record.value)["ended_ms"] or 0 for record in told.legs) + CLOSING_MS
    assert metrics['callverdict_watermark_timestamp_seconds{partition="0"}'] * 1000 == pytest.approx(closing_ms, abs=5_000)
    assert sum(count for name, count in metrics.items() if name.startswith("callverdict_dead_letters_total{")) == 0
    assert metrics["callverdict_conservation_errors_total"] == 0
