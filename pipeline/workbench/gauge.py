"""What a process has used, as Linux tells it; and a worker process that does nothing but be measured."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from pipeline.errors import CallverdictError
from pipeline.settings.reading import CONFIG, FILE_NAME, PREFIX
from pipeline.workbench.brokers import HOST, free_ports

READY_S = 60.0
STOP_S = 20.0
LOOK_S = 0.1
QUIET_S = 2.0
COUNTER = re.compile(r'^callverdict_records_in_total\{stage="(\w+)"\} (\S+)$', re.MULTILINE)


class GaugeError(CallverdictError):
    """Nothing can be measured; the message says what to do."""


class Used(NamedTuple):
    """CPU seconds, user and system, and the most memory so far."""

    cpu_s: float
    peak_bytes: int


class Sample(NamedTuple):
    """At one moment: the clock, the worker's CPU seconds, and how many records each stage has taken."""

    at_s: float
    cpu_s: float
    records: dict[str, int]


class Span(NamedTuple):
    """Between two samples."""

    seconds: float
    cpu_s: float
    records: int


def check() -> None:
    """Raises GaugeError where CPU and memory of another process cannot be read."""
    if not Path("/proc/self/stat").exists():
        raise GaugeError(f"the bench reads CPU and memory from /proc, which {sys.platform} does not have: run it on Linux")


def used(pid: int) -> Used:
    """Raises GaugeError if that process has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise GaugeError(f"the process {pid} that was measured has ended: see its log") from None
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    return Used((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(peak[1]) * 1024 if peak else 0)


def cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


@contextmanager
def placed(chosen: Sequence[int]) -> Iterator[None]:
    """What is started in this block runs on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class MeasuredWorker:
    """One worker process of these agents on one core. Its folder holds callverdict.toml and gets its log."""

    def __init__(self, folder: Path, agents: str, core: int) -> None:
        self.log = folder / "worker.log"
        self._port = free_ports(1)[0]
        command = [sys.executable, "-m", "pipeline.cli.main", "worker", "--number", "1", "--web-port", str(self._port), "--agents", agents]
        environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)} | {CONFIG: str(folder / FILE_NAME)}
        with self.log.open("ab") as log, placed([core]):
            self.process = subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def page(self, path: str) -> str | None:
        """Return what the worker's web server says; None while it says nothing, or no. Raises GaugeError if the worker has ended."""
        if (code := self.process.poll()) is not None:
            last = (self.log.read_text(errors="replace").splitlines() or ["nothing"])[-1]
            raise GaugeError(f"the worker ended by itself with exit code {code}; its log says: {last}")
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self._port}{path}", timeout=5) as answer:
                text: str = answer.read().decode()
                return text
        except (urllib.error.URLError, OSError):
            return None

    def await_ready(self) -> None:
        """Return when it has its partitions. Raises GaugeError."""
        until_s = time.monotonic() + READY_S
        while self.page("/readyz") is None:
            if time.monotonic() > until_s:
                raise GaugeError(f"the worker was not ready within {READY_S:.0f} s: see {self.log}")
            time.sleep(LOOK_S)

    def sample(self) -> Sample:
        counters = {stage: int(float(count)) for stage, count in COUNTER.findall(self.page("/metrics") or "")}
        return Sample(time.monotonic(), used(self.process.pid).cpu_s, counters)

    def used(self) -> Used:
        return used(self.process.pid)


class Watch:
    """Samples a worker in the background until it is stopped."""

    def __init__(self, worker: MeasuredWorker) -> None:
        self.samples: list[Sample] = []
        self._worker = worker
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(LOOK_S):
            self.samples.append(self._worker.sample())

    def is_quiet(self, stages: Sequence[str]) -> bool:
        """Tell whether these stages have taken something, and nothing more for a while."""
        if not self.samples or not any(self.samples[-1].records.values()):
            return False
        newest = self.samples[-1]
        before = [sample for sample in self.samples if sample.at_s <= newest.at_s - QUIET_S]
        return bool(before) and all(before[-1].records.get(stage, 0) == newest.records.get(stage, 0) for stage in stages)


def span(samples: Sequence[Sample], stage: str, *, warm: float) -> Span:
    """Return what lies between taking `warm` of all this stage's records and the end of its work. Raises GaugeError."""
    taken = [sample for sample in samples if stage in sample.records]
    total = taken[-1].records[stage] if taken else 0
    working = [sample for sample in taken if warm * total <= sample.records[stage] < total]
    done = next((sample for sample in taken if sample.records[stage] == total), None)
    if not working or done is None:
        raise GaugeError(f"the worker took {total} records before they could be measured: give more --events")
    begin = working[0]
    return Span(done.at_s - begin.at_s, done.cpu_s - begin.cpu_s, total - begin.records[stage])


def machine() -> str:
    """Return the processor and how many of it there are."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return f"{len(cores())} x {model[1] if model else 'unknown processor'}"
