"""One chaos run: a cluster, a crew, a feed, the strikes of the plan, and the audit when all is worked off."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import structlog
from aiokafka import TopicPartition

from pipeline.app import broker
from pipeline.app.lag import inputs
from pipeline.app.ticking import margin_ms, tick
from pipeline.app.topics import Names, names, topics
from pipeline.engine.ending import Exit
from pipeline.settings import Settings, load, policy
from pipeline.workbench.topicreplay import LogReplay
from tests.chaos.arrivals import SOURCES, arrivals
from tests.chaos.audit import Audit, Reading
from tests.chaos.brokers import Brokers, Gauge
from tests.chaos.contacts import contacts
from tests.chaos.crew import Crew, NotSeenError
from tests.chaos.feed import Feed
from tests.chaos.findings import Findings
from tests.chaos.harms import BAD_LIMIT, SESSION_S, Field
from tests.chaos.plan import Form, Strike, plan

log = structlog.get_logger("chaos")

ROOT = Path(__file__).parents[2]
PARTITIONS = 3
SIZE = 2
RECORDS_PER_EVENT = 1.15
LEAD = 40_000
DRAIN_S = 1_200.0
A_YEAR_S = 366 * 86_400
NEVER_S = 3_600
GROWN = "they must be equal"


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a person asks for; the same run does the same harm to the same input."""

    seed: int
    events: int
    kills: int
    brokers: int
    form: Form


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it. `records`: those of the raw topics, twice sent and bad ones included. `own_ends`: exit codes of workers that ended themselves."""

    run: Run
    findings: Findings
    harms: tuple[str, ...]
    records: int
    kills: int
    broker_kills: int
    own_ends: tuple[int, ...]
    seconds: float

    @property
    def last_line(self) -> str:
        counts = self.findings.counts
        return f"lost {counts['lost']}, double {counts['double']}, wrong {counts['wrong']}, kills {self.kills}, seed {self.run.seed}"


@dataclass
class Stage:
    """Everything that lives while a run does."""

    settings: Settings
    names: Names
    environ: dict[str, str]
    brokers: Brokers
    crew: Crew
    feed: Feed
    gauge: Gauge

    def crew_of(self, size: int, folder: Path, **more: object) -> Crew:
        return Crew(size, {**self.environ, **_environ(more)}, ROOT, folder)


async def chaos(run: Run, folder: Path) -> Outcome:
    """Play a run. Raises NotSeenError when something that must happen does not, with the logs' ends."""
    began_s = time.monotonic()
    async with staged(run, folder) as stage:
        audit = Audit(stage.settings, policy(stage.settings), stage.names, Reading(stage.brokers.bootstrap, PARTITIONS))
        strikes = plan(run.seed, kills=run.kills, brokers=run.brokers, form=run.form)
        async with stage.crew.working():
            await stage.crew.ready()
            await played(stage, run, strikes, audit.findings)
            await drained(stage, stage.crew)
            await left(stage.crew)
        live, restored = await settled(stage, folder)
        audit.check_offsets(await stage.gauge.offsets())
        await audited(stage, audit, run, live, restored)
        await refused(stage, folder)
    return Outcome(
        run=run, findings=audit.findings, harms=tuple(strike.harm.name for strike in strikes), records=audit.records_in,
        kills=stage.crew.kills, broker_kills=stage.brokers.kills, own_ends=tuple(stage.crew.own_ends), seconds=time.monotonic() - began_s,
    )  # fmt: skip


# -- before


@asynccontextmanager
async def staged(run: Run, folder: Path) -> AsyncIterator[Stage]:
    brokers = Brokers(run.brokers)
    with brokers.kafka:
        chosen = _environ(
            {
                "bootstrap": brokers.bootstrap, "app_id": "chaos", "partitions": PARTITIONS, "replication_factor": run.brokers,
                "session_timeout_s": SESSION_S, "tick_s": 2, "bad_record_limit": BAD_LIMIT, "window_sizes_s": "60,900",
                "sources": json.dumps([{**source, "clock_error_s": A_YEAR_S} for source in SOURCES]),
            }
        )  # fmt: skip
        settings = load(chosen, directory=folder)
        await broker.create(brokers.bootstrap, topics(settings))
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CALLVERDICT_")}
        environ = {**clean, **chosen, "PYTHONPATH": str(ROOT)}
        places = [TopicPartition(topic, number) for topic in inputs(settings) for number in range(PARTITIONS)]
        async with Gauge(brokers.bootstrap, settings.app_id, places).open() as gauge:
            feed = Feed(brokers.bootstrap, {source.name: source.topic for source in settings.sources}, lead=LEAD, behind=gauge.behind)
            yield Stage(settings, names(settings), environ, brokers, Crew(SIZE, environ, ROOT, folder), feed, gauge)


