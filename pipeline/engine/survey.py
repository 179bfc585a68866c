"""What the broker says about the partitions that were just assigned, and patience with a broker that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
)

from pipeline.engine import clock
from pipeline.engine.ending import log
from pipeline.engine.fetched import LightConsumer
from pipeline.engine.refusal import BrokerRefusesError, explained
from pipeline.engine.settings import EngineSettings
from pipeline.engine.step import Stage
from pipeline.engine.writer import Position

T = TypeVar("T")

HOPELESS = (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
    BrokerRefusesError,
)
"""Waiting does not mend these."""

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 2.0


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """`begin` and `end`: the first offset still there and the end that read_committed sees, per partition."""

    committed: Mapping[TopicPartition, Position | None]
    begin: Mapping[TopicPartition, int]
    end: Mapping[TopicPartition, int]


async def survey(settings: EngineSettings, inputs: Collection[TopicPartition], changelogs: Collection[TopicPartition]) -> Survey:
    """Ask after the fencing, then the committed offsets are final."""
    if not inputs:
        return Survey(committed={}, begin={}, end={})
    async with admin(settings) as client:
        found = await client.list_consumer_group_offsets(settings.app_id, partitions=list(inputs))
    async with reader(settings) as consumer:
        begin = await consumer.beginning_offsets(list(inputs))
        end = await consumer.end_offsets([*inputs, *changelogs])
    return Survey(committed={place: _position(found.get(place)) for place in inputs}, begin=begin, end=end)


def _position(found: Any) -> Position | None:
    return None if found is None or found.offset < 0 else Position(found.offset, found.metadata or "")


async def first_counts(settings: EngineSettings, topics: Collection[str]) -> dict[str, int]:
    """`partition_counts` by a client that was never let in before: if it is not, says why."""
    try:
        return await partition_counts(settings, topics)
    except KafkaConnectionError as error:
        raise await explained(error, settings.clients) from error


async def partition_counts(settings: EngineSettings, topics: Collection[str]) -> dict[str, int]:
    """How many partitions each topic has; a topic that does not exist is missing from the answer."""
    async with admin(settings) as client:
        described = await client.describe_topics(sorted(set(topics)))
    return {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}


def setup_problems(stages: Sequence[Stage], counts: Mapping[str, int]) -> list[str]:
    """What keeps the stages from running on these topics, one sentence each; `counts` has the topics that exist."""
    missing = sorted({topic for stage in stages for topic in stage.all_topics} - counts.keys())
    problems = [f"topic {topic} does not exist: create it before the worker starts" for topic in missing]
    for stage in stages:
        topic, changelog = stage.topics[0], stage.changelog
        if changelog is not None and changelog in counts and topic in counts and counts[topic] != counts[changelog]:
            problems.append(
                f"topic {topic} has {counts[topic]} partitions and its changelog {changelog} has {counts[changelog]}: they must be equal; "
                "create new topics with the number you want and replay the input into them under a new app id"
            )
    return problems


@asynccontextmanager
async def admin(settings: EngineSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**settings.clients)
    try:
        await client.start()
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def reader(settings: EngineSettings) -> AsyncIterator[LightConsumer]:
    """A consumer outside any group that sees committed records only."""
    consumer = LightConsumer(
        **settings.clients,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=settings.restore_bytes,
        fetch_max_wait_ms=50,
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def patiently(attempt: Callable[[], Awaitable[T]], *, what: str, patience_s: float | None) -> T:
    """Try until it works: a broker that is away comes back. After `patience_s` (None: never) the last error is raised."""
    deadline = None if patience_s is None else clock.elapsed_s() + patience_s
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await attempt()
        except (KafkaError, OSError) as error:
            if isinstance(error, HOPELESS) or (deadline is not None and clock.elapsed_s() + pause_s > deadline):
                raise
            log.warning("broker.awaited", what=what, error=repr(error), again_in_s=pause_s)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
