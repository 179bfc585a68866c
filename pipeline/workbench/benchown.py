"""The pipeline's own rows: `assemble` alone and with `tally`, two workers, `normalize`, and the whole way."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

import msgspec

from pipeline.app.codec import encode
from pipeline.core.model import Result
from pipeline.workbench import loading
from pipeline.workbench.benchrow import Bench, Row, worked
from pipeline.workbench.following import Course, Job, follow
from pipeline.workbench.gauge import GaugeError, Measured, MeasuredWorker, placed
from pipeline.workbench.recording import own_id, own_time_us, records
from pipeline.workbench.retelling import renamer
from pipeline.workbench.ringall import AGENTS, EVENTS_PER_CALL, Load, stream
from pipeline.workbench.site import Site, now_ms, site

WARM = 0.1
FULL = ("s01_ringall_one_answers.events.jsonl.gz", "s06_callcenter.events.jsonl.gz")
"""The recordings with every event that the switch sent, not only those that a verdict needs."""
RING_ALL = "canonical events of ring-all calls of six legs, 200 open at once"
OURS = "this is a mistake of ours, please report it"
ALL = "normalize,assemble,tally"
SWITCH = re.compile(rb'"FreeSWITCH-(?:Switch|Host)name"\s*:\s*"')
RAW_SHARE = 5
"""Events of a switch are ten times as large: of them a fifth is enough."""


# Canonical events.


def assembled(bench: Bench) -> Row:
    return _assembled(bench, "assemble", f"`assemble` alone, {RING_ALL}")


def assembled_busily(bench: Bench) -> Row:
    what = f"`assemble` alone, {RING_ALL.replace('200', '1,000')}"
    return _assembled(bench, "open-1000", what, calls_per_s=25.0)


def assembled_and_tallied(bench: Bench) -> Row:
    return _assembled(bench, "assemble-tally", f"`assemble` and `tally`, {RING_ALL}", agents="assemble,tally")


def assembled_by_two(bench: Bench) -> Row:
    return _assembled(bench, "two-workers", f"`assemble` in two workers with two partitions each, {RING_ALL}", workers=2)


def _assembled(bench: Bench, name: str, what: str, *, agents: str = "assemble", workers: int = 1, calls_per_s: float = 5.0) -> Row:
    with site(bench.bootstrap) as here:
        events, results = ring_all(bench, here, bench.plan.events, calls_per_s=calls_per_s)
        inputs = [here.topics.events, *([here.topics.partials] if "tally" in agents else [])]
        with ExitStack() as stack:
            crew = [
                stack.enter_context(MeasuredWorker(here.folder, agents, core, number=number))
                for number, core in enumerate((bench.own, *bench.others)[:workers], 1)
            ]
            course = done(bench, here.job(here.topics.events, inputs, here.topics.legs), crew)
            row = worked(name, what, events, course, crew, warm=WARM * workers, checked="")
        told = checked(here, results)
        return msgspec.structs.replace(row, checked=f"{told}, and the tallies" if tallied(here, agents, results) else told)


def whole_way(bench: Bench) -> Row:
    results: dict[str, Result] = {}
    with site(bench.bootstrap) as here:
        load = ring_all_load(bench.plan.events)
        raw = ((event.leg_id.encode(), encode(event)) for event in stream(load, results))
        topic = here.settings.sources[0].topic
        events = asyncio.run(loading.load_raw(here.settings, topic, raw))
        row = _gone(bench, here, topic, "whole-way", f"all three agents in one process, from a raw topic, {RING_ALL}", events, now_ms())
        return msgspec.structs.replace(row, checked=checked(here, results))


def ring_all_load(events: int, *, calls_per_s: float = 5.0, origin: str = "") -> Load:
    """Return a load that ends about now."""
    calls = -(-events // EVENTS_PER_CALL)
    return Load(calls, begin_ms=now_ms() - int(calls / calls_per_s * 1000), origin=origin, calls_per_s=calls_per_s)


def ring_all(bench: Bench, here: Site, events: int, *, calls_per_s: float = 5.0) -> tuple[int, dict[str, Result]]:
    """Write ring-all calls and the end of all of them into calls.events. Return how many events, and leg -> planned result."""
    results: dict[str, Result] = {}
    load = ring_all_load(events, calls_per_s=calls_per_s, origin=f"{here.settings.sources[0].topic}/0")
    bench.say(f"  writing {events:,} events")

    async def write() -> int:
        total = await loading.load_events(here.settings, stream(load, results))
        await loading.settle(here.settings, now_ms())
        return total

    return asyncio.run(write()), results


def checked(here: Site, results: Mapping[str, Result]) -> str:
    """Compare calls.legs with the plan. Raises GaugeError."""
    told = asyncio.run(loading.leg_results(here.settings)).results
    if told != results:
        wrong = sum(told.get(leg_id) != result for leg_id, result in results.items())
        raise GaugeError(f"{wrong} of {len(results)} legs have another result than planned, {len(told)} have one: {OURS}")
    return f"the results of all {len(results):,} legs"


def tallied(here: Site, agents: str, results: Mapping[str, Result]) -> bool:
    """Return whether there are tallies; they count all agents' legs. Raises GaugeError."""
    if "tally" not in agents:
        return False
    offered = len(results) * AGENTS // (1 + AGENTS)
    if (told := asyncio.run(loading.legs_tallied(here.settings))) != offered:
        raise GaugeError(f"the tallies count {told} offered legs, {offered} were planned: {OURS}")
    return True


