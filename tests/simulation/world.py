"""One simulation from its plan to its findings: a broker, a group, workers that come and go, and harm, on a clock that is a number."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any

from pipeline.app import codec, ticking
from pipeline.app.telemetry import Telemetry
from pipeline.app.topics import names, topics
from pipeline.app.worker import AGENTS, stages
from pipeline.core.model import LATEST_MS, LegEvent
from pipeline.core.routing import EVERY_ORIGIN, Watermark
from pipeline.engine.ending import Exit
from pipeline.engine.observer import FaultPoint
from pipeline.engine.step import Stage
from pipeline.errors import BadRecord
from pipeline.settings import policy
from tests.simulation.broker import Broker
from tests.simulation.clients import HOST, in_memory
from tests.simulation.group import Group
from tests.simulation.host import SAFE, Host
from tests.simulation.log import Place, Rec
from tests.simulation.loop import StandstillError, VirtualLoop
from tests.simulation.memory import differing_state
from tests.simulation.plan import Harm, Plan, Send, settings_of

CLOCK_ERROR_MS = 300_000  # what the sources' settings allow
MOST_DEATHS = 12
"""After so many there are no more: workers that die all the time get nothing done."""
DEATHS = ("killed", "partition.failed", "partition.fenced", "assignment.failed")
PATIENCE_S = 600.0
MOST_BACKOFF_S = 1.5
LOOK = 0.03
"""So often a state in memory is compared with what the changelog would give."""


@lru_cache(maxsize=256)
def stages_of(partitions: int, memory: str, bad_limit: int, accept_bad: int) -> tuple[Stage, ...]:
    """Return the three stages as the worker makes them."""
    return tuple(stages(settings_of(partitions, memory, bad_limit), AGENTS, Telemetry(), accept_bad=accept_bad))


@dataclass
class World:
    """`told`: the events that were taken in; `refused`: where records lie that must become dead letters."""

    plan: Plan
    told: list[LegEvent] = field(default_factory=list)
    refused: list[Rec] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)
    hosts: list[Host] = field(default_factory=list)
    jumped_ms: int = 0
    frozen_at_s: float | None = None
    accept_bad: int = 0
    until_ms: int = -1

    def __post_init__(self) -> None:
        self.settings = settings_of(self.plan.partitions, self.plan.memory, self.plan.bad_limit)
        self.policy = policy(self.settings)
        self.names = names(self.settings)
        self.stages = stages_of(self.plan.partitions, self.plan.memory, self.plan.bad_limit, 0)
        self.stage_of = {topic: stage for stage in self.stages for topic in stage.topics}
        self.chance = Random(~self.plan.seed)
        self.loop = VirtualLoop()
        self.loop.set_task_factory(_adopted)  # type: ignore[arg-type]
        self.loop.set_exception_handler(self._on_error)
        counts = {topic.name: topic.partitions for topic in topics(self.settings)}
        self.broker = Broker(counts, self.chance, self.now_ms)
        self.places: list[Place] = [(topic, partition) for topic in self.stage_of for partition in range(counts[topic])]
        self.group = Group(self.places, self.chance)

    # -- time

    def now_ms(self) -> int:
        at_s = self.loop.time() if self.frozen_at_s is None else self.frozen_at_s
        return self.plan.start_ms + self.jumped_ms + int(at_s * 1000)

    def note(self, what: str) -> None:
        self.trace.append(f"{self.loop.time():9.3f} s  {what}")

    # -- workers

    def hire(self) -> None:
        """Start a worker."""
        stages = stages_of(self.plan.partitions, self.plan.memory, self.plan.bad_limit, self.accept_bad)
        host = Host(
            len(self.hosts), self.plan.engine, stages, self.broker, self.group, self.chance,
            watch=self._watch, on_end=self._on_end, now_ms=self.now_ms,
        )  # fmt: skip
        if self.is_rough:
            host.perils = self.plan.perils
        self.hosts.append(host)
        host.start()
        self.note(f"worker {host.number} starts")

    def patient_stage(self, topic: str) -> Stage:
        """Return the stage that reads a topic, as it is when any number of bad records is accepted."""
        stages = stages_of(self.plan.partitions, self.plan.memory, self.plan.bad_limit, 1_000)
        return next(stage for stage in stages if topic in stage.topics)

    @property
    def is_rough(self) -> bool:
        return sum(self.happened[how] for how in DEATHS) < MOST_DEATHS

    def at_work(self) -> list[Host]:
        return [host for host in self.hosts if host.alive]

    def _on_end(self, host: Host, code: Exit | None, event: str, facts: dict[str, Any]) -> None:
        self.note(f"worker {host.number} ends: {event} {facts.get('topic', '')}/{facts.get('partition', '')} {facts.get('reason', '')}")
        self.happened["killed" if code is None else event] += 1
        if code is Exit.HALTED:
            self.accept_bad += 10
        elif code is not None and not _is_expected(event, facts) and not self._is_behind_the_times(host, event):
            self.findings.append(f"worker ended: {event} {facts}")
        if code is not Exit.CLEAN or not self.at_work():  # several may be told to leave before the first has left
            self.loop.call_later(self.chance.random() * MOST_BACKOFF_S, self.hire)
        if not self.is_rough:
            for other in self.at_work():
                other.perils = SAFE

    def _is_behind_the_times(self, host: Host, event: str) -> bool:
        """A worker that the group gave up reads on where its successor is: it skips records and finds out."""
        return event == "records.skipped" and self._is_given_up(host)

    def _is_given_up(self, host: Host) -> bool:
        return host.generation != self.group.generation

    def _watch(self, host: Host, point: FaultPoint, place: Place) -> None:
        if (
            point == "after_commit" and self.chance.random() < LOOK and not self._is_given_up(host)
        ):  # its successor's records stand there too
            self.happened["looked"] += 1
            step = host.engine._partitions[place]._step if place in host.engine._partitions else None
            if step is not None:
                self.findings += differing_state(step, self.stage_of[place[0]], place, self.broker)

    def _on_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.findings.append(f"error in a task: {context.get('exception') or context['message']!r}")

    # -- what is told and done

    def send(self, send: Send) -> None:
        record = self.broker.write(send.place, None, send.value)
        latest_ms = max((max(event.at_ms, event.joined_ms or 0) for event in send.events), default=LATEST_MS)
        if latest_ms > record.timestamp + CLOCK_ERROR_MS:
            self.refused.append(record)
        else:
            self.told += send.events

    def do(self, harm: Harm) -> None:
        self.note(f"{harm.deed} {harm.by or ''}")
        self.happened[harm.deed] += 1
        getattr(self, f"_{harm.deed}")(harm.by)

    def _kill(self, _: float) -> None:
        if running := self.at_work():
            self.chance.choice(running).kill("kill")

    def _kill_all(self, _: float) -> None:
        for host in self.at_work():
            host.kill("kill")

    def _freeze(self, seconds: float) -> None:
        if awake := [host for host in self.at_work() if host.thawed.is_set()]:
            self.chance.choice(awake).freeze(seconds)

    def _join(self, _: float) -> None:
        if len(self.at_work()) < 4:
            self.hire()

    def _leave(self, _: float) -> None:
        if len(running := self.at_work()) > 1:
            host = self.chance.choice(running)
            host.spawn(host.leave())

    def _shake(self, _: float) -> None:
        self.group.shake()

    def _jump(self, seconds: float) -> None:
        self.jumped_ms += int(seconds * 1000)

    def _skew(self, seconds: float) -> None:
        self.broker.error_ms[self.chance.choice(self.places)] = int(seconds * 1000)

    def _forget(self, _: float) -> None:
        for place, position in self.broker.committed.items():
            self.broker.logs[place].forget(position.offset)

    def _compact(self, _: float) -> None:
        for stage in self.stages:
            if stage.changelog is not None:
                for partition in range(self.broker.counts[stage.changelog]):
                    self.broker.logs[stage.changelog, partition].compact()

    def _expire(self, _: float) -> None:
        """Nobody was there for so long that the group's offsets are gone; where there is state, it knows better."""
        self._kill_all(0)
        for topic, stage in self.stage_of.items():
            if stage.changelog is not None:
                for partition in range(self.broker.counts[topic]):
                    self.broker.committed.pop((topic, partition), None)

    # -- the course of things

    async def run(self) -> None:
        for _ in range(self.plan.workers):
            self.hire()
        deeds: list[Send | Harm] = [*self.plan.sends, *self.plan.harms]
        for deed in sorted(deeds, key=lambda deed: deed.at_s):
            await asyncio.sleep(max(0.0, deed.at_s - self.loop.time()))
            if isinstance(deed, Send):
                self.send(deed)
            else:
                self.do(deed)
        self.stop_clocks()
        await self.drain()
        await self.end_input()

    def stop_clocks(self) -> None:
        """From now on wall clocks stand still: idle partitions have nothing new to say. Workers may still die."""
        self.note("clocks stop")
        self.frozen_at_s = self.loop.time()

    async def drain(self) -> None:
        """Return when every record is read and committed, and every frozen worker has woken up."""
        begin_s = self.loop.time()
        while not self.is_drained():
            if self.loop.time() > begin_s + PATIENCE_S:
                raise StandstillError(f"still behind: {self.behind()}")
            await asyncio.sleep(0.1)

    def is_drained(self) -> bool:
        return (
            all(host.thawed.is_set() and (not host.alive or host.engine.ready()) for host in self.hosts)
            and bool(self.at_work())
            and self.broker.is_settled
            and not self.behind()
        )

    def behind(self) -> list[Place]:
        committed, logs = self.broker.committed, self.broker.logs
        return [place for place in self.places if logs[place].high > (committed[place].offset if place in committed else 0)]

    async def end_input(self) -> None:
        """What `callverdict tick --until` does; then drain."""
        records = self.broker.decided(self.names.events)
        last_ms = max([-1, *(ticking.item_ms(record.value) for record in records)])
        until_ms = last_ms + ticking.margin_ms(self.policy, "settle" if self.plan.end == "settle" else "ttl")
        await self.tick(max(until_ms, self.latest_ms()))
        while self.latest_ms() > self.until_ms:
            await self.tick(self.latest_ms())  # an idle partition's own clock was ahead
        if self.plan.end == "forgotten":
            await self.forget_all()

    def latest_ms(self) -> int:
        """Return the latest stream time that any record tells."""
        return max(map(_watermark_ms, self.broker.decided(self.names.events)), default=-1)

    async def forget_all(self) -> None:
        """Let every memory run out: facts, then markers, then what markers sent on."""
        kept_ms = self.policy.retention_ms + self.policy.closed_memory_ms + 2 * self.policy.tally_retention_ms
        for _ in range(3):
            await self.tick(self.until_ms + kept_ms)

    async def tick(self, until_ms: int) -> None:
        self.note(f"tick until {until_ms}")
        self.until_ms = until_ms
        value = codec.encode(Watermark(origin=EVERY_ORIGIN, at_ms=until_ms))
        for partition in range(self.broker.counts[self.names.events]):
            self.broker.write((self.names.events, partition), codec.CONTROL_KEY, value)
        await self.drain()
        await asyncio.sleep(1.5 * self.plan.engine.tick_s)  # some things are said only where nothing more comes
        await self.drain()

    def summary(self) -> Counter[str]:
        """Count what was told and what became of the workers."""
        return self.happened + Counter(
            events=len(self.told),
            refused=len(self.refused),
            rebalances=self.group.rebalances,
            aborted=self.broker.aborted_records,
            restored=sum(host.seen.restored_records for host in self.hosts),
            taken_up=sum(host.taken_up for host in self.hosts),
        )

    def finish(self) -> None:
        """Leave nothing behind."""
        self.loop.set_exception_handler(lambda _loop, _context: None)
        tasks = [task for host in self.hosts for task in host.vanish() if not task.done()]
        if tasks:
            self.loop.run_until_complete(self.loop.create_task(_wait(tasks)))
        self.loop.close()


