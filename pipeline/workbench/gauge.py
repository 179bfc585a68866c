"""What a process has used, as Linux tells it; and processes that do nothing but be measured."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from pipeline.errors import CallverdictError
from pipeline.settings.reading import CONFIG, FILE_NAME, PREFIX
from pipeline.workbench.brokers import HOST, free_ports

READY_S = 300.0  # a million open calls are restored on the way
STOP_S = 20.0
LOOK_S = 0.05


class GaugeError(CallverdictError):
    """Nothing can be measured; the message says what to do."""


class Used(NamedTuple):
    """CPU seconds, user and system; memory now, and the most so far."""

    cpu_s: float
    resident_bytes: int
    peak_bytes: int


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
    cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return Used(cpu_s, _bytes("VmRSS", status), _bytes("VmHWM", status))


def _bytes(name: str, status: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


@contextmanager
def placed(chosen: Sequence[int]) -> Iterator[None]:
    """What runs or is started in this block runs on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Measured:
    """A process on one core, from the beginning of the `with` block to its end. What it says goes into its log."""

    def __init__(self, name: str, command: Sequence[str], *, folder: Path, core: int, environ: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.began_s = time.monotonic()
        with self.log.open("wb") as log, placed([core]):
            self.process = subprocess.Popen(command, env=environ, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def check(self) -> None:
        """Raises GaugeError if it has ended."""
        if (code := self.process.poll()) is not None:
            last = (self.log.read_text(errors="replace").splitlines() or ["nothing"])[-1]
            raise GaugeError(f"{self.name} ended by itself with exit code {code}; its log says: {last}")

    def used(self) -> Used:
        self.check()
        return used(self.process.pid)

    def is_ready(self) -> bool:
        """Tell whether it has taken up its work, with all that was stored of it."""
        raise NotImplementedError

    def await_ready(self) -> float:
        """Return how many seconds after its start it was ready. Raises GaugeError."""
        while not self.is_ready():
            self.check()
            if time.monotonic() - self.began_s > READY_S:
                raise GaugeError(
                    f"{self.name} was not ready within {READY_S:.0f} s: give fewer --events, or see what keeps this machine busy"
                )
            time.sleep(LOOK_S)
        return time.monotonic() - self.began_s


class MeasuredWorker(Measured):
    """One worker process of these agents. Its folder holds callverdict.toml."""

    def __init__(self, folder: Path, agents: str, core: int, *, number: int = 1) -> None:
        self._port = free_ports(1)[0]
        command = [sys.executable, "-m", "pipeline.cli.main", "worker", "--number", "1", "--web-port", str(self._port), "--agents", agents]
        super().__init__(f"worker-{number}", command, folder=folder, core=core, environ=own_environ(folder))

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self._port}/readyz", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False


class MeasuredPeer(Measured):
    """Another program that does the job; it writes a line `ready` when it is."""

    def is_ready(self) -> bool:
        return b"ready" in self.log.read_bytes().splitlines()


def own_environ(folder: Path) -> dict[str, str]:
    """Return an environment in which only that folder's callverdict.toml counts."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)} | {CONFIG: str(folder / FILE_NAME)}


def machine() -> str:
    """Return the processor and how many of it there are."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return f"{len(cores())} x {model[1] if model else 'unknown processor'}"
