"""What the brokers' last answers said of a partition: where it ends, and how long ago that was."""

from __future__ import annotations

from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.engine import clock


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """`end`: up to where committed records can be read. `silent_s`: since the last answer, None while nothing is asked."""

    end: int | None = None
    silent_s: float | None = None


UNSEEN = Sight()


def sight(consumer: AIOKafkaConsumer, place: TopicPartition, *, asked: bool) -> Sight:
    """From any thread. `asked`: this partition is not held back. What was fetched and still lies in the client is no silence either."""
    if place not in consumer.assignment():
        return UNSEEN
    state: Any = consumer._subscription.subscription.assignment.state_value(place)
    end = state.highwater if state.lso in (None, -1) else state.lso
    if not asked or state.timestamp is None or place in consumer._fetcher._records:
        return Sight(end=end)
    return Sight(end=end, silent_s=max(0, clock.now_ms() - state.timestamp) / 1000)


def has_coordinator(consumer: AIOKafkaConsumer) -> bool:
    """Some broker answers as the group's coordinator, as far as is known."""
    return getattr(consumer._coordinator, "coordinator_id", None) is not None
