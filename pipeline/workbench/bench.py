"""What the pipeline costs, measured through a real Kafka and checked against the load's own plan.

    for row in rows(Plan(...), say): ...
    markdown(rows, ...)

Counted is the CPU time of the one process that is measured, user and system, so that what else the machine does matters less; it runs
on a core of its own, Kafka and the bench on the others. The input stands in the topic before the worker starts; its first tenth is
for warming up and does not count.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipeline.app import broker
from pipeline.app.lag import inputs, lag
from pipeline.app.topics import topics
from pipeline.core.model import Result
from pipeline.settings import Settings, load
from pipeline.settings.reading import FILE_NAME, PREFIX
from pipeline.workbench import latency, loading
from pipeline.workbench.gauge import GaugeError, MeasuredWorker, Span, Used, Watch, check, cores, machine, placed, span
from pipeline.workbench.kafka import LocalKafka
from pipeline.workbench.programme import recordings
from pipeline.workbench.recording import own_id, records
from pipeline.workbench.retelling import renamer
from pipeline.workbench.ringall import EVENTS_PER_CALL, Load, stream

RECORDING = "s06_callcenter.events.jsonl.gz"
WARM = 0.1
RATE = 500.0
LATENCY_S = 20.0
WORK_S = 900.0

Say = Callable[[str], None]


class Plan(NamedTuple):
    """`events`: canonical events of the big rows; the others take their share. Without a bootstrap a Kafka of its own is started."""

    events: int = 500_000
    bootstrap: str | None = None
    recordings: Path | None = None
    latency_s: float = LATENCY_S


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measurement. `events_per_s` is by the clock, `cpu_us_per_event` by the process's CPU; latencies are in ms."""

    name: str
    what: str
    events: int
    goal: str = ""
    events_per_s: float | None = None
    cpu_us_per_event: float | None = None
    events_per_cpu_s: float | None = None
    peak_mb: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    worst_ms: float | None = None
    checked: str = ""


def rows(plan: Plan, say: Say) -> Iterator[Row]:
    """Measure one after the other. Raises GaugeError where nothing can be measured or an output is not what was planned."""
    check()
    recording = recordings(plan.recordings) / RECORDING
    *others, own = cores()
    with ExitStack() as stack:
        bootstrap = plan.bootstrap
        if bootstrap is None:
            say("starting Kafka")
            with placed(others or [own]):
                bootstrap = stack.enter_context(LocalKafka()).bootstrap
        for measure in (assembled_and_tallied, assembled, normalized, answered):
            with site(bootstrap) as here:
                yield measure(plan, here, recording, own, say)
        yield replayed(plan, recording, own, say)


class Site(NamedTuple):
    """Topics and settings of one measurement."""

    folder: Path
    settings: Settings


