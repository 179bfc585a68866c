"""What cannot be read becomes a dead letter, nothing else is lost, and too much of it in a row stops the worker."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from pipeline.workbench.recording import own_id, records
from tests.integration import audit
from tests.integration.conftest import Install
from tests.integration.installation import FOR_A_YEAR_S, Installation, source
from tests.integration.test_recordings import RECORDINGS, kept_by_replay

S05 = RECORDINGS / "s05_mixed_ringall.events.lite.jsonl.gz"
HEADERS = {"source-topic", "source-partition", "source-offset", "reason", "message", "vendor"}
THREE_YEARS_US = 3 * FOR_A_YEAR_S * 1_000_000


def later(record: bytes) -> bytes:
    """The same event three years on: every time of 16 digits in it."""
    return re.sub(rb"\b1795\d{12}\b", lambda found: b"%d" % (int(found[0]) + THREE_YEARS_US), record)


def garbage(good: list[bytes]) -> list[tuple[bytes | None, bytes | None, str]]:
    """Key, value and the reason that is expected."""
    future = next(record for record in good if b'"CHANNEL_HANGUP_COMPLETE"' in record[:200])
    return [
        (b"k1", b'{"Event-Name": "CHANNEL_CREATE", ', "not_json"),
        (b"\x00\xff\xfe", b"\x80\x81\x00\xff" * 50, "not_json"),
        (None, b"", "not_json"),
        (b"gone", None, "empty"),
        (b"", b"[1, 2, 3]", "wrong_type"),
        (b"future", later(future), "future_time"),
        (b"no leg", b'{"Event-Name": "CHANNEL_CREATE", "Event-Date-Timestamp": "1795449706688871"}', "missing_leg_id"),
        (b"gone too", None, "empty"),
    ]


def mixed(good: list[bytes], bad: list[tuple[bytes | None, bytes | None, str]]) -> Iterator[tuple[bytes | None, bytes | None]]:
    """One bad record after every 20 good ones."""
    for number, record in enumerate(good):
        yield own_id(record), record
        if number % 20 == 0:
            yield bad[number // 20 % len(bad)][:2]


async def test_garbage_is_kept_apart_and_nothing_else_is_lost(install: Install) -> None:
    good = list(records(S05))
    bad = garbage(good)
    installation = install(source("freeswitch-esl"))
    await installation.create()
    await installation.write(installation.raw[0], mixed(good, bad))
    worker = installation.worker()
    await installation.settle()
    assert await worker.stop() == 0

    topics = installation.topics
    legs, results, tallies = [await installation.read(name) for name in (topics.legs, topics.results, topics.tallies)]
    audit.assert_as_replayed(legs, results, tallies, kept_by_replay(installation, S05))

    raw = {(record.partition, record.offset): (record.key, record.value) for record in await installation.read(installation.raw[0])}
    letters = await installation.read(topics.dead_letters)
    reasons = {(key, value): reason for key, value, reason in bad}
    for letter in letters:
        headers = dict(letter.headers)
        assert headers.keys() == HEADERS
        place = int(headers["source-partition"]), int(headers["source-offset"])
        assert (headers["source-topic"].decode(), headers["vendor"]) == (installation.raw[0], b"freeswitch-esl")
        assert raw.pop(place) == (letter.key, letter.value)
        assert headers["reason"].decode() == reasons[letter.key, letter.value]
        assert len(headers["message"]) > 20
    assert len(letters) == len(range(0, len(good), 20))
    assert Counter(value for _, value in raw.values()) == Counter(good)


async def test_a_thousand_bad_records_in_a_row_stop_the_worker(install: Install) -> None:
    good = list(records(S05))
    installation = install(source("freeswitch-esl"))
    await installation.create()
    wrong = [(b"%d" % number, b"<event>%d</event>" % number) for number in range(1_000)]
    await installation.write(installation.raw[0], wrong, partition=1)
    await installation.write(installation.raw[0], [(own_id(record), record) for record in good])
    worker = installation.worker()
    assert await worker.ended() == 3
    halted = next(line for line in worker.log.splitlines() if "worker.halted" in line)
    assert "1000 records in a row" in halted
    assert f"{installation.raw[0]}/1 cannot be read" in halted
    assert "--accept-bad 1000 gets past them" in halted
    assert "Traceback" not in worker.log
    assert len(worker.pids) == 1, "the supervisor started again what had ended on purpose"

    again = installation.worker("--accept-bad", "1000")
    await installation.settle()
    assert await again.stop() == 0
    topics = installation.topics
    letters = await installation.read(topics.dead_letters)
    assert Counter((letter.key, letter.value) for letter in letters) == Counter(wrong)
    legs = audit.standing(await installation.read(topics.legs))
    audit.assert_equal(legs, audit.replayed(kept_by_replay(installation, S05).legs.values()))


@pytest.mark.parametrize("limit", [5])
async def test_a_run_of_bad_records_that_a_good_one_ends_stops_nothing(install: Install, limit: int) -> None:
    """The limit counts records in a row, not records."""
    installation = install(source("canonical"), bad_record_limit=limit)
    await installation.create()
    event = json.dumps({"leg_id": "ann", "kind": "offered", "at_ms": 1_795_449_706_000, "direction": "inbound"}).encode()
    run: list[tuple[bytes | None, bytes | None]] = [(b"k", b"nonsense")] * (limit - 1)
    await installation.write(installation.raw[0], [*run, (b"k", event), *run, (b"k", event)], partition=0)
    worker = installation.worker("--agents", "normalize")
    await asyncio.wait_for(letters_of(installation, 2 * len(run)), 30)
    assert await worker.stop() == 0


async def letters_of(installation: Installation, count: int) -> None:
    while len(await installation.read(installation.topics.dead_letters)) < count:  # noqa: ASYNC110  no event tells
        await asyncio.sleep(0.2)
