"""With phone_numbers drop or hash no number of a recording stands in any topic that we write."""

from __future__ import annotations

import json
import re

import pytest

from pipeline.app.topics import topics
from pipeline.settings import Settings, policy
from pipeline.workbench.reading import Reader, told_by
from pipeline.workbench.recording import records
from tests.integration import audit
from tests.integration.conftest import Install
from tests.integration.installation import source
from tests.integration.test_recordings import RECORDINGS

S04 = RECORDINGS / "s04_outbound_sip_codes.events.lite.jsonl.gz"
KEY = "a key of an operator"
A_NUMBER = re.compile(
    rb'"(?:Caller-Destination-Number|variable_dialed_number|variable_sip_to_user|variable_sip_req_user)":"\D{0,2}(\d{8,15})"'
)


def numbers() -> set[bytes]:
    """Every long number that the recording calls dialed, in whichever words."""
    return {number for record in records(S04) for number in A_NUMBER.findall(record)}


def dialed_numbers() -> set[str]:
    """Those that events carry as `dialed`, as they stand without any privacy."""
    settings = Settings()
    reader = Reader(settings.sources[0], settings, policy(settings))
    return {event.dialed for told in told_by([S04]) for event in reader.events(told) if event.dialed is not None}


@pytest.mark.parametrize("choice", ["drop", "hash"])
async def test_no_number_leaves(install: Install, choice: str) -> None:
    dialed, known = numbers(), dialed_numbers()
    assert len(dialed) > 100
    mapped = min(known)
    assert {re.sub(r"\D", "", number).encode() for number in known} - {b""} <= dialed  # one is a word
    installation = install(
        source("freeswitch-esl"), phone_numbers=choice, phone_numbers_key=KEY, queues=json.dumps({"sales": {"numbers": [mapped]}})
    )
    await installation.create()
    await installation.play(S04, installation.raw[0])
    worker = installation.worker()
    await installation.settle()
    assert await worker.stop() == 0
    written = {topic.name: await installation.read(topic.name) for topic in topics(installation.settings) if topic.role != "raw"}
    assert not written.pop(installation.topics.dead_letters)
    seen = b"\n".join((record.key or b"") + b" " + (record.value or b"") for found in written.values() for record in found)
    assert not [number for number in dialed if number in seen]
    assert mapped.encode() not in worker.log.encode()

    events = [json.loads(record.value) for record in written[installation.topics.events] if b'"control"' not in record.value[:12]]
    told = {event["dialed"] for event in events if "dialed" in event}
    assert len(told) == (len(known) if choice == "hash" else 0)
    assert all(re.fullmatch(r"[0-9a-f]{32}", number) for number in told)
    assert any(json.loads(value)["queue"] == "sales" for value in audit.standing(written[installation.topics.legs]).values())
