"""The middle of the demo: recordings are played, the board fills up, calls settle, and what the topics say at last is read.

Every wait has a limit; whatever runs beside the play (the reader, the look at the worker, the drawing) ends with it, and if one of them
fails, so does the show.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pipeline.app.lag import Lag, inputs, lag
from pipeline.app.ticking import tick
from pipeline.app.topics import names
from pipeline.core.model import LegRow
from pipeline.errors import CallverdictError
from pipeline.settings import Settings
from pipeline.workbench import player
from pipeline.workbench.board import Numbers
from pipeline.workbench.lookout import Lookout
from pipeline.workbench.ownworker import OwnWorker
from pipeline.workbench.programme import Part
from pipeline.workbench.stage import Moment, Stage
from pipeline.workbench.topiclog import TopicLog

SEED = "demo"
LATE_S = 240.0  # how long after its plan the playing may end; a busy machine is slow, not broken
SETTLED_S = 120.0
FRAME_S = 0.25
LOOK_S = 0.2
LAG_EVERY_S = 1.0
RATE_OVER_S = 2.0

Answer = TypeVar("Answer")


class ShowError(CallverdictError):
    """The show broke off; one sentence says why."""


class Scene(NamedTuple):
    """One part, ready to be played."""

    part: Part
    path: Path
    telling: player.Telling
    found: player.Survey
    after_s: float

    @property
    def ends_s(self) -> float:
        """Return how long after the show's beginning its last record is due."""
        return self.after_s + player.due_us(self.found.last_us, self.found.first_us, self.telling.speed) / 1_000_000


class Ending(NamedTuple):
    """What the topics said at last."""

    queues: dict[str, Numbers]
    legs: tuple[LegRow, ...]
    lag: tuple[Lag, ...]
    dead_letters: int
    events: int
    seconds: float


def scenes(parts: Sequence[Part], folder: Path, speed: float) -> list[Scene]:
    """Read the recordings once, for their times. `speed` goes on top of each part's own."""
    made = []
    for part in parts:
        path, telling = folder / part.file, player.Telling(speed=part.speed * speed, seed=SEED)
        made.append(Scene(part, path, telling, player.surveyed([path], telling, None), part.after_s / speed))
    return made


