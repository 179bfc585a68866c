"""An installation that lives as long as one measurement: topics under a name of their own, settings in a folder of their own."""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from aiokafka import TopicPartition

from pipeline.app import broker
from pipeline.app.topics import Names, names, topics
from pipeline.settings import Settings, load
from pipeline.settings.reading import FILE_NAME
from pipeline.workbench.following import Ends, Job, ends

CLOCK_ERROR_S = 31_622_400  # a load may lie a year ahead of the broker's clock


class Site(NamedTuple):
    """`name` begins the names of everything that is made on the broker."""

    name: str
    folder: Path
    settings: Settings

    @property
    def topics(self) -> Names:
        return names(self.settings)

    def places(self, *topics: str) -> list[TopicPartition]:
        return [TopicPartition(topic, partition) for topic in topics for partition in range(self.settings.topics.partitions)]

    def ends(self, *topics: str) -> Ends:
        return asyncio.run(ends(self.settings.bootstrap, self.places(*topics)))

    def job(self, loaded: str, inputs: Sequence[str], output: str, *, group: str | None = None, spare: int = 0) -> Job:
        """Return the work that stands in these topics now."""
        return Job(
            self.settings.bootstrap, group or self.settings.app_id, self.places(*inputs), self.places(output), self.ends(loaded), spare
        )


@contextmanager
def site(bootstrap: str) -> Iterator[Site]:
    """Make the topics; remove them afterwards, with all others that have the site's name."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory(prefix="callverdict-bench-") as folder:
        text = f'bootstrap = "{bootstrap}"\napp_id = "{name}"\n[topics]\ntopic_prefix = "{name}."\n'
        text += "".join(
            f'[[sources]]\nvendor = "{vendor}"\nclock_error_s = {CLOCK_ERROR_S}\n' for vendor in ("canonical", "freeswitch-esl")
        )
        Path(folder, FILE_NAME).write_text(text, encoding="utf-8")
        settings = load({}, directory=Path(folder))
        asyncio.run(broker.create(bootstrap, topics(settings)))
        try:
            yield Site(name, Path(folder), settings)
        finally:
            asyncio.run(_remove(bootstrap, name))


async def _remove(bootstrap: str, name: str) -> None:
    async with broker.admin(bootstrap) as client:
        await client.delete_topics([topic for topic in await client.list_topics() if topic.startswith(name)])


def now_ms() -> int:
    return time.time_ns() // 1_000_000