def _environ(chosen: Mapping[str, object]) -> dict[str, str]:
    return {f"CALLVERDICT_{name.upper()}": str(value) for name, value in chosen.items()}


# -- the run


async def played(stage: Stage, run: Run, strikes: list[Strike], findings: Findings) -> None:
    """Feed everything, and strike on the way."""
    field = Field(
        crew=stage.crew, brokers=stage.brokers, feed=stage.feed, names=stage.names, app_id=stage.settings.app_id, partitions=PARTITIONS,
        dice=Random(f"{run.seed}/harm"),
    )  # fmt: skip
    async with asyncio.TaskGroup() as group:
        group.create_task(stage.feed.play(arrivals(run.seed, run.events, PARTITIONS)))
        for strike in strikes:
            stage.feed.bound = int(strike.share * run.events * RECORDS_PER_EVENT)
            await stage.feed.reached(stage.feed.bound)
            log.info("harm.begun", what=strike.harm.name, sent=stage.feed.sent)
            await struck(strike, field, findings)
        stage.feed.over, stage.feed.bound = True, sys.maxsize


async def struck(strike: Strike, field: Field, findings: Findings) -> None:
    """Do harm. What must follow it and does not is a finding; the run goes on, for its audit may say why."""
    try:
        await strike.harm.do(field)
    except NotSeenError as error:
        log.warning("harm.missed", what=strike.harm.name, error=str(error)[:3_000])
        findings.add("wrong", strike.harm.name, str(error)[:300])


async def drained(stage: Stage, crew: Crew, *, within_s: float = DRAIN_S) -> None:
    """Return when no record of any input is left."""
    until_s = time.monotonic() + within_s
    while await stage.gauge.behind():
        if time.monotonic() > until_s:
            logs = "\n".join(crew.log(seat)[-4000:] for seat in crew.seats.values())
            raise NotSeenError(
                f"{await stage.gauge.behind()} records are left after {within_s:.0f} s: {await stage.gauge.offsets()}\n{logs}"
            )
        await asyncio.sleep(0.2)


async def left(crew: Crew) -> None:
    """SIGTERM for all: each must end in order."""
    codes = await asyncio.gather(*(crew.stop(seat) for seat in crew.seats.values()))
    if any(codes):
        raise NotSeenError("after SIGTERM the workers ended with " + ", ".join(map(str, codes)))


async def settled(stage: Stage, folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Work off what ticks left, pass every time to live, work that off; the state of these workers, and of one that restores it."""
    crew = stage.crew_of(SIZE, _made(folder / "settling"), tick_s=NEVER_S)
    async with crew.working():
        await crew.ready()
        await drained(stage, crew)
        until_ms = stage.feed.latest_ms + margin_ms(policy(stage.settings), "ttl")
        await tick(stage.settings, str(until_ms))
        await asyncio.sleep(0.5)
        await drained(stage, crew)
        live = await memory(crew)
        await left(crew)
    fresh = stage.crew_of(1, _made(folder / "restoring"), tick_s=NEVER_S)
    async with fresh.working():
        await fresh.ready()
        restored = await memory(fresh)
        await drained(stage, fresh)  # opening tells what time it is
        await left(fresh)
    return live, restored


async def memory(crew: Crew) -> dict[str, str]:
    found: dict[str, str] = {}
    for seat in crew.seats.values():
        page: dict[str, Any] = await crew.until_page(seat, "/state")
        found.update(page)
    return found


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


# -- after


async def audited(stage: Stage, audit: Audit, run: Run, live: Mapping[str, str], restored: Mapping[str, str]) -> None:
    replay = LogReplay(policy(stage.settings), partitions=PARTITIONS)
    await timed("outputs.read", lambda: audit.read(source.topic for source in stage.settings.sources))
    await timed("log.replayed", lambda: audit.recount(replay))
    audit.compare_state(replay, live, restored)
    began_s = time.monotonic()
    audit.judge(contacts(run.seed, run.events))
    log.info("contacts.judged", seconds=round(time.monotonic() - began_s, 1))


async def timed(what: str, do: Callable[[], Any]) -> None:
    began_s = time.monotonic()
    await do()
    log.info(what, seconds=round(time.monotonic() - began_s, 1))


async def refused(stage: Stage, folder: Path) -> None:
    """A topic that grew by a partition under its state is refused with exit 2 and a sentence: keys have moved, the state has not."""
    await stage.brokers.grow(stage.names.events, PARTITIONS + 1)
    crew = stage.crew_of(1, _made(folder / "grown"))
    async with crew.working():
        (seat,) = crew.seats.values()
        await crew.until(lambda: bool(seat.ends), within_s=120, what="the refusal of a grown topic")
        if seat.ends != [Exit.SETUP] or GROWN not in crew.log(seat):
            raise NotSeenError(f"a topic with another number of partitions gave exit {seat.ends}:\n{crew.log(seat)[-3000:]}")
