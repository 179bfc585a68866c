"""The declared topics and the broker's: make what is missing, and say in words what differs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError

from pipeline.app.cluster import Brokers, clients
from pipeline.app.topics import Topic
from pipeline.engine.refusal import explained
from pipeline.errors import CallverdictError, SettingsError

TOPIC_ALREADY_EXISTS = 36
Answer = TypeVar("Answer")

ANSWER_S = 30.0
SETTLE_S = 20.0
POLL_S = 0.1

ADVICE = {
    29: "ask for the right to create topics on this cluster",
    37: "declare a number of partitions that the broker accepts (CALLVERDICT_PARTITIONS)",
    38: "declare no more copies than there are brokers (CALLVERDICT_REPLICATION_FACTOR)",
    44: "ask who set this cluster's policy for new topics, or have them made by hand",
}
"""By Kafka's error code, for a topic that could not be made."""


class BrokerSilentError(CallverdictError):
    """A broker that answered at first and then no more."""


async def answered(talk: Coroutine[Any, Any, Answer], *, within_s: float = ANSWER_S) -> Answer:
    """Await a talk with the brokers. Raises BrokerSilentError if it takes too long.

    In a task of its own: when a broker goes away in the middle, its client waits for ever, or cancels what waits for it.
    """
    task = asyncio.ensure_future(talk)
    try:
        await asyncio.wait({task}, timeout=within_s)
        if task.done() and not task.cancelled():
            return task.result()
    finally:
        task.cancel()
    raise BrokerSilentError("the brokers answered and then fell silent: see that they run, and try again")


@asynccontextmanager
async def admin(brokers: Brokers) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client of the cluster. Raises SettingsError if a broker answers and refuses, aiokafka's KafkaConnectionError if none answers."""
    client = AIOKafkaAdminClient(**clients(brokers), client_id="callverdict")
    try:
        await started(client, brokers)
        yield client
    finally:
        await client.close()


async def started(client: AIOKafkaAdminClient, brokers: Brokers) -> None:
    try:
        await client.start()
    except KafkaConnectionError as error:
        told = await explained(error, clients(brokers))
        if told is error:
            raise
        raise SettingsError([str(told.args[0])]) from error


async def create(brokers: Brokers, topics: Sequence[Topic]) -> tuple[str, ...]:
    """Make the topics that are not there; return their names once every partition has a leader.

    What is there stays as it is: `differences` tells of it. Raises SettingsError with a line for each topic that the broker refused.
    """
    return await answered(_create(brokers, topics))


async def _create(brokers: Brokers, topics: Sequence[Topic]) -> tuple[str, ...]:
    async with admin(brokers) as client:
        there = await described(client)
        missing = [topic for topic in topics if topic.name not in there]
        if missing:
            response = await client.create_topics([new_topic(topic) for topic in missing])
            if refused := refusals(response.topic_errors):
                raise SettingsError(refused)
            await led(client, [topic.name for topic in missing])
    return tuple(topic.name for topic in missing)


async def differences(brokers: Brokers, topics: Sequence[Topic]) -> list[str]:
    """One sentence for each way in which the broker's topics are not the declared ones; none if all is well."""
    return await answered(_differences(brokers, topics))


async def _differences(brokers: Brokers, topics: Sequence[Topic]) -> list[str]:
    async with admin(brokers) as client:
        there = await described(client)
        configs = await configured(client, [topic for topic in topics if topic.name in there])
    return [line for topic in topics for line in differing(topic, there.get(topic.name), configs.get(topic.name, {}), there)]


def new_topic(topic: Topic) -> NewTopic:
    return NewTopic(topic.name, topic.partitions, topic.replication_factor, topic_configs=dict(topic.configs))


def refusals(outcomes: Sequence[tuple[str, int, str | None]]) -> list[str]:
    """One line for each reason, with all topics that the broker refused for it."""
    names: dict[tuple[int, str], list[str]] = {}
    for name, code, message in outcomes:
        if code not in (0, TOPIC_ALREADY_EXISTS):
            names.setdefault((code, (message or f"error {code}").rstrip(".")), []).append(name)
    return [
        f"the broker refused to make {', '.join(refused)} ({message}): {ADVICE.get(code, 'see the log of the broker')}"
        for (code, message), refused in names.items()
    ]


async def described(client: AIOKafkaAdminClient) -> dict[str, dict[str, Any]]:
    """Every topic by name. Asked for by name, a missing topic might be made by the asking."""
    return {topic["topic"]: topic for topic in await client.describe_topics()}


async def led(client: AIOKafkaAdminClient, names: Sequence[str]) -> None:
    """Return when every partition of these topics has a leader: until then a producer's first send fails."""
    async with asyncio.timeout(SETTLE_S):
        while True:
            there = await described(client)
            if all(is_led(there.get(name)) for name in names):
                return
            await asyncio.sleep(POLL_S)


def is_led(topic: Mapping[str, Any] | None) -> bool:
    return topic is not None and topic["error_code"] == 0 and all(part["leader"] >= 0 for part in topic["partitions"])


async def configured(client: AIOKafkaAdminClient, topics: Sequence[Topic]) -> dict[str, dict[str, str]]:
    """Of each topic the settings that are declared for it, as the broker has them."""
    if not topics:
        return {}
    wanted = [ConfigResource(ConfigResourceType.TOPIC, topic.name, dict(topic.configs)) for topic in topics]
    return {
        resource["resource_name"]: {entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]}
        for response in await client.describe_configs(wanted)
        for resource in response.to_object()["resources"]
    }


def differing(
    topic: Topic, there: Mapping[str, Any] | None, configs: Mapping[str, str], others: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Sentences about one topic; `others` are all topics of the broker."""
    if there is None:
        yield f"{topic.name} is missing: make it with `callverdict topics create`"
        return
    count, copies = len(there["partitions"]), min(len(part["replicas"]) for part in there["partitions"])
    if count != topic.partitions:
        yield f"{topic.name} has {count} partitions, {topic.partitions} are declared: {partitions_advice(topic, count, others)}"
    if copies < topic.replication_factor:
        yield (
            f"{topic.name} has {copies} copies of a partition, {topic.replication_factor} are declared: "
            "add copies with kafka-reassign-partitions.sh, or declare fewer (CALLVERDICT_REPLICATION_FACTOR)"
        )
    for key, value in sorted(topic.configs.items()):
        if configs.get(key) != value:
            yield (
                f"{topic.name} has {key}={configs.get(key)}, {value} is declared: "
                f"set it with kafka-configs.sh --alter --topic {topic.name} --add-config {key}={value}"
            )


def partitions_advice(topic: Topic, count: int, others: Mapping[str, Mapping[str, Any]]) -> str:
    leader = others.get(topic.follows) if topic.follows else None
    if leader is not None and len(leader["partitions"]) != count:
        return f"it must have as many as {topic.follows} ({len(leader['partitions'])}): make new topics under another prefix and replay"
    return f"declare {count} (CALLVERDICT_PARTITIONS) if all topics have so many, else make new topics under another prefix and replay"
