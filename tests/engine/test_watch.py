"""What the watch says of partitions that get on, that do not, and of brokers that fall silent: with a clock of the test's own."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import TopicPartition

from pipeline.engine import clock
from pipeline.engine.observer import PartitionStatus
from pipeline.engine.settings import EngineSettings
from pipeline.engine.sight import Sight
from pipeline.engine.watch import Watch


class World:
    """One engine and its consumer, as far as the watch asks them; `now_s` goes as the test wants."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.settings = EngineSettings(bootstrap="b:1", app_id="a", session_timeout_s=10, transaction_timeout_s=15)
        self.has_assignment = True
        self.coordinator = True
        self.places: dict[TopicPartition, tuple[PartitionStatus, Sight]] = {}
        self.watch = Watch(self, lambda: self)  # type: ignore[arg-type]

    def own(self, number: int = 0, *, at: int = 10, end: int = 10, silent_s: float | None = 0.1, **more: Any) -> None:
        words = {"state": "running", "stage": "count", "restored_records": 0, "restored_s": 0, "queued_records": 0, "transaction_s": 0}
        status = PartitionStatus(topic="in", partition=number, next_offset=at, **{**words, **more})
        self.places[TopicPartition("in", number)] = (status, Sight(end=end, silent_s=silent_s))

    def status(self) -> list[PartitionStatus]:
        return [status for status, _ in self.places.values()]

    def sight(self, place: TopicPartition) -> Sight:
        return self.places[place][1]

    def has_coordinator(self) -> bool:
        return self.coordinator

    def after(self, seconds: float) -> str | None:
        """What troubles the watch, which looks once a second, so many seconds later."""
        for _ in range(int(seconds)):
            self.now_s += 1
            self.watch.outlook()
        return self.watch.trouble()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> World:
    made: list[World] = []
    monkeypatch.setattr(clock, "elapsed_s", lambda: made[0].now_s if made else 1_000.0)
    monkeypatch.setattr(clock, "now_ms", lambda: int(made[0].now_s * 1000))
    made.append(World())
    return made[0]


def test_a_worker_with_nothing_to_do_is_ready(alone: World) -> None:
    assert alone.after(0) is None
    alone.own()
    assert alone.after(3_600) is None


def test_before_the_group_has_spoken_it_is_not(alone: World) -> None:
    alone.has_assignment = False
    assert alone.after(1) == "the group has not assigned the partitions yet"


def test_while_a_partition_is_restored_it_is_not(alone: World) -> None:
    alone.own(0)
    alone.own(1, state="restoring", end=99)
    assert alone.after(600) == "1 of 2 partitions are not open yet, the first: in/1 is restoring"


def test_a_partition_with_work_that_commits_nothing_stalls(alone: World) -> None:
    alone.own(at=10, end=50)
    assert alone.after(29) is None
    assert alone.after(3) == "1 partitions make no progress, the first: in/0 has 40 records waiting and stands still for 31 s"
    alone.own(at=11, end=50)
    assert alone.after(0) is None


def test_slow_progress_is_progress(alone: World) -> None:
    for at in range(10, 20):
        alone.own(at=at, end=1_000)
        assert alone.after(25) is None


def test_a_lost_partition_is_forgotten_and_begins_anew(alone: World) -> None:
    alone.own(at=10, end=50)
    alone.after(20)
    alone.places.clear()
    assert (alone.after(1), alone.watch.outlook()) == (None, [])
    alone.own(at=10, end=50)
    assert alone.after(20) is None


def test_a_broker_that_falls_silent_for_a_session_is_told(alone: World) -> None:
    alone.own(0)
    alone.own(1, silent_s=12.0)
    alone.own(2, silent_s=None)  # held back: nothing is asked
    assert alone.after(0) == "no broker has answered for 1 partitions, the first: in/1 for 12 s"


def test_without_partitions_the_coordinators_silence_is_told(alone: World) -> None:
    alone.coordinator = False
    assert alone.after(9) is None
    assert alone.after(3) == "no broker has answered as the group's coordinator for 12 s"


@pytest.mark.parametrize(
    ("end", "oldest_ms", "expected"),
    [(10, None, (0, 0.0)), (12, 998_000, (2, 12.0)), (12, None, (2, 10.0)), (9, None, (0, 0.0))],
    ids=["drained", "known", "not handed over yet", "an older end"],
)
def test_lag(alone: World, end: int, oldest_ms: int | None, expected: tuple[int, float]) -> None:
    alone.own(end=end, oldest_ms=oldest_ms)
    alone.after(0)
    alone.after(10)
    (one,) = alone.watch.outlook()
    assert (one.lag_records, one.lag_s) == expected