@contextmanager
def site(bootstrap: str) -> Iterator[Site]:
    """An installation of its own, whose topics are removed afterwards."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory(prefix="callverdict-bench-") as folder:
        text = f'bootstrap = "{bootstrap}"\napp_id = "{name}"\n[topics]\ntopic_prefix = "{name}."\n'
        text += "".join(f'[[sources]]\nvendor = "{vendor}"\nclock_error_s = 31622400\n' for vendor in ("canonical", "freeswitch-esl"))
        Path(folder, FILE_NAME).write_text(text, encoding="utf-8")
        settings = load({}, directory=Path(folder))
        asyncio.run(broker.create(bootstrap, topics(settings)))
        try:
            yield Site(Path(folder), settings)
        finally:
            asyncio.run(_remove(settings))


async def _remove(settings: Settings) -> None:
    async with broker.admin(settings.bootstrap) as client:
        await client.delete_topics([topic.name for topic in topics(settings)])


# The rows.


def assembled_and_tallied(plan: Plan, here: Site, recording: Path, own: int, say: Say) -> Row:  # noqa: ARG001 - rows are called alike
    return _assembled(plan, here, own, say, "assemble,tally", "assemble and tally", "at most 20 us per event")


def assembled(plan: Plan, here: Site, recording: Path, own: int, say: Say) -> Row:  # noqa: ARG001
    return _assembled(plan, here, own, say, "assemble", "assemble alone", "")


def _assembled(plan: Plan, here: Site, own: int, say: Say, agents: str, name: str, goal: str) -> Row:
    origin = f"{here.settings.sources[0].topic}/0"
    results: dict[str, Result] = {}
    calls = -(-plan.events // EVENTS_PER_CALL)
    say(f"{name}: writing {plan.events} events")
    events = asyncio.run(loading.load_events(here.settings, stream(Load(calls, begin_ms=_now_ms(), origin=origin), results)))
    say(f"{name}: measuring")
    worked, usage, taken = _worked(here, agents, own, "assemble")
    _compare(asyncio.run(loading.leg_results(here.settings)), results)
    checked = f"the results of all {len(results)} legs"
    if "tally" in agents:
        offered = len(results) - calls
        if (told := asyncio.run(loading.legs_tallied(here.settings))) != offered:
            raise GaugeError(f"the tallies count {told} offered legs, {offered} were planned: this is a mistake of ours, please report it")
        checked += ", and the tallies"
    share = events / taken  # of the records, links and watermarks among them
    return _row(name, "canonical events of ring-all calls of six legs, 200 open at once", events, worked, usage, share, goal, checked)


def normalized(plan: Plan, here: Site, recording: Path, own: int, say: Say) -> Row:
    raw = list(records(recording))
    copies = max(2, plan.events // 5 // len(raw))
    say(f"normalize: writing {copies} times {len(raw)} records")
    source = here.settings.sources[1]
    settings = here.settings.model_copy(update={"sources": (source,)})
    total = asyncio.run(loading.load_raw(settings, ((own_id(record), record) for record in _copies(raw, copies))))
    say("normalize: measuring")
    worked, usage, _ = _worked(here, "normalize", own, "normalize")
    events, letters = asyncio.run(loading.count_events(settings)), asyncio.run(loading.count_dead_letters(settings))
    if letters or events % copies:
        raise GaugeError(f"{copies} copies gave {events} events and {letters} dead letters: this is a mistake of ours, please report it")
    size = sum(map(len, raw)) / len(raw)
    what = f"events of a real FreeSWITCH, {size:.0f} bytes on average, to {events / total:.2f} canonical events each"
    return _row("normalize", what, total, worked, usage, 1.0, "", f"{events} canonical events, as many from each copy")


def answered(plan: Plan, here: Site, recording: Path, own: int, say: Say) -> Row:  # noqa: ARG001
    results: dict[str, Result] = {}
    count = int(plan.latency_s * RATE)
    calls = count // EVENTS_PER_CALL
    events = list(stream(Load(calls, begin_ms=_now_ms() - 600_000), results))
    say(f"latency: sending {len(events)} events at {RATE:.0f} a second")
    with MeasuredWorker(here.folder, "normalize,assemble,tally", own) as worker:
        worker.await_ready()
        before = worker.used()
        found = asyncio.run(latency.measure(here.settings, events, results, rate=RATE, warm=WARM))
        usage = worker.used()
    return Row(
        name="latency",
        what=f"canonical events into a raw topic at {RATE:.0f} a second, all three agents, until a reader has the verdict",
        events=len(events),
        goal="p99 under 300 ms",
        events_per_s=round(len(events) / found.seconds, 1),
        cpu_us_per_event=round((usage.cpu_s - before.cpu_s) / len(events) * 1e6, 1),
        peak_mb=_mb(usage),
        p50_ms=round(found.p50_ms, 1),
        p99_ms=round(found.p99_ms, 1),
        worst_ms=round(found.worst_ms, 1),
        checked=f"{found.verdicts} verdicts came; the producer was {found.behind_ms:.0f} ms late at worst",
    )


def replayed(plan: Plan, recording: Path, own: int, say: Say) -> Row:
    raw = list(records(recording))
    copies = max(2, plan.events // 5 // len(raw))
    say(f"replay: {copies} times {len(raw)} records")
    with tempfile.TemporaryDirectory(prefix="callverdict-bench-") as folder:
        path, out = Path(folder, "load.jsonl"), Path(folder, "legs.jsonl")
        with path.open("wb") as file:
            file.writelines(record + b"\n" for record in _copies(raw, copies))
        command = [sys.executable, "-m", "pipeline.cli.main", "replay", str(path), "--source", "freeswitch-esl", "--out", str(out)]
        environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        begin_s = time.monotonic()
        with placed([own]):
            process = subprocess.Popen(
                [*command, "--no-progress"], env=environ, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        _, status, spent = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begin_s
        if process.returncode:
            raise GaugeError(f"`callverdict replay` ended with exit code {process.returncode}: run it by hand to see why")
        legs = Counter(json.loads(line)["result"] for line in out.read_bytes().splitlines())
    if wrong := [result for result, times in legs.items() if result and times % copies]:
        raise GaugeError(f"copies of a recording got different results ({', '.join(wrong)}): this is a mistake of ours, please report it")
    total, cpu_s = copies * len(raw), spent.ru_utime + spent.ru_stime
    return Row(
        name="replay",
        what="events of a real FreeSWITCH from a plain file, start and output included",
        events=total,
        goal="at least 15,000 events per CPU second",
        events_per_s=round(total / seconds, 0),
        cpu_us_per_event=round(cpu_s / total * 1e6, 1),
        events_per_cpu_s=round(total / cpu_s, 0),
        peak_mb=round(spent.ru_maxrss / 1024, 0),
        checked=f"the results of {sum(legs.values())} legs, the same in each copy",
    )


# How a row is made.


def _worked(here: Site, agents: str, own: int, stage: str) -> tuple[Span, Used, int]:
    """Run a worker over what stands in the topics. Return what it took from warm to done, its use, and how many records it took in all."""
    with MeasuredWorker(here.folder, agents, own) as worker, Watch(worker) as watch:
        worker.await_ready()
        until_s = time.monotonic() + WORK_S
        while not (watch.is_quiet(agents.split(",")) and asyncio.run(_behind(here.settings, agents)) == 0):
            worker.page("/livez")
            if time.monotonic() > until_s:
                raise GaugeError(f"the worker did not come to the end of its input within {WORK_S:.0f} s: give fewer --events")
            time.sleep(0.5)
        usage = worker.used()
    return span(watch.samples, stage, warm=WARM), usage, watch.samples[-1].records[stage]


async def _behind(settings: Settings, agents: str) -> int:
    raw, events, partials = settings.sources, *inputs(settings)[-2:]
    read = {"normalize": [source.topic for source in raw], "assemble": [events], "tally": [partials]}
    rows = await lag(settings.bootstrap, settings.app_id, [topic for agent in agents.split(",") for topic in read[agent]], now_ms=0)
    return sum(row.records for row in rows)


def _row(name: str, what: str, events: int, worked: Span, usage: Used, share: float, goal: str, checked: str) -> Row:
    measured = worked.records * share
    return Row(
        name=name,
        what=what,
        events=events,
        goal=goal,
        events_per_s=round(measured / worked.seconds, 0),
        cpu_us_per_event=round(worked.cpu_s / measured * 1e6, 1),
        events_per_cpu_s=round(measured / worked.cpu_s, 0),
        peak_mb=_mb(usage),
        checked=checked,
    )


def _mb(usage: Used) -> float:
    return round(usage.peak_bytes / 2**20, 0)


def _compare(told: dict[str, Result | None], planned: dict[str, Result]) -> None:
    if told != planned:
        wrong = [leg_id for leg_id in planned if told.get(leg_id) != planned[leg_id]]
        raise GaugeError(
            f"{len(wrong)} of {len(planned)} legs have another result than planned, {len(told)} have one: this is a mistake of ours, please report it"
        )


def _copies(raw: Sequence[bytes], copies: int) -> Iterator[bytes]:
    """The recording so many times, each time with ids of its own."""
    for number in range(copies):
        yield from map(renamer(f"copy {number}"), raw)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


# What is shown.

COLUMNS = ("measured", "events", "events/s", "CPU us/event", "events per CPU s", "p50 ms", "p99 ms", "peak MB", "goal")


def markdown(measured: Sequence[Row]) -> str:
    """Return the rows as a table, with what was measured and checked below it."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * (len(COLUMNS) - 2) + "---|"]
    for row in measured:
        numbers = (row.events_per_s, row.cpu_us_per_event, row.events_per_cpu_s, row.p50_ms, row.p99_ms, row.peak_mb)
        lines.append("| " + " | ".join([row.name, f"{row.events:,}", *map(shown, numbers), row.goal or "-"]) + " |")
    lines += ["", *(f"* {row.name}: {row.what}. Checked: {row.checked}." for row in measured)]
    return "\n".join(lines)


def shown(number: float | None) -> str:
    if number is None:
        return "-"
    return f"{number:,.0f}" if number >= 1000 or number == int(number) else f"{number:.1f}"


def surroundings(settings: Settings, bootstrap: str | None) -> dict[str, str]:
    """Return the machine and the settings that matter, in words."""
    engine = settings.engine
    return {
        "machine": machine(),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "kafka": f"the one at {bootstrap}"
        if bootstrap
        else "one broker of its own on this machine, not on the worker's core where there is another",
        "settings": f"{settings.topics.partitions} partitions, chunks of {engine.chunk_records} records, linger {engine.linger_s} s, exactly once",
    }
