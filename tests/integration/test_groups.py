"""Workers that come and go: two share the work, and what is done stays done when everything comes once more."""

from __future__ import annotations

import json

from pipeline.workbench import recording
from tests.integration import audit
from tests.integration.conftest import Install
from tests.integration.installation import Worker, source
from tests.integration.test_recordings import RECORDINGS, kept_by_replay, reached

S06 = RECORDINGS / "s06_callcenter.events.lite.jsonl.gz"


def owned(worker: Worker) -> set[tuple[str, int]]:
    """The partitions that this worker says it has."""
    return {(row["topic"], row["partition"]) for row in json.loads(worker.page("/status") or "[]")}


async def test_a_worker_joins_a_worker_leaves_and_everything_comes_twice(install: Install) -> None:
    installation = install(source("freeswitch-esl"), chunk_records=25)
    await installation.create()
    lines = [(recording.own_id(record), record) for record in recording.records(S06)]
    third = len(lines) // 3
    raw = installation.raw[0]

    first = installation.worker()
    await first.ready()
    await installation.write(raw, lines[:third])
    second = installation.worker()
    await installation.write(raw, lines[third : 2 * third])
    await second.ready()
    await first.ready()
    mine, yours = owned(first), owned(second)
    assert not mine & yours
    assert len(mine | yours) == 12  # three stages of four partitions
    assert min(len(mine), len(yours)) > 0

    await installation.write(raw, lines[2 * third :])
    done = await reached(installation, 2 * third + 100, second)
    assert await first.stop() == 0
    assert done < len(lines), "the first worker left when all was done"
    await installation.settle()

    topics = installation.topics
    published = [await installation.read(name) for name in (topics.legs, topics.results, topics.tallies)]
    legs, results, tallies = published
    audit.assert_as_replayed(legs, results, tallies, kept_by_replay(installation, S06))
    audit.assert_withdrawn_are_elsewhere(legs)
    audit.assert_balanced(tallies)
    for records in published:
        audit.assert_revisions_grow(records)
    assert await second.stop() == 0

    last = installation.worker()
    await installation.write(raw, lines)
    await installation.settle()
    for name, before in zip((topics.legs, topics.results, topics.tallies), published, strict=True):
        assert audit.counted(await installation.read(name)) == audit.counted(before), "a late duplicate changed something"
    assert not await installation.read(topics.late)
    assert await last.stop() == 0
