"""The worker: three stages on the engine, and what it shows of itself over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

import msgspec
import structlog
from aiohttp import web

from pipeline.app.assemble import AssembleStep
from pipeline.app.deadletters import BadRun
from pipeline.app.gauges import Gauges
from pipeline.app.intake import Intake
from pipeline.app.normalize import NormalizeStep
from pipeline.app.tally import TallyStep
from pipeline.app.telemetry import Telemetry
from pipeline.app.topics import Names, names
from pipeline.compiled import core_form
from pipeline.engine.settings import EngineSettings
from pipeline.engine.step import Stage
from pipeline.engine.worker import App, build, run
from pipeline.settings import Settings, policy, security
from pipeline.settings.shape import NUMBER

log = structlog.get_logger("callverdict")

AGENTS = ("normalize", "assemble", "tally")
Route = Callable[[web.Request], Awaitable[web.Response]]


def stages(settings: Settings, agents: Collection[str], telemetry: Telemetry, *, accept_bad: int = 0) -> list[Stage]:
    """Return the stages that a worker with these agents runs."""
    topic = names(settings)
    limit = settings.bad_record_limit + accept_bad
    made = {
        "normalize": lambda: _normalize(settings, topic, limit, telemetry),
        "assemble": lambda: _assemble(settings, topic, limit, telemetry),
        "tally": lambda: _tally(settings, topic, limit, telemetry),
    }
    return [made[agent]() for agent in AGENTS if agent in agents]


def _normalize(settings: Settings, topic: Names, limit: int, telemetry: Telemetry) -> Stage:
    rules = policy(settings)
    intakes = {source.topic: Intake(source, settings, rules) for source in settings.sources}
    clock_error_ms = {source.topic: source.clock_error_s * 1000 for source in settings.sources}
    return Stage(
        name="normalize",
        topics=tuple(intakes),
        phase=0.06,  # right after the worker has looked for more, at each beat
        outputs=(topic.events, topic.dead_letters),
        open=lambda raw, partition, counts: NormalizeStep(
            intakes[raw], raw, partition, counts, topic, BadRun(limit, (raw, partition)), clock_error_ms[raw], telemetry
        ),
    )


def _assemble(settings: Settings, topic: Names, limit: int, telemetry: Telemetry) -> Stage:
    rules = policy(settings)
    origins = frozenset(source.topic for source in settings.sources)
    clock_error_ms = max(source.clock_error_s for source in settings.sources) * 1000
    return Stage(
        name="assemble",
        topics=(topic.events,),
        changelog=topic.assemble_changelog,
        phase=0.3,  # by then, what normalize has written at its beat is here
        outputs=(topic.events, topic.legs, topic.results, topic.partials, topic.late, topic.dead_letters),
        open=lambda _, partition, counts: AssembleStep(
            partition, counts, topic, rules, origins, BadRun(limit, (topic.events, partition)), clock_error_ms, telemetry
        ),
    )


def _tally(settings: Settings, topic: Names, limit: int, telemetry: Telemetry) -> Stage:
    rules = policy(settings)
    return Stage(
        name="tally",
        topics=(topic.partials,),
        changelog=topic.tally_changelog,
        lingers=5.0,  # a window's counts are no news within a quarter of a second
        phase=0.1,  # between the beats of the others, whom it would hold up
        outputs=(topic.events, topic.tallies, topic.tallies_agents, topic.audit, topic.late, topic.dead_letters),
        open=lambda _, partition, counts: TallyStep(partition, counts, topic, rules, BadRun(limit, (topic.partials, partition)), telemetry),
    )


def engine_settings(settings: Settings, *, web_port: int | None, number: int = 1) -> EngineSettings:
    """Return what the engine of the worker with this number is told of an operator's settings."""
    engine = settings.engine
    return EngineSettings(
        bootstrap=settings.bootstrap,
        app_id=settings.app_id,
        instance_id=engine.instance_id.replace(NUMBER, str(number)) or None,
        security=security(settings.security),
        chunk_records=engine.chunk_records,
        linger_s=engine.linger_s,
        tick_s=engine.tick_s,
        session_timeout_s=engine.session_timeout_s,
        transaction_timeout_s=engine.transaction_timeout_s,
        web_host=engine.web_host,
        web_port=web_port,
    )


def run_worker(
    settings: Settings, agents: Collection[str], *, web_port: int | None, number: int = 1, accept_bad: int = 0, parent: int | None = None
) -> int:
    """Run a worker in this process until it is told to stop, or its parent is gone. Return its exit code."""
    log.info("core.chosen", form=core_form())
    telemetry = Telemetry()
    engine = engine_settings(settings, web_port=web_port, number=number)
    app = build(engine, stages(settings, agents, telemetry, accept_bad=accept_bad), telemetry)
    return run(app, routes(app, telemetry), parent=parent)


def routes(app: App, telemetry: Telemetry) -> dict[str, Route]:
    """Return the worker's own pages: /livez, /readyz, /status, /metrics."""
    gauges = Gauges(app.engine, app.watch)
    telemetry.registry.register(gauges)

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")  # that it comes at all says that the event loop turns

    async def readyz(_: web.Request) -> web.Response:
        trouble = app.watch.trouble()
        return web.Response(text="ok\n" if trouble is None else f"not ready: {trouble}\n", status=200 if trouble is None else 503)

    async def status(_: web.Request) -> web.Response:
        await gauges.refresh()
        return web.Response(body=msgspec.json.encode(gauges.status()), content_type="application/json")

    async def metrics(_: web.Request) -> web.Response:
        await gauges.refresh()
        return web.Response(body=telemetry.exposition(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    return {"/livez": livez, "/readyz": readyz, "/status": status, "/metrics": metrics}
