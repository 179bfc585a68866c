"""`callverdict worker` with fault points that can be armed, and a page that tells its state: `python -m tests.chaos.worker FAULT ARGUMENTS`.

FAULT is `-`, or a point and a stage at which the process kills itself, such as `while_restoring:assemble`. The rest is the worker's own
command line. GET /arm/after_send:tally arms one later, GET /state says what is in memory.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import Any
from unittest.mock import patch

import msgspec
from aiohttp import web

from pipeline.app import worker
from pipeline.app.telemetry import Telemetry
from pipeline.cli.main import main
from pipeline.engine.observer import FaultPoint
from pipeline.engine.step import Stage
from pipeline.engine.worker import App
from pipeline.engine.worker import build as own_build
from tests.chaos.memory import digest_of_step

own_routes = worker.routes


class Faults:
    """Kills the process where it is told to."""

    def __init__(self, armed: str) -> None:
        self.armed = armed
        self._stage_of: dict[str, str] = {}

    def know(self, stages: list[Stage]) -> None:
        self._stage_of = {topic: stage.name for stage in stages for topic in stage.topics}

    async def __call__(self, point: FaultPoint, topic: str, _partition: int) -> None:
        if self.armed == f"{point}:{self._stage_of[topic]}":
            os.kill(os.getpid(), signal.SIGKILL)


def build(faults: Faults, settings: Any, stages: list[Stage], observer: Any) -> App:
    faults.know(stages)
    return own_build(settings, stages, observer, fault=faults)


def routes(faults: Faults, app: App, telemetry: Telemetry, *more: Any) -> dict[str, Any]:
    async def arm(request: web.Request) -> web.Response:
        faults.armed = request.match_info["fault"]
        return web.Response(text="armed\n")

    async def state(_: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(memory(app)), content_type="application/json")

    return {**own_routes(app, telemetry, *more), "/arm/{fault}": arm, "/state": state}


def memory(app: App) -> dict[str, str]:
    """`topic/partition` -> digest, of the partitions that keep state and run."""
    running = {place: partition for place, partition in app.engine._partitions.items() if partition.running}
    digests = {f"{place.topic}/{place.partition}": digest_of_step(partition._step) for place, partition in running.items()}
    return {place: digest for place, digest in digests.items() if digest is not None}


def run() -> None:
    faults = Faults(sys.argv.pop(1))
    with patch.object(worker, "build", partial(build, faults)), patch.object(worker, "routes", partial(routes, faults)):
        main()


if __name__ == "__main__":
    run()
