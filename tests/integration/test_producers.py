"""Other ways in: CDRs alone, canonical events through a raw topic, and canonical events written to calls.events by their producer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from pipeline.app.codec import encode
from pipeline.core.model import LegEvent
from pipeline.core.routing import home_of, state_key
from pipeline.settings import policy
from pipeline.workbench.reading import Reader, told_by
from tests.integration import audit
from tests.integration.conftest import Install
from tests.integration.installation import Installation, source
from tests.integration.test_recordings import RECORDINGS, kept_by_replay

S01 = RECORDINGS / "s01_ringall_one_answers.events.lite.jsonl.gz"
S01_CDR = RECORDINGS / "s01_ringall_one_answers.cdr.jsonl.gz"
S05 = RECORDINGS / "s05_mixed_ringall.events.lite.jsonl.gz"
S01_LEGS = 320


def events_of(installation: Installation, tenant: str) -> list[LegEvent]:
    """What a canonical producer would send: s05 as canonical events, as if it had judged the switch's words itself."""
    esl = source("freeswitch-esl")
    reader = Reader(installation.settings.sources[0].model_copy(update=esl), installation.settings, policy(installation.settings))
    return [msgspec.structs.replace(event, tenant=tenant, origin="") for told in told_by([S05]) for event in reader.events(told)]


def of_tenant(records: Sequence[Any], tenant: str) -> dict[bytes, dict[str, Any]]:
    """The rows that stand, without tenant and revision, by the rest of their key."""
    rows = {}
    for key, value in audit.standing(records).items():
        row = json.loads(value)
        if row.pop("tenant") == tenant:
            rows[key.partition(b"|")[2]] = row
    return rows


async def test_cdrs_alone_give_the_same_verdicts_as_events(install: Install) -> None:
    installation = install(source("freeswitch-esl", tenant="events"), source("freeswitch-json-cdr", tenant="cdrs"))
    await installation.create()
    await installation.play(S01, installation.raw[0])
    await installation.play(S01_CDR, installation.raw[1])
    worker = installation.worker()
    await installation.settle()
    assert await worker.stop() == 0
    legs = await installation.read(installation.topics.legs)
    told = {tenant: {row["leg_id"]: row["result"] for row in of_tenant(legs, tenant).values()} for tenant in ("events", "cdrs")}
    assert told["cdrs"] == told["events"]
    assert len(told["cdrs"]) == S01_LEGS
    assert not await installation.read(installation.topics.dead_letters)


async def test_canonical_producers_may_choose_their_way_in(install: Install) -> None:
    """To calls.raw.canonical with any key; to calls.events keyed as agreed; to calls.events by another partitioner than murmur2."""
    installation = install(source("canonical", tenant="raw"))
    await installation.create()
    worker = installation.worker()
    await worker.ready()
    raw, events = installation.raw[0], installation.topics.events
    await installation.write(raw, [(None, encode(event)) for event in events_of(installation, "")])
    await installation.write(
        events, [(state_key("direct", home_of(event)).encode(), encode(event)) for event in events_of(installation, "direct")]
    )
    astray = events_of(installation, "astray")
    for partition in range(4):
        await installation.write(
            events, [(state_key("astray", home_of(event)).encode(), encode(event)) for event in astray[partition::4]], partition=partition
        )
    await installation.settle()
    assert await worker.stop() == 0

    kept = kept_by_replay(install(source("freeswitch-esl")), S05)
    topics = installation.topics
    for name, rows in ((topics.legs, kept.legs), (topics.results, kept.results), (topics.tallies, kept.tallies)):
        records = await installation.read(name)
        audit.assert_revisions_grow(records)
        expected = {key.partition(b"|")[2]: json.loads(row) for key, row in audit.replayed(rows.values()).items()}
        for row in expected.values():
            del row["tenant"]
        for tenant in ("raw", "direct", "astray"):
            assert of_tenant(records, tenant) == expected, (name, tenant)
    audit.assert_balanced(await installation.read(topics.tallies))
    assert not await installation.read(topics.dead_letters)
    assert not await installation.read(topics.late)


async def test_what_no_producer_of_ours_wrote_to_calls_events_is_a_dead_letter(install: Install) -> None:
    installation = install(source("canonical"))
    await installation.create()
    wrong = [(b"k", b'{"control":"watermark"}'), (b"k", b'{"leg_id":"ann"}'), (None, b"\xff"), (b"k", None), (b"k", b'{"control":"nuke"}')]
    good = LegEvent(leg_id="ann", kind="offered", at_ms=1_795_449_706_000, direction="inbound")
    ended = LegEvent(leg_id="ann", kind="ended", at_ms=1_795_449_716_000, cause="ORIGINATOR_CANCEL", ended_by="far_hung_up")
    await installation.write(installation.topics.events, [*wrong, (b"|ann", encode(good)), (b"|ann", encode(ended))])
    worker = installation.worker("--agents", "assemble,tally")
    await installation.settle()
    assert await worker.stop() == 0
    letters = await installation.read(installation.topics.dead_letters)
    assert sorted((letter.key or b"", letter.value or b"") for letter in letters) == sorted(
        (key or b"", value or b"") for key, value in wrong
    )
    assert {dict(letter.headers)["source-topic"].decode() for letter in letters} == {installation.topics.events}
    assert audit.results_of(await installation.read(installation.topics.legs)) == {"ann": "Cancel"}
