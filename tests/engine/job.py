"""A small job for the engine's tests, and the worker process that runs it: `python -m tests.engine.job '{"bootstrap": ...}'`.

Stage `count` counts records per key, with state; stage `copy` reads what `count` wrote in transactions, without state.
Both write a mark when they are opened, at each chunk and at each tick.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import structlog
from aiohttp import web

from pipeline.engine.ending import Halt
from pipeline.engine.observer import FaultPoint
from pipeline.engine.records import ConsumerRecord, Record
from pipeline.engine.settings import EngineSettings
from pipeline.engine.step import Batch, Stage
from pipeline.engine.worker import App, build, run


class FaultPlan(msgspec.Struct, frozen=True):
    """At the `nth` passing of `point` (of that topic and partition, if given): sleep so long, or die if `seconds` is 0."""

    point: FaultPoint
    nth: int = 1
    topic: str | None = None
    partition: int | None = None
    seconds: float = 0.0
    every: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker process of the tests is told."""

    app_id: str
    bootstrap: str
    faults: tuple[FaultPlan, ...] = ()
    settings: Mapping[str, object] = {}
    copy_too: bool = False

    def topic(self, name: str) -> str:
        return f"{self.app_id}.{name}"


class CountStep:
    """Numbers the records of each key. A value `poison` halts the worker, `bug` is our own error."""

    def __init__(self, plan: Plan, topic: str, partition: int) -> None:
        self._plan = plan
        self._place = f"{topic.rsplit('.', 1)[-1]}/{partition}"
        self._out = (plan.topic("out"), partition)
        self._marks = (plan.topic("marks"), 0)
        self._counts: Counter[bytes] = Counter()
        self._total = 0

    def restore(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            del self._counts[key]
        else:
            self._counts[key] = int(value)

    def restored(self, metadata: str) -> None:
        self._total = int(metadata or 0)

    def opened(self, *, backlog: bool) -> Batch:
        return Batch(outputs={self._marks: [self._mark("opened", f"backlog={backlog} total={self._total}")]})

    def chunk(self, records: Sequence[ConsumerRecord]) -> Batch:
        touched: dict[bytes, bytes] = {}
        rows: list[Record] = []
        for record in records:
            _check(record)
            key = record.key or b""
            self._counts[key] += 1
            touched[key] = b"%d" % self._counts[key]
            rows.append((key, b"%d|%d" % (record.offset, self._counts[key]), [("from", self._place.encode())]))
        self._total += len(records)
        marks = [self._mark("chunk", str(len(records)))]
        return Batch(outputs={self._out: rows, self._marks: marks}, changes=list(touched.items()), metadata=str(self._total))

    def tick(self, now_ms: int) -> Batch:
        return Batch(outputs={self._marks: [self._mark("tick", str(now_ms))]})

    def _mark(self, what: str, detail: str) -> Record:
        return b"%s" % self._place.encode(), f"{what} {detail}".encode(), ()


class CopyStep(CountStep):
    """Passes on what it reads, and writes no changelog."""

    def chunk(self, records: Sequence[ConsumerRecord]) -> Batch:
        self._total += len(records)
        rows: list[Record] = [(record.key, record.value, record.headers) for record in records]
        out = (self._plan.topic("copy"), self._out[1])
        return Batch(outputs={out: rows, self._marks: [self._mark("chunk", str(len(records)))]}, metadata=str(self._total))


def _check(record: ConsumerRecord) -> None:
    if record.value == b"poison":
        raise Halt("a poisonous record: take it out and start again")
    if record.value == b"bug":
        raise ZeroDivisionError("a bug of the job")


def stages(plan: Plan) -> list[Stage]:
    count = Stage(
        name="count",
        topics=(plan.topic("in"),),
        changelog=plan.topic("state"),
        outputs=(plan.topic("out"), plan.topic("marks")),
        open=lambda topic, partition, _counts: CountStep(plan, topic, partition),
    )
    copy = Stage(
        name="copy",
        topics=(plan.topic("out"),),
        outputs=(plan.topic("copy"),),
        open=lambda topic, partition, _counts: CopyStep(plan, topic, partition),
    )
    return [count, copy] if plan.copy_too else [count]


class Faults:
    """Plays a plan's faults."""

    def __init__(self, plans: Sequence[FaultPlan]) -> None:
        self._plans = plans
        self._passed: Counter[FaultPlan] = Counter()

    async def __call__(self, point: FaultPoint, topic: str, partition: int) -> None:
        for plan in self._plans:
            if plan.point == point and plan.topic in (None, topic) and plan.partition in (None, partition):
                self._passed[plan] += 1
                if plan.every or self._passed[plan] == plan.nth:
                    await _strike(plan)


async def _strike(plan: FaultPlan) -> None:
    if plan.seconds:
        await asyncio.sleep(plan.seconds)
    else:
        os.kill(os.getpid(), signal.SIGKILL)


class Seen:
    """An observer that adds up."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()

    def chunk(self, stage: str, _topic: str, _partition: int, records: int, seconds: float) -> None:
        assert seconds > 0
        self.totals[f"{stage}.chunked"] += records

    def transaction(self, stage: str, _topic: str, _partition: int, records: int, seconds: float) -> None:
        assert seconds > 0
        self.totals[f"{stage}.transactions"] += 1
        self.totals[f"{stage}.records"] += records

    def restored(self, stage: str, _topic: str, _partition: int, records: int, _seconds: float) -> None:
        self.totals[f"{stage}.restored"] += records

    def stopped(self, reason: str) -> None:
        sys.stderr.write(f"observer: stopped by {reason}\n")


def status_route(app: App, seen: Seen) -> web.Response:
    body = {"ready": app.engine.ready(), "partitions": app.engine.status(), "seen": seen.totals}
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")


def main() -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer(key_order=["event"])],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    settings = EngineSettings(bootstrap=plan.bootstrap, app_id=plan.app_id, **plan.settings)  # type: ignore[arg-type]
    seen = Seen()
    app = build(settings, stages(plan), seen, fault=Faults(plan.faults))

    async def status(_: web.Request) -> web.Response:
        return status_route(app, seen)

    return run(app, {"/status": status})


if __name__ == "__main__":
    sys.exit(main())