def _adopted(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **kwargs: Any) -> asyncio.Task[Any]:
    """A task belongs to the process in which it was made."""
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **kwargs)
    context = kwargs.get("context")
    host = context.get(HOST) if context is not None else HOST.get(None)
    if host is not None:
        host.adopt(task)
    return task


async def _wait(tasks: Iterable[asyncio.Task[Any]]) -> None:
    await asyncio.wait(tasks)


def _watermark_ms(record: Rec) -> int:
    if record.value is None or not record.value.startswith(b'{"control":"watermark"'):
        return -1
    try:
        return max((item.at_ms for item in codec.decode_item(record.value) if isinstance(item, Watermark)), default=-1)
    except BadRecord:
        return -1


def _is_expected(event: str, facts: dict[str, Any]) -> bool:
    """Ends that a worker may come to by the harm that is done: fenced, asked to go, or left without an answer."""
    said = str(facts.get("reason", facts.get("error", "")))
    return event in ("left", "partition.fenced", "partition.hung") or "did not answer" in said


def run(plan: Plan) -> World:
    """Return what became of a plan, with what is wrong in `findings`."""
    world = World(plan)
    with in_memory():
        try:
            world.loop.run_until_complete(world.loop.create_task(world.run()))
        except StandstillError as error:
            world.findings.append(f"no end: {error}")
        finally:
            world.finish()
    return world
