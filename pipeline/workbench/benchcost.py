"""Rows without a broker: what `normalize` costs beside decoders of the same bytes, and `replay` of a plain file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

from pipeline.app.deadletters import BadRun
from pipeline.app.intake import Intake
from pipeline.app.normalize import NormalizeStep
from pipeline.app.telemetry import Telemetry
from pipeline.app.topics import names, topics
from pipeline.settings import Settings, policy
from pipeline.workbench.benchown import OURS, RAW_SHARE, copied, described, full_recordings, mean_size
from pipeline.workbench.benchrow import Bench, Row, mb
from pipeline.workbench.gauge import GaugeError, own_environ, placed
from pipeline.workbench.site import CLOCK_ERROR_S, now_ms

CHUNK = 2_000
PASSES = 5
ESL = "freeswitch-esl"

Decode = Callable[[bytes], Any]

DECODERS: dict[str, Callable[[Any], Decode]] = {
    "json": lambda module: module.loads,
    "msgspec": lambda module: module.json.Decoder().decode,
    "orjson": lambda module: module.loads,
    "simdjson": lambda module: module.Parser().parse,
    "yyjson": lambda module: module.Document,
}
"""By module. The last two, READERS, make no Python values until one is asked for: what reading the text costs at least."""
READERS = ("simdjson", "yyjson")


def step(bench: Bench) -> Row:
    """The step of `normalize` alone, in turn with every decoder that is installed here: no consuming, no producing."""
    raw = full_recordings(bench)
    contenders: dict[str, Callable[[], object]] = {"normalize": partial(_normalized, raw)}
    contenders |= {name: partial(_decoded, decode, raw) for name, decode in _decoders().items()}
    with placed([bench.own]):
        spent_s = _in_turn(contenders)
    cost_us = {name: round(seconds / len(raw) * 1e6, 2) for name, seconds in spent_s.items()}
    own_us = cost_us.pop("normalize")
    return Row(
        name="normalize-step",
        what=f"the step of `normalize` without a broker, {described(raw)}; beside it decoders of the same bytes, in turn",
        events=len(raw),
        cpu_us_per_event=own_us,
        mb_per_s=round(mean_size(raw) / own_us, 1),
        decoder_us=cost_us,
        checked=f"{PASSES} passes, the middle one counts",
    )


def _in_turn(contenders: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the CPU seconds of each: the middle of several passes, after one that does not count."""
    spent_s: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(PASSES + 1):
        for name, work in contenders.items():
            begin_s = time.process_time()
            work()
            if number:
                spent_s[name].append(time.process_time() - begin_s)
    return {name: median(seconds) for name, seconds in spent_s.items()}


def _normalized(raw: Sequence[bytes]) -> int:
    """Run the step as a worker does, in chunks. Return how many records it sends."""
    made = normalize_step()
    stamped_ms = now_ms()
    sent: Counter[str] = Counter()
    for first in range(0, len(raw), CHUNK):
        records: Any = [SimpleNamespace(value=value, timestamp=stamped_ms, key=None) for value in raw[first : first + CHUNK]]
        for (topic, _), outputs in made.chunk(records).outputs.items():
            sent[topic] += len(outputs)
    if letters := sent[names(Settings()).dead_letters]:
        raise GaugeError(f"{letters} events of the recordings could not be read: {OURS}")
    return sent.total()


def normalize_step() -> NormalizeStep:
    settings = Settings()
    ours = names(settings)
    counts = {topic.name: topic.partitions for topic in topics(settings)}
    source = next(source for source in settings.sources if source.vendor == ESL)
    intake = Intake(source, settings, policy(settings))
    return NormalizeStep(
        intake, source.topic, 0, counts, ours, BadRun(settings.bad_record_limit, (source.topic, 0)), CLOCK_ERROR_S * 1000, Telemetry()
    )


def _decoders() -> dict[str, Decode]:
    found = {}
    for name, made in DECODERS.items():
        try:
            found[name] = made(import_module(name))
        except ImportError:
            continue
    return found


def _decoded(decode: Decode, raw: Sequence[bytes]) -> None:
    for value in raw:
        decode(value)


def replayed(bench: Bench) -> Row:
    """`callverdict replay` of copies of the recordings, start and output included."""
    raw = full_recordings(bench)
    copies = max(2, bench.plan.events // RAW_SHARE // len(raw))
    with tempfile.TemporaryDirectory(prefix="callverdict-bench-") as name:
        folder = Path(name)
        with (folder / "load.jsonl").open("wb") as file:
            file.writelines(record + b"\n" for record in copied(raw, copies))
        cpu_s, seconds, peak_bytes = _replay(folder, bench.own)
        legs = Counter(json.loads(line)["result"] for line in (folder / "legs.jsonl").read_bytes().splitlines())
    if wrong := [result for result, times in legs.items() if result and times % copies]:
        raise GaugeError(f"copies of the recordings got different results ({', '.join(wrong)}): {OURS}")
    events = copies * len(raw)
    return Row(
        name="replay",
        what=f"`callverdict replay` of a plain file, start and output included, {described(raw)}",
        events=events,
        cpu_us_per_event=round(cpu_s / events * 1e6, 2),
        whole_us_per_event=round(cpu_s / events * 1e6, 2),
        events_per_s=round(events / seconds),
        mb_per_s=round(mean_size(raw) * events / seconds / 1e6, 1),
        peak_mb=mb(peak_bytes),
        checked=f"the results of {legs.total():,} legs, the same in each copy",
    )


def _replay(folder: Path, core: int) -> tuple[float, float, int]:
    """Return CPU seconds, seconds by the clock, and the most memory."""
    command = [sys.executable, "-m", "pipeline.cli.main", "replay", "load.jsonl", "--source", ESL, "--out", "legs.jsonl"]
    environ = {name: value for name, value in own_environ(folder).items() if name != "CALLVERDICT_CONFIG"}
    begin_s = time.monotonic()
    with placed([core]):
        process = subprocess.Popen(
            [*command, "--no-progress"], env=environ, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    _, status, spent = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise GaugeError(f"`callverdict replay` ended with exit code {process.returncode}: run it by hand to see why")
    return spent.ru_utime + spent.ru_stime, time.monotonic() - begin_s, spent.ru_maxrss * 1024