class Show:
    """One performance. `run` returns its ending."""

    def __init__(self, settings: Settings, worker: OwnWorker, stage: Stage, played: Sequence[Scene]) -> None:
        self._settings = settings
        self._worker = worker
        self._stage = stage
        self._scenes = played
        self._lookout = Lookout(settings)
        self._topics = {source.name: source.topic for source in settings.sources}
        self._planned_s = max(scene.ends_s for scene in played)
        self._phase = "playing a real switch's calls"
        self._began_s = time.monotonic()
        self._sent = 0
        self._marks: deque[tuple[float, int]] = deque([(0.0, 0)])
        self._behind: int | None = None

    async def run(self) -> Ending:
        """Raises ShowError, WorkerEndedError, PlayError, or aiokafka's errors."""
        async with self._lookout as lookout:
            self._began_s = time.monotonic()
            with self._stage.live():
                behind = await beside(self._main(), lookout.watch(), self._watch_worker(), self._draw(), self._watch_lag())
            self._stage.settle(lookout.board.queues())
            return Ending(
                lookout.board.queues(), tuple(lookout.legs.values()), behind, await self._dead_letters(), self._sent, self._elapsed_s
            )

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    async def _main(self) -> tuple[Lag, ...]:
        limit_s = self._planned_s + LATE_S
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.gather(*map(self._play, self._scenes))
        except TimeoutError:
            raise ShowError(
                f"Kafka did not take all events within {limit_s:.0f} s: see what keeps this machine or that Kafka busy"
            ) from None
        self._phase = "all events sent; the worker catches up"
        await within(SETTLED_S, self._is_at_rest, "the worker did not catch up")
        self._phase = "stream time is moved on (tick): calls settle"
        await self._move_time_on()
        await within(SETTLED_S, self._is_over, "not every window became final")
        self._phase = "every call settled, every window final"
        self._stage.show(self._moment())
        return await self._lag()

    async def _move_time_on(self) -> None:
        """As `callverdict tick` does: past the settling of the last call, and past the end and the grace of the last window."""
        settled_ms, _ = await tick(self._settings, "settle")
        final_ms = max(row.window_end_ms for row in self._lookout.board.windows) + self._settings.policy.grace_s * 1000
        if final_ms > settled_ms:
            await tick(self._settings, str(final_ms))

    async def _play(self, scene: Scene) -> None:
        await asyncio.sleep(scene.after_s)
        output = player.Output(None, self._count)
        topic = self._topics[scene.part.source]
        await player.sent([scene.path], scene.telling, scene.found, output, bootstrap=self._settings.bootstrap, topic=topic)

    def _count(self, size_bytes: int) -> None:  # noqa: ARG002 - the player tells sizes
        self._sent += 1

    async def _lag(self) -> tuple[Lag, ...]:
        now_ms = time.time_ns() // 1_000_000
        return await lag(self._settings.bootstrap, self._settings.app_id, inputs(self._settings), now_ms=now_ms)

    async def _is_at_rest(self) -> bool:
        self._behind = sum(row.records for row in await self._lag())
        return self._behind == 0 and await self._lookout.is_caught_up()

    async def _is_over(self) -> bool:
        return await self._is_at_rest() and self._lookout.board.is_final

    async def _watch_worker(self) -> None:
        while True:
            self._worker.check()
            await asyncio.sleep(LOOK_S)

    async def _watch_lag(self) -> None:
        while True:
            self._behind = sum(row.records for row in await self._lag())
            await asyncio.sleep(LAG_EVERY_S)

    async def _draw(self) -> None:
        while True:
            self._stage.show(self._moment())
            await asyncio.sleep(FRAME_S)

    def _moment(self) -> Moment:
        board, latencies = self._lookout.board, self._lookout.latencies
        queues, elapsed_s = board.queues(), self._elapsed_s
        return Moment(
            phase=self._phase, elapsed_s=elapsed_s, planned_s=self._planned_s, sent=self._sent, per_s=self._per_s(elapsed_s),
            lag=self._behind, median_ms=latencies.percentile(50), p99_ms=latencies.percentile(99), queues=queues,
            fresh=board.fresh(queues, elapsed_s),
        )  # fmt: skip

    def _per_s(self, elapsed_s: float) -> float:
        self._marks.append((elapsed_s, self._sent))
        while elapsed_s - self._marks[0][0] > RATE_OVER_S:
            self._marks.popleft()
        since_s, before = self._marks[0]
        return (self._sent - before) / max(FRAME_S, elapsed_s - since_s)

    async def _dead_letters(self) -> int:
        async with TopicLog(self._settings.bootstrap, names(self._settings).dead_letters) as log:
            return len([None async for _ in log.records()])


async def beside(main: Coroutine[Any, Any, Answer], *others: Coroutine[Any, Any, None]) -> Answer:
    """Return what `main` does; end the others with it. If one of them fails first, that is the failure of all."""
    first = asyncio.create_task(main)
    rest = [asyncio.create_task(each) for each in others]
    try:
        await asyncio.wait((first, *rest), return_when=asyncio.FIRST_COMPLETED)
        for other in rest:
            if other.done():
                other.result()
        return await first
    finally:
        for task in (first, *rest):
            task.cancel()
        await asyncio.gather(first, *rest, return_exceptions=True)


async def within(limit_s: float, is_so: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    """Return when it is so. Raises ShowError after the limit."""
    try:
        async with asyncio.timeout(limit_s):
            while not await is_so():  # noqa: ASYNC110 - nothing tells us of it
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise ShowError(f"{otherwise} within {limit_s:.0f} s: see what keeps this machine busy, then run again") from None
