"""The image and the compose file do what the README says: events in, verdicts out, a clean stop, and on again with the kept volume."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from pipeline.core.model import LegEvent, Policy, Result
from pipeline.errors import BadRecord
from pipeline.vendors import VENDORS
from tests.house.tree import ROOT
from tests.support.compose import Stack, wait_until
from tests.support.oracle import judge

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

RECORDING = "s01_ringall_one_answers.events.lite.jsonl.gz"
IMAGE = "callverdict:0.1.0"
Verdicts = Counter[tuple[str | None, str | None, str | None]]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    one = Stack(file=ROOT / "docker-compose.yml")
    try:
        one.compose("build")
        yield one
    finally:
        one.compose("--profile", "demo", "down", "--volumes", "--timeout", "20")


def expected() -> Verdicts:
    """How many legs get which verdict, by the independent recount; ids and times, which the player changes, play no part."""
    parse = VENDORS["freeswitch-esl"].parse
    lines = gzip.decompress((ROOT / "tests/recordings/freeswitch" / RECORDING).read_bytes()).splitlines()
    events: list[LegEvent] = []
    for line in lines:
        try:
            events += parse(line)
        except BadRecord:
            continue
    legs = judge(events, Policy(), until_ms=None).legs
    return Counter((leg.result, leg.reason, leg.rule) for leg in legs.values())


async def rows(bootstrap: str, topic: str) -> dict[bytes, dict[str, Any]]:
    """The last committed value of every key."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        found: dict[bytes, dict[str, Any]] = {}
        while batches := await consumer.getmany(timeout_ms=2_000):
            found |= {one.key: json.loads(one.value) for records in batches.values() for one in records if one.value is not None}
        return found
    finally:
        await consumer.stop()


def final_verdicts(stack: Stack) -> Verdicts:
    legs = asyncio.run(rows(stack.bootstrap, "calls.legs")).values()
    return Counter((leg["result"], leg["reason"], leg["rule"]) for leg in legs if leg["final"] and not leg["is_deleted"])


def play(stack: Stack) -> None:
    stack.compose(
        "run", "--rm", "-T", "player", "play", f"/app/recordings/{RECORDING}", "--topic", "calls.raw.freeswitch-esl", "--speed", "max"
    )


def await_verdicts(stack: Stack, verdicts: Verdicts) -> None:
    try:
        wait_until(lambda: final_verdicts(stack) == verdicts, what="every leg of the recording has its final verdict", wait_s=120)
    except TimeoutError:
        assert final_verdicts(stack) == verdicts, stack.logs("worker")[-3000:]


def test_the_image_is_small_and_runs_as_nobody_special(stack: Stack) -> None:
    assert stack.project
    formats = "{{.Size}} {{.Config.User}} {{json .Config.Healthcheck.Test}}"
    inspected = [
        subprocess.run(["docker", "image", "inspect", "--format", what, image], capture_output=True, text=True, check=True).stdout.strip()
        for image, what in ((IMAGE, formats), ("python:3.11-slim", "{{.Size}}"))
    ]
    size, user, health = inspected[0].split(" ", 2)
    assert int(size) - int(inspected[1]) < 120_000_000
    assert user == "callverdict"
    assert "/livez" in health


def test_events_come_out_as_verdicts_before_and_after_a_restart(stack: Stack) -> None:
    once = expected()
    assert once[Result.LOSE_RACE, "lost_race", "L1"] > 100
    stack.compose("up", "--detach", "worker")
    wait_until(lambda: stack.health("worker") == "healthy", what="the worker is healthy")
    wait_until(lambda: stack.answers("/readyz"), what="the worker is ready")
    assert stack.state("topics")["ExitCode"] == 0
    play(stack)
    await_verdicts(stack, once)

    stack.compose("stop", "worker")
    assert stack.state("worker")["ExitCode"] == 0, stack.logs("worker")[-3000:]

    stack.compose("down", "--timeout", "20")
    stack.compose("up", "--detach", "worker")
    wait_until(lambda: stack.answers("/readyz"), what="the worker is ready again")
    assert final_verdicts(stack) == once
    play(stack)
    await_verdicts(stack, once + once)


def test_the_demo_profile_plays(stack: Stack) -> None:
    before = len(asyncio.run(rows(stack.bootstrap, "calls.legs")))
    stack.compose("--profile", "demo", "up", "--detach", "player")
    wait_until(lambda: stack.state("player")["Status"] in {"running", "exited"}, what="the player plays")
    assert stack.state("player")["ExitCode"] == 0, stack.logs("player")[-3000:]
    wait_until(lambda: len(asyncio.run(rows(stack.bootstrap, "calls.legs"))) > before, what="legs of the demo come out")
    stack.compose("--profile", "demo", "stop", "--timeout", "5", "player")
