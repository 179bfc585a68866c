"""The worker's small web server: liveness, readiness, status and metrics as the caller defines them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from aiohttp import web
from mode import Service

from pipeline.engine.ending import Exit, end_process, log

Route: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
SHUTDOWN_S = 1.0


class Web(Service):
    """Answers from before Kafka is touched until the process ends."""

    def __init__(self, host: str, port: int, routes: Mapping[str, Route]) -> None:
        super().__init__()
        self._host = host
        self._port = port
        self._routes = routes
        self._runner: web.AppRunner | None = None

    async def on_start(self) -> None:
        app = web.Application()
        app.add_routes([web.get(path, handler) for path, handler in self._routes.items()])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            end_process(Exit.SETUP, "web.unavailable", port=self._port, error=str(error), advice="choose another web port")
        log.info("web.started", host=self._host, port=self._port)

    async def on_stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
