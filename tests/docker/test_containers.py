"""Kafka's own image under testcontainers is as good a broker for the tests as the one on this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from pipeline.workbench.runtime import LocalKafkaError
from tests.house.tree import ROOT
from tests.support.broker import NAMED, broker

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

INTEGRATION = ("tests/engine/test_exactly_once.py", "tests/integration", "tests/workbench/test_kafka.py::test_it_keeps_transactions")


@pytest.fixture
def no_local_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Java, where nobody named a broker."""

    def no_java(_: object) -> None:
        raise LocalKafkaError("no Java 17 or newer")

    monkeypatch.delenv(NAMED, raising=False)
    monkeypatch.setattr("tests.support.broker.LocalKafka.__enter__", no_java)


@pytest.mark.usefixtures("no_local_broker")
def test_a_container_passes_the_integration_tests() -> None:
    there = [name for name in INTEGRATION if (ROOT / name.partition("::")[0]).exists()]
    with broker() as running:
        assert running.kind == "container"
        environment = {**os.environ, NAMED: running.bootstrap}
        command = [sys.executable, "-m", "pytest", "-q", "-m", "kafka", *there]
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-4000:]
    assert re.search(r"^\d+ passed", run.stdout, re.MULTILINE)
    assert "skipped" not in run.stdout
