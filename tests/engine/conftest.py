"""Fixtures of the engine's tests: an application with its own topics, and workers that end with the test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.engine.job import FaultPlan, Plan
from tests.engine.processes import WorkerProcess
from tests.engine.view import View
from tests.support.broker import Broker

StartWorker: TypeAlias = Callable[..., WorkerProcess]


@pytest.fixture
def view(kafka: Broker, topic_prefix: str) -> View:
    return View(kafka.bootstrap, topic_prefix.rstrip("."))


@pytest.fixture
def start(view: View, tmp_path: Path) -> Iterator[StartWorker]:
    """`start(fault, ..., copy_too=..., **settings)` starts a worker process of the view's application."""
    started: list[WorkerProcess] = []
    number = itertools.count()

    def start_worker(*faults: FaultPlan, copy_too: bool = False, **settings: Any) -> WorkerProcess:
        plan = Plan(
            app_id=view.app_id, bootstrap=view.bootstrap, faults=faults, copy_too=copy_too, settings={"session_timeout_s": 6.0, **settings}
        )
        started.append(WorkerProcess(plan, tmp_path / f"worker-{next(number)}.log"))
        return started[-1]

    try:
        yield start_worker
    finally:
        for worker in started:
            worker.kill()
