"""`callverdict tick` at a time that is named: nothing is read for it, every partition is told."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pipeline.app.ticking import tick
from pipeline.core.routing import EVERY_ORIGIN, Watermark
from tests.integration.installation import Installation, source
from tests.support.broker import Broker

AT_MS = 1_776_243_600_000


async def test_a_named_time_is_told_to_every_partition(kafka: Broker, topic_prefix: str, tmp_path: Path) -> None:
    installation = Installation(kafka.bootstrap, topic_prefix, tmp_path, [source("canonical")])
    await installation.create()
    assert await tick(installation.settings, "2026-04-15T09:00:00Z") == (AT_MS, 4)
    told = await installation.read(installation.topics.events)
    assert [record.partition for record in told] == [0, 1, 2, 3]
    assert {msgspec.json.decode(record.value, type=Watermark) for record in told} == {Watermark(origin=EVERY_ORIGIN, at_ms=AT_MS)}
