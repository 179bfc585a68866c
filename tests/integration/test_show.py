"""`callverdict show` on a real topic with transactions' holes in it, and each kind of record as a person reads it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from pipeline.workbench.tail import Seen, line
from tests.integration.conftest import Install
from tests.integration.installation import Installation, source

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"
AT_MS = 1_795_449_900_123
HEADERS = {"source-topic": b"calls.raw.x", "source-partition": b"1", "source-offset": b"55", "reason": b"not_json", "message": b"send JSON"}


def example(name: str, **changed: Any) -> bytes:
    return json.dumps({**json.loads((EXAMPLES / f"{name}.json").read_text()), **changed}).encode()


def seen(value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> Seen:
    return Seen(AT_MS, "t", 0, 7, b"acme|ann", value, headers)


@pytest.mark.parametrize(
    ("what", "name", "expected"),
    [
        ("legs", "calls.legs.winner", "Answered   answered, A1; final, revision 5  agent=bob queue=support leg=bob call=ann"),
        ("legs", "calls.legs.withdrawn", "withdrawn  revision"),
        ("results", "calls.results.answered", "Answered   connected, K1, waited 5.980 s; final, revision"),
        (
            "tallies",
            "calls.tallies.final",
            "support, activity, 60 s from 2026-11-23 16:05:00: calls 1 = 1 answered; legs 3 = 1 answered + 1 lose-race + 1 busy; final",
        ),
        ("agents", "calls.tallies.agents.final", "bob, cohort, 86400 s from 2026-11-23 00:00:00: legs 1 = 1 answered; final, revision"),
        (
            "audit",
            "calls.audit.late-leg",
            "late_leg  support, cohort, 60 s from 2026-11-23 16:05:00: legs_offered +1, legs_pending +1  leg=dan call=ann",
        ),
        ("late", "calls.late.call-closed", "call_closed, "),
    ],
)
def test_a_row_is_a_line(what: str, name: str, expected: str) -> None:
    told = line(seen(example(name)), what)
    assert "\n" not in told
    assert told.startswith("2026-11-23 16:05:00.123 ")
    assert expected in told


def test_what_has_no_value_and_what_could_not_be_read() -> None:
    assert line(seen(None), "results").endswith(" gone: acme|ann")
    assert line(seen(b"\x80", list(HEADERS.items())), "dead-letters").endswith(" not_json  calls.raw.x/1 at 55: send JSON")


async def written(installation: Installation, numbers: range) -> None:
    """One call in each transaction."""
    async with AIOKafkaProducer(
        bootstrap_servers=installation.settings.bootstrap, transactional_id=installation.settings.app_id
    ) as producer:
        for number in numbers:
            async with producer.transaction():
                value = example("calls.results.answered", call_id=f"call-{number}")
                await producer.send_and_wait(installation.topics.results, value, key=f"acme|call-{number}".encode(), partition=number % 2)


def calls(out: str) -> list[str]:
    return [found.rpartition("call=")[2] for found in out.splitlines()]


def following(installation: Installation) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli.main", "show", "results", "--last", "1", "--follow"],
        cwd=installation.folder, env={**installation.environ, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads; background jobs of a shell ignore it
    )  # fmt: skip


@pytest.mark.kafka
async def test_the_last_records_in_order_and_those_that_come(install: Install) -> None:
    installation = install(source("canonical"), partitions=2)
    missing = installation.command("show", "results")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "is missing: make it with `callverdict topics create`" in missing.stderr
    await installation.create()
    assert installation.command("show", "results").stdout == ""
    await written(installation, range(60))
    assert calls(installation.command("show", "results", "--last", "40").stdout) == [f"call-{number}" for number in range(20, 60)]
    assert calls(installation.command("show", "results", "--find", "call-3").stdout) == [f"call-{number}" for number in (3, *range(30, 40))]
    rows = installation.command("show", "results", "--json", "--last", "1").stdout
    assert json.loads(rows)["call_id"] == "call-59"

    with following(installation) as follower:
        assert follower.stdout is not None
        assert follower.stderr is not None
        try:
            assert "call=call-59" in follower.stdout.readline()
            await written(installation, range(60, 62))
            assert calls(follower.stdout.readline() + follower.stdout.readline()) == ["call-60", "call-61"]
            follower.send_signal(signal.SIGINT)
            assert follower.stderr.read() == ""
            assert follower.wait(20) == 0
        finally:
            follower.kill()
