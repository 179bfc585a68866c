"""The demo shows what is true: its last table is what a recount of the recordings gives; it ends as it says and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.app import broker as brokers
from pipeline.core.model import LegEvent, Policy
from pipeline.vendors import VENDORS
from pipeline.workbench import programme
from pipeline.workbench.board import CELLS, FIELDS, OFFERED
from pipeline.workbench.programme import PARTS
from pipeline.workbench.recording import records
from tests.support.broker import Broker
from tests.support.oracle import judge

RECORDINGS = Path(__file__).parents[1] / "recordings" / "freeswitch"
pytestmark = [pytest.mark.kafka, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]
PROGRAM = [sys.executable, "-m", "pipeline.cli.main", "demo"]
INTERRUPTED = "callverdict: interrupted: everything that was started has been stopped\n"
SHOWN = FIELDS


def environment(folder: Path) -> dict[str, str]:
    """Ours without settings; what the demo starts can be told by its folder for temporary files."""
    rest = {name: value for name, value in os.environ.items() if not name.startswith("CALLVERDICT_") or name == "CALLVERDICT_CACHE"}
    return rest | {"TMPDIR": str(folder), "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"}


def processes_of(folder: Path) -> dict[int, str]:
    """Number and command line of the processes that were started with this folder for temporary files."""
    return {int(pid.name): line for pid in Path("/proc").iterdir() if pid.name.isdigit() and (line := _line_of(pid, folder))}


def one(folder: Path, word: str) -> int:
    """The only one of these processes whose command line has this word."""
    (number,) = (number for number, line in processes_of(folder).items() if word in line)
    return number


def assert_nothing_is_left(folder: Path) -> None:
    assert (processes_of(folder), list(folder.iterdir())) == ({}, [])


def _line_of(pid: Path, folder: Path) -> str:
    try:
        ours = f"TMPDIR={folder}\0".encode() in (pid / "environ").read_bytes() + b"\0"
        return (pid / "cmdline").read_text().replace("\0", " ").strip() if ours else ""
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""


def recount() -> dict[str, Counter[str]]:
    """Queue, as the board shows its name, -> what the oracle counts over all recordings that are played, as the board adds it up."""
    counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for part in PARTS:
        events = tuple(event for record in records(RECORDINGS / part.file) for event in VENDORS["freeswitch-esl"].parse(record))
        for key, tally in judge(events, Policy(queue_of_number=_named(part.queue, events)), until_ms=None).tallies.items():
            if (key.kind, key.attribution, key.size_ms) == ("queue", "cohort", 60_000):
                counted[key.name.partition("@")[0]] += _shown(tally.counts)
    return dict(counted)


def _named(queue: str | None, events: tuple[LegEvent, ...]) -> dict[str, str]:
    return {event.dialed: queue for event in events if event.dialed} if queue else {}


def _shown(counts: Mapping[str, int]) -> Counter[str]:
    added = {column.fields[0]: sum(counts.get(field, 0) for field in column.fields) for column in CELLS}
    return Counter(added | {field: counts.get(field, 0) for field in OFFERED})


def rows_of(output: str) -> Iterator[tuple[str, dict[str, int]]]:
    """The lines of the board: a name and one number for each column, a dot for none."""
    for line in output.splitlines():
        words = line.split()
        numbers = words[-len(SHOWN) :]
        if len(words) > len(SHOWN) and all(re.fullmatch(r"\d+|·", word) for word in numbers):
            yield " ".join(words[: -len(SHOWN)]), dict(zip(SHOWN, (0 if word == "·" else int(word) for word in numbers), strict=True))


async def topics_of(bootstrap: str) -> list[str]:
    async with brokers.admin(bootstrap) as client:
        return sorted(await brokers.described(client))


def test_the_last_table_is_what_a_recount_gives(kafka: Broker, tmp_path: Path) -> None:
    arguments = ["--no-progress", "--speed", "20", "--bootstrap", kafka.bootstrap]
    done = subprocess.run([*PROGRAM, *arguments], env=environment(tmp_path), capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    board = dict(rows_of(done.stdout))
    total = board.pop("all queues")
    expected = recount()
    assert board == {queue: {field: counts[field] for field in SHOWN} for queue, counts in expected.items()}
    assert total == {field: sum(counts[field] for counts in expected.values()) for field in SHOWN}
    assert [field for field in SHOWN if not total[field]] == ["calls_pending", "calls_outside_working_hours", "legs_pending"]
    offered = {unit: sum(counts[f"{unit}_offered"] for counts in expected.values()) for unit in ("legs", "calls")}
    assert f"Everything offered has one result: {offered['legs']:,} legs, {offered['calls']:,} calls; nothing is open." in done.stdout
    assert "The lag is 0 records in 10 partitions of 5 topics, 0 dead letters" in done.stdout.replace("\n", " ")
    assert re.search(r"^\* \d+ .*Answered", done.stdout, re.MULTILINE)
    assert re.search(r"Lose-race\s+\+\d+ ms", done.stdout)
    dialed = {number for numbers in programme.queues(RECORDINGS).values() for number in numbers}
    assert not dialed & set(re.findall(r"\d+", done.stdout))
    assert [name for name in asyncio.run(topics_of(kafka.bootstrap)) if name.startswith("demo-")] == []
    assert_nothing_is_left(tmp_path)


@contextmanager
def begun(folder: Path, *arguments: str, until: str) -> Iterator[subprocess.Popen[str]]:
    """A demo that has just printed a line with these words."""
    command = [*PROGRAM, "--no-progress", *arguments]
    with subprocess.Popen(command, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout
        assert any(until in line for line in demo.stdout)
        yield demo


def test_interrupted_it_stops_its_kafka_and_its_worker(tmp_path: Path) -> None:
    with begun(tmp_path, until="playing") as demo:
        assert one(tmp_path, "kafka.Kafka")
        assert one(tmp_path, "worker --number")
        demo.send_signal(signal.SIGINT)
        _, error = demo.communicate(timeout=60)
    assert (demo.returncode, error) == (130, INTERRUPTED)
    assert_nothing_is_left(tmp_path)


def test_terminated_it_takes_its_topics_away(kafka: Broker, tmp_path: Path) -> None:
    with begun(tmp_path, "--bootstrap", kafka.bootstrap, until="14 topics, all named demo-") as demo:
        demo.send_signal(signal.SIGTERM)
        _, error = demo.communicate(timeout=60)
    assert (demo.returncode, error) == (130, INTERRUPTED)
    assert [name for name in asyncio.run(topics_of(kafka.bootstrap)) if name.startswith("demo-")] == []
    assert_nothing_is_left(tmp_path)


def test_a_dead_worker_is_one_sentence(kafka: Broker, tmp_path: Path) -> None:
    with begun(tmp_path, "--bootstrap", kafka.bootstrap, until="playing") as demo:
        os.kill(one(tmp_path, "worker --number"), signal.SIGKILL)
        _, error = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert re.fullmatch(r"callverdict: the worker ended by SIGKILL; its log says: .+\n", error)
    assert_nothing_is_left(tmp_path)
