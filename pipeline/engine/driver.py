"""Faust's Kafka driver with our consumer in it: committed records only, whole fetches with their positions, sticky assignment.

Faust's own pausing drops records that are already fetched, which a topic with holes in its offsets does not show. So holding
a partition back happens here, before anything is taken from the fetcher.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as faust_driver
from faust.types import TP, ConsumerMessage
from faust.types.transports import SchedulingStrategyT

from pipeline.engine import clock
from pipeline.engine.fetched import committed_records, wait_for_fetch
from pipeline.engine.pace import next_beat_s
from pipeline.engine.records import Chunk, sliced
from pipeline.engine.settings import EngineSettings
from pipeline.engine.sight import UNSEEN, Sight, has_coordinator, sight

if TYPE_CHECKING:
    from pipeline.engine.engine import Engine

SCHEME = "exactlyonce"
RECENT_MS = 5_000
HIGHEST_BACKOFF_MS = 500
MARKERS_S = 0.003  # until the markers of a transaction stand behind its records


class ChunkScheduler(SchedulingStrategyT):
    """Yields the fetches in chunks, one of each partition of a topic at a time: none waits behind another's whole fetch.

    What comes together is one event for Faust, whose way to an agent costs more than reading a small chunk.
    """

    chunk_records = 2_000

    @classmethod
    def map_from_records(cls, records: Mapping[TP, Any]) -> Any:
        return records

    def iterate(self, records: Mapping[TP, Chunk]) -> Iterator[tuple[TP, list[Chunk]]]:
        waiting = [sliced(fetch, self.chunk_records) for fetch in records.values()]
        while waiting:
            round_ = [(chunks, chunk) for chunks in waiting if (chunk := next(chunks, None)) is not None]
            waiting = [chunks for chunks, _ in round_]
            by_topic: dict[str, list[Chunk]] = {}
            for _, chunk in round_:
                by_topic.setdefault(chunk.topic, []).append(chunk)
            for topic, chunks in by_topic.items():
                yield TP(topic, chunks[0].partition), chunks


class ConsumerThread(faust_driver.AIOKafkaConsumerThread):
    """Runs in a thread of its own: heartbeats go on while the event loop works."""

    _ask_again_s = 0.0  # from when on the brokers may be asked for more
    _expecting: asyncio.Event | None = None

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:  # noqa: ARG002
        settings = self.app.engine.settings
        return AIOKafkaConsumer(
            **settings.clients,
            client_id=f"{settings.app_id}-consumer",
            group_id=settings.app_id,
            group_instance_id=settings.instance_id,
            partition_assignment_strategy=[StickyPartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=settings.fetch_bytes,
            fetch_min_bytes=settings.fetch_min_bytes,
            fetch_max_wait_ms=int(settings.fetch_wait_s * 1000),
            session_timeout_ms=int(settings.session_timeout_s * 1000),
            heartbeat_interval_ms=int(settings.heartbeat_s * 1000),
            rebalance_timeout_ms=int(settings.rebalance_timeout_s * 1000),
            max_poll_interval_ms=3_600_000,  # a transaction in flight holds no one up: the fetch loop goes on
            request_timeout_ms=max(30_000, int(settings.session_timeout_s * 1000) + 5_000),
        )

    def wake(self) -> None:
        """Look again at what was fetched: a partition is no longer held. From any thread."""
        self.thread_loop.call_soon_threadsafe(self._notify)

    def _notify(self) -> None:
        if self._consumer is not None:
            fetcher = self._consumer._fetcher
            for waiter in list(fetcher._fetch_waiters):
                fetcher._notify(waiter)

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109  Faust's signature
        max_records: int | None = None,  # noqa: ARG002
    ) -> dict[TP, Chunk]:
        """Whole fetches of the active partitions that are not held; empty after `timeout` seconds."""
        if not self.consumer.flow_active:
            return {}
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        await self._pause()
        deadline_s = clock.elapsed_s() + (timeout or 0.0)
        with fetcher._subscriptions.fetch_context():
            while True:
                if fetcher._subscriptions.reassignment_in_progress:
                    await fetcher._subscriptions.wait_for_assignment()
                fetches = self._drain(consumer, active_partitions)
                if self._is_little(fetches):  # with a little more patience the next one brings more
                    self._ask_again_s = next_look_s(clock.elapsed_s(), self.app.engine.settings)
                else:
                    fetcher._notify(fetcher._wait_consume_future)
                left_s = deadline_s - clock.elapsed_s()
                if fetches or left_s <= 0 or fetcher._closed:
                    return fetches
                await wait_for_fetch(fetcher, left_s)

    def expect(self) -> None:
        """Something was committed that this worker reads: look soon. From any thread."""
        self.thread_loop.call_soon_threadsafe(self._expect)

    def _expect(self) -> None:
        self._ask_again_s = min(self._ask_again_s, clock.elapsed_s() + MARKERS_S)
        if self._expecting is not None:
            self._expecting.set()

    async def _pause(self) -> None:
        self._expecting = asyncio.Event()
        while (seconds := self._ask_again_s - clock.elapsed_s()) > 0:
            self._expecting.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._expecting.wait()
            except TimeoutError:
                break
        self._expecting = None

    def _is_little(self, fetches: Mapping[TP, Chunk]) -> bool:
        limit: int = self.app.engine.settings.chunk_records
        return 0 < sum(len(fetch.records) for fetch in fetches.values()) < limit

    def _drain(self, consumer: AIOKafkaConsumer, active: set[TP]) -> dict[TP, Chunk]:
        fetcher, held = consumer._fetcher, self.consumer.held
        drained: dict[TP, Chunk] = {}
        for place, result in list(fetcher._records.items()):
            if place not in active or place in held:
                if not fetcher._subscriptions.is_assigned(place):
                    del fetcher._records[place]
            elif isinstance(result, FetchResult):
                if (chunk := self._take(consumer, place, result)) is not None:
                    drained[TP(place.topic, place.partition)] = chunk
            elif not drained:
                del fetcher._records[place]
                result.check_raise()
        return drained

    def _take(self, consumer: AIOKafkaConsumer, place: TopicPartition, result: FetchResult) -> Chunk | None:
        """The fetch of a partition with the positions before and after it; None if it was out of date."""
        state = _state(consumer, place)
        start = state.position
        records = committed_records(result)
        end = state.position
        del consumer._fetcher._records[place]
        if start == end:
            return None
        generation = consumer._coordinator.generation
        return Chunk(topic=place.topic, partition=place.partition, generation=generation, start=start, end=end, records=records)


class Consumer(faust_driver.Consumer):
    """Tells the engine what is assigned and revoked, before Faust acts on it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.held: set[TopicPartition] = set()
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _engine(self) -> Engine:
        engine: Engine = self.app.engine
        return engine

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await self._engine.revoked(revoked)
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self.held.clear()
        await self._engine.assigned(self, assigned, generation_id)
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_stop(self) -> None:
        await self._engine.finish()
        await super().on_stop()

    def _to_message(self, tp: TP, chunks: list[Chunk]) -> ConsumerMessage:
        first = chunks[0]
        return ConsumerMessage(
            first.topic, first.partition, first.end - 1, 0.0, 0, (), None, chunks, None, 0, 0, tp, generation_id=first.generation
        )

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's watch over stalled streams knows nothing of held partitions; `status` tells better."""

    # -- what a partition asks for (pipeline.engine.partition.Source)

    def hold(self, place: TopicPartition) -> None:
        self.held.add(place)

    def release(self, place: TopicPartition) -> None:
        self.held.discard(place)
        self._thread.wake()

    def expect(self) -> None:
        self._thread.expect()

    def read_to_end(self, place: TopicPartition, offset: int) -> bool:
        consumer = self._thread._consumer
        if consumer is None or place not in consumer.assignment():
            return False
        state = _state(consumer, place)
        if not state.has_valid_position or state.highwater is None or state.timestamp is None:
            return False
        return bool(state.position == offset >= state.highwater and clock.now_ms() - state.timestamp < RECENT_MS)

    # -- what the watch asks (pipeline.engine.watch)

    def sight(self, place: TopicPartition) -> Sight:
        consumer = self._thread._consumer
        return UNSEEN if consumer is None else sight(consumer, place, asked=place not in self.held)

    def has_coordinator(self) -> bool:
        consumer = self._thread._consumer
        return consumer is not None and has_coordinator(consumer)


class Producer(faust_driver.Producer):
    """Faust's own producer writes nothing here, but it connects: with our security."""

    def _settings_auth(self) -> Mapping[str, Any]:
        security: Mapping[str, Any] = self.app.engine.settings.security
        return security


class Transport(faust_driver.Transport):
    Consumer = Consumer
    Producer = Producer


def next_look_s(now_s: float, settings: EngineSettings) -> float:
    """Return when to ask for more after a fetch that brought little: in `fetch_pause_s`, or at the beat if that comes first."""
    return min(now_s + settings.fetch_pause_s, next_beat_s(now_s, settings.linger_s)) if settings.linger_s else now_s


def _state(consumer: AIOKafkaConsumer, place: TopicPartition) -> Any:
    return consumer._subscription.subscription.assignment.state_value(place)
