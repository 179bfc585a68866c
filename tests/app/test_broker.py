"""Topics on a real broker: made as declared, compared in words."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from pipeline.app import broker
from pipeline.app.topics import Topic, topics
from pipeline.errors import SettingsError
from pipeline.settings import load
from tests.support.broker import Broker

pytestmark = pytest.mark.kafka

MANY = "declare 3 (CALLVERDICT_PARTITIONS) if all topics have so many, else make new topics under another prefix and replay"
ALTER = "set it with kafka-configs.sh --alter --topic"
COPIES = "add copies with kafka-reassign-partitions.sh, or declare fewer (CALLVERDICT_REPLICATION_FACTOR)"


def declared(prefix: str, **environ: str) -> tuple[Topic, ...]:
    chosen = {"TOPIC_PREFIX": prefix, "PARTITIONS": "2", **environ}
    return topics(load({f"CALLVERDICT_{key}": value for key, value in chosen.items()}, directory=Path("/nonexistent")))


async def differences_once_told(kafka: Broker, wanted: Sequence[Topic], count: int) -> list[str]:
    """A change of a topic is acknowledged before every broker answers by it."""
    async with asyncio.timeout(20):
        while True:
            if len(lines := await broker.differences(kafka.bootstrap, wanted)) >= count:
                return lines
            await asyncio.sleep(0.2)


async def test_what_is_missing_is_made_once_and_then_as_declared(kafka: Broker, topic_prefix: str) -> None:
    wanted = declared(topic_prefix)
    assert await broker.differences(kafka.bootstrap, wanted) == [
        f"{topic.name} is missing: make it with `callverdict topics create`" for topic in wanted
    ]
    assert await broker.create(kafka.bootstrap, wanted) == tuple(topic.name for topic in wanted)
    assert await broker.differences(kafka.bootstrap, wanted) == []
    assert await broker.create(kafka.bootstrap, wanted) == ()


async def test_every_difference_gets_its_sentence(kafka: Broker, topic_prefix: str) -> None:
    wanted = declared(topic_prefix)
    await broker.create(kafka.bootstrap, wanted)
    events, changelog = f"{topic_prefix}calls.events", f"{topic_prefix}callverdict-assemble-changelog"
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await client.start()
    await client.create_partitions({events: NewPartitions(3)})
    await client.alter_configs([
        ConfigResource(ConfigResourceType.TOPIC, events, {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime",
                                                          "retention.ms": "604800000", "min.insync.replicas": "1"}),
    ])  # fmt: skip
    await client.close()
    assert await differences_once_told(kafka, wanted, 2) == [
        f"{events} has 3 partitions, 2 are declared: {MANY}",
        f"{events} has cleanup.policy=compact, delete is declared: {ALTER} {events} --add-config cleanup.policy=delete",
    ]
    lines = await broker.differences(kafka.bootstrap, declared(topic_prefix, PARTITIONS="3"))
    assert (
        f"{changelog} has 2 partitions, 3 are declared: it must have as many as {events} (3): "
        "make new topics under another prefix and replay"
    ) in lines


async def test_too_many_copies_are_refused_with_advice(kafka: Broker, topic_prefix: str) -> None:
    with pytest.raises(SettingsError) as caught:
        await broker.create(kafka.bootstrap, declared(topic_prefix, REPLICATION_FACTOR="9"))
    (line,) = caught.value.problems
    assert f"{topic_prefix}calls.events" in line
    assert line.endswith("declare no more copies than there are brokers (CALLVERDICT_REPLICATION_FACTOR)")


async def test_fewer_copies_than_declared_are_a_difference(kafka: Broker, topic_prefix: str) -> None:
    (wanted,) = [topic for topic in declared(topic_prefix, REPLICATION_FACTOR="2") if topic.role == "late"]
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await client.start()
    await client.create_topics([NewTopic(wanted.name, 2, 1, topic_configs=dict(wanted.configs))])
    await client.close()
    assert await broker.differences(kafka.bootstrap, [wanted]) == [f"{wanted.name} has 1 copies of a partition, 2 are declared: {COPIES}"]