# Events of a real FreeSWITCH.


def normalized(bench: Bench) -> Row:
    raw = full_recordings(bench)
    with site(bench.bootstrap) as here:
        topic, events, copies = _copied(bench, here, raw)
        with MeasuredWorker(here.folder, "normalize", bench.own) as worker:
            course = done(bench, here.job(topic, [topic], here.topics.events), [worker])
            row = worked("normalize", f"`normalize` alone, {described(raw)}", events, course, [worker], warm=WARM, checked="")
        made, letters = asyncio.run(loading.count_events(here.settings)), asyncio.run(loading.count_dead_letters(here.settings))
    if letters or made % copies:
        raise GaugeError(f"{copies} copies gave {made} events and {letters} dead letters: {OURS}")
    return sized(row, raw, f"{made:,} canonical events, as many from each copy")


def whole_way_freeswitch(bench: Bench) -> Row:
    raw = full_recordings(bench)
    with site(bench.bootstrap) as here:
        topic, events, copies = _copied(bench, here, raw)
        latest_ms = max((own_time_us(record) or 0) // 1000 for record in raw)
        row = _gone(bench, here, topic, "whole-way-freeswitch", f"all three agents in one process, {described(raw)}", events, latest_ms)
        legs = Counter(asyncio.run(loading.leg_results(here.settings)).results.values())
    if not legs or any(times % copies for times in legs.values()):
        raise GaugeError(f"{copies} copies of the recordings got different results ({dict(legs)}): {OURS}")
    return sized(row, raw, f"the results of {legs.total():,} legs, the same in each copy")


def _gone(bench: Bench, here: Site, topic: str, name: str, what: str, events: int, latest_ms: int) -> Row:
    """Measure all agents from one raw topic to its end; the end of all calls, which comes then, does not count."""
    job = here.job(topic, [topic, here.topics.events, here.topics.partials], here.topics.legs)
    with MeasuredWorker(here.folder, ALL, bench.own) as worker:
        row = worked(name, what, events, done(bench, job, [worker]), [worker], warm=0.0, checked="")
        asyncio.run(loading.settle(here.settings, latest_ms))
        done(bench, job, [worker])
        return row


def _copied(bench: Bench, here: Site, raw: Sequence[bytes]) -> tuple[str, int, int]:
    """Write copies of the recordings into their raw topic. Return it, the number of records, and of copies."""
    copies = max(2, bench.plan.events // RAW_SHARE // len(raw))
    bench.say(f"  writing {copies} times {len(raw):,} records")
    topic = here.settings.sources[1].topic
    keyed = ((own_id(record), record) for record in copied(raw, copies))
    return topic, asyncio.run(loading.load_raw(here.settings, topic, keyed)), copies


def full_recordings(bench: Bench) -> list[bytes]:
    """Return the records of all full recordings, the older recording first."""
    told = sorted(([*records(bench.recordings / file)] for file in FULL), key=lambda recording: own_time_us(recording[0]) or 0)
    return [record for recording in told for record in recording]


def copied(raw: Sequence[bytes], copies: int) -> Iterator[bytes]:
    """Each record so many times, each time with ids and a switch of its own: the same happens at many switches at once."""
    renamers = [(renamer(f"copy {number}"), rb"\g<0>copy-%d-" % number) for number in range(copies)]
    for record in raw:
        for renamed, switch in renamers:
            yield SWITCH.sub(switch, renamed(record))


def described(raw: Sequence[bytes]) -> str:
    return f"all events of a real FreeSWITCH, {mean_size(raw):,.0f} bytes on average"


def mean_size(raw: Sequence[bytes]) -> float:
    return sum(map(len, raw)) / len(raw)


def sized(row: Row, raw: Sequence[bytes], checked: str) -> Row:
    return msgspec.structs.replace(row, mb_per_s=round(mean_size(raw) * (row.events_per_s or 0) / 1e6, 1), checked=checked)


def done(bench: Bench, job: Job, crew: Sequence[Measured]) -> Course:
    """Follow the work to its end, without taking the measured core."""
    with placed(bench.others or [bench.own]):
        return asyncio.run(follow(job, crew))
