"""The Faust application around the engine, and the process that runs it."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import faust
import uvloop
from faust.transport import drivers
from mode import Service

from pipeline.engine.driver import SCHEME, ChunkScheduler, Transport
from pipeline.engine.ending import Exit, end_process, log
from pipeline.engine.engine import Engine
from pipeline.engine.observer import Fault, Observer, SilentObserver, no_fault
from pipeline.engine.quiet import limit_floods
from pipeline.engine.settings import EngineSettings
from pipeline.engine.step import Stage
from pipeline.engine.survey import HOPELESS, first_counts, patiently, setup_problems
from pipeline.engine.watch import Watch
from pipeline.engine.web import Route, Web

STREAM_CHUNKS = 64
PARENT_S = 1.0
CLOSE_S = 9.0  # from the signal on: a transaction in flight may take so long
LEAVE_S = 4.0  # then nothing is in flight, and leaving the group politely may take so long

drivers.TRANSPORTS.aliases[SCHEME] = f"{Transport.__module__}:{Transport.__qualname__}"


class App(faust.App):
    """A Faust app that knows its engine and how that gets on, and keeps nothing on disk."""

    engine: Engine
    watch: Watch

    def _create_directories(self) -> None:
        """No table, no directory."""


def build(settings: EngineSettings, stages: Sequence[Stage], observer: Observer | None = None, *, fault: Fault = no_fault) -> App:
    """One Faust app with one agent per stage. `app.watch` tells how it gets on. Raises ValueError for impossible stages."""
    engine = Engine(settings, stages, observer or SilentObserver(), fault)
    scheduler = type("Scheduler", (ChunkScheduler,), {"chunk_records": settings.chunk_records})
    app = App(
        settings.app_id,
        broker=";".join(f"{SCHEME}://{server}" for server in settings.bootstrap.split(",")),
        key_serializer="raw",
        value_serializer="raw",
        store="memory://",
        datadir=Path(tempfile.gettempdir()),
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        stream_buffer_maxsize=STREAM_CHUNKS,
        broker_session_timeout=settings.session_timeout_s,
        ConsumerScheduler=scheduler,
    )
    app.engine = engine
    app.watch = Watch(engine, lambda: app._consumer)
    for stage in stages:
        _add_agent(app, stage)
    app.on_before_shutdown.connect(_close_before_shutdown, weak=False)
    return app


def _add_agent(app: App, stage: Stage) -> None:
    topic = app.topic(*stage.topics, acks=False, key_serializer="raw", value_serializer="raw")

    @app.agent(topic, name=stage.name)
    async def pass_on(stream: Any) -> None:
        async for chunk in stream:
            app.engine.hand_over(chunk)


async def _close_before_shutdown(app: App, **_: Any) -> None:
    await app.engine.finish()
    _end_after(LEAVE_S, app)


class Preflight(Service):
    """Before Faust joins the group: the broker answers, and the topics are there with the partitions that the stages need."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    async def on_start(self) -> None:
        stages = list(self._engine.stages.values())
        topics = [topic for stage in stages for topic in stage.all_topics]
        try:
            counts = await patiently(lambda: first_counts(self._engine.settings, topics), what="the broker", patience_s=None)
        except HOPELESS as error:
            end_process(
                Exit.SETUP,
                "broker.refuses",
                reason=str(error) or repr(error),
                advice="check the security settings and what this user may do",
            )
        if problems := setup_problems(stages, counts):
            end_process(Exit.SETUP, "setup.refused", problems=problems)


class Worker(faust.Worker):
    """Faust's worker with our logging left alone and an end that does not take long."""

    def __init__(self, app: App, *services: Service) -> None:
        super().__init__(app, *services, quiet=True, override_logging=False, redirect_stdouts=False)
        self.spinner = None

    def _schedule_shutdown(self, signal: Any) -> None:
        log.info("worker.stopping", by=signal.name, advice="transactions in flight end, then it leaves the group")
        _end_after(CLOSE_S, self.app)
        super()._schedule_shutdown(signal)


def _end_after(seconds: float, app: App) -> None:
    """Faust's own ending may wait for an absent broker for ever, so it gets a limit that no event loop can hold up."""
    timer = threading.Timer(seconds, _cut_short, (app,))
    timer.daemon = True
    timer.start()


def _cut_short(app: App) -> None:
    if app.engine.at_rest():
        end_process(Exit.CLEAN, "leaving.cut_short", advice="the group notices when the session has timed out")
    end_process(Exit.CRASH, "closing.cut_short", advice="a transaction in flight did not end; it is taken up again after a restart")


class Bond(Service):
    """Ends the worker, as SIGTERM does, when the process that looks after it is gone: nobody else would restart or stop it."""

    def __init__(self, parent: int) -> None:
        super().__init__()
        self._parent = parent

    @Service.task
    async def _look(self) -> None:
        while not self.should_stop:
            if os.getppid() != self._parent:
                log.error("supervisor.gone", pid=self._parent, advice="start `callverdict worker` again; this one ends")
                os.kill(os.getpid(), signal.SIGTERM)
                return
            await self.sleep(PARENT_S)


def run(app: App, routes: Mapping[str, Route] | None = None, *, parent: int | None = None) -> int:
    """Run the worker in this process until SIGTERM or SIGINT (0) or a crash (1). Does not return from bad setup (2) or a halt (3).

    `routes` maps paths to aiohttp handlers, served on the settings' web port, if there is one. `parent`: do not outlive this process.
    """
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.set_event_loop(asyncio.new_event_loop())
    limit_floods()
    services: list[Service] = []
    settings = app.engine.settings
    if settings.web_port is not None:
        services.append(Web(settings.web_host, settings.web_port, routes or {}))
    services += [app.watch, *([] if parent is None else [Bond(parent)]), Preflight(app.engine)]
    log.info("worker.started", app_id=settings.app_id, pid=os.getpid())
    return _exit_code(Worker(app, *services))


def _exit_code(worker: Worker) -> int:
    """Run it to its end, and say in one line how that came."""
    code, error = int(Exit.CLEAN), None
    try:
        worker.execute_from_commandline()
    except SystemExit as ending:
        code, error = ending.code if isinstance(ending.code, int) else int(Exit.CRASH), ending.__context__
    crash = worker.crash_reason or worker.app.crash_reason or error
    if code == Exit.CLEAN:
        log.info("worker.ended", exit_code=code)
    else:
        log.critical("worker.crashed", exit_code=code, reason=repr(crash), advice="nothing in flight was committed; a restart goes on")
    return code
