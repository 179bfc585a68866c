"""Several worker processes on one machine: started, restarted after a crash, stopped together."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import structlog

from pipeline.engine import clock
from pipeline.engine.ending import Exit

log = structlog.stdlib.get_logger("callverdict.supervisor")

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
HEALTHY_S = 60.0
STOP_S = 15.0  # a worker ends itself within 10
LOOK_S = 0.1
ON_PURPOSE = (Exit.CLEAN, Exit.SETUP, Exit.HALTED)


def pause_s(previous_s: float, *, lived_s: float) -> float:
    """How long to wait before a restart: 1 s, doubling to 30 s; a worker that lived for a minute starts again at 1 s."""
    if lived_s >= HEALTHY_S or previous_s <= 0:
        return FIRST_PAUSE_S
    return min(2 * previous_s, LONGEST_PAUSE_S)


class Seat:
    """The place of one worker: its process, or the time of its next start."""

    def __init__(self, number: int, command: Sequence[str]) -> None:
        self.number = number
        self._command = [part.replace("{number}", str(number)) for part in command]
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._pause_s = 0.0
        self._start_at_s: float | None = clock.elapsed_s()
        self.code: int | None = None

    @property
    def occupied(self) -> bool:
        return self._process is not None

    @property
    def given_up(self) -> bool:
        """It ended on purpose: nothing runs and nothing will."""
        return self._process is None and self._start_at_s is None

    def look(self) -> None:
        """Take note of an end; start when it is time."""
        if self._process is not None and (code := self._process.poll()) is not None:
            self._ended(code)
        elif self._start_at_s is not None and clock.elapsed_s() >= self._start_at_s:
            self._start()

    def _start(self) -> None:
        self._start_at_s, self._started_s = None, clock.elapsed_s()
        self._process = subprocess.Popen(self._command)
        log.info("worker.started", number=self.number, pid=self._process.pid)

    def _ended(self, code: int) -> None:
        self._process, self.code = None, code
        lived_s = clock.elapsed_s() - self._started_s
        if code in ON_PURPOSE:
            log.warning(
                "worker.left", number=self.number, exit_code=code, advice="it ended on purpose and is not restarted; its own log says why"
            )
            return
        self._pause_s = pause_s(self._pause_s, lived_s=lived_s)
        self._start_at_s = clock.elapsed_s() + self._pause_s
        log.error("worker.died", number=self.number, exit_code=code, lived_s=round(lived_s, 1), restart_in_s=self._pause_s)

    def send(self, signum: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signum)

    def stop(self, deadline_s: float) -> None:
        """After SIGTERM: wait for the end, at the deadline enforce it."""
        self._start_at_s = None
        if self._process is None:
            return
        try:
            self.code = self._process.wait(max(0.0, deadline_s - clock.elapsed_s()))
        except subprocess.TimeoutExpired:
            log.warning("worker.killed", number=self.number, advice="it did not end on SIGTERM; what it had not committed is done again")
            self._process.kill()
            self.code = self._process.wait()
        self._process = None


def supervise(command: Sequence[str], processes: int) -> int:
    """Run `processes` workers until SIGTERM or SIGINT, and return an exit code.

    `{number}` in the command becomes 1, 2, ... (for a web port or an instance id). A worker that crashed is restarted. One
    that ended with bad setup (2) or on purpose (3) would end so again: all are stopped and its code is returned. Otherwise 0
    when all ended cleanly, 1 when one had to be killed or crashed while stopping.
    """
    seats = [Seat(number, command) for number in range(1, processes + 1)]
    with _stop_signals() as asked:
        while not asked() and not _verdict(seats) and not all(seat.given_up for seat in seats):
            for seat in seats:
                seat.look()
            time.sleep(LOOK_S)
        log.info("workers.stopping", because=signal.Signals(asked()).name if asked() else "a worker ended on purpose")
        return _stop(seats)


def _verdict(seats: Sequence[Seat]) -> int:
    """The worst code of those that left on purpose, 0 if none did."""
    return max((seat.code or 0 for seat in seats if seat.given_up), default=0)


def _stop(seats: Sequence[Seat]) -> int:
    verdict = _verdict(seats)
    running = [seat for seat in seats if seat.occupied]
    for seat in running:
        seat.send(signal.SIGTERM)
    deadline_s = clock.elapsed_s() + STOP_S
    for seat in seats:
        seat.stop(deadline_s)
    failed = [seat.number for seat in running if seat.code]
    log.info("workers.stopped", failed=failed)
    return verdict or (int(Exit.CRASH) if failed else int(Exit.CLEAN))


@contextmanager
def _stop_signals() -> Iterator[Callable[[], int]]:
    """SIGTERM and SIGINT set a mark instead of ending the process, for the time of the block; which one was the first, else 0."""
    received: list[int] = []

    def note(signum: int, _frame: FrameType | None) -> None:
        received.append(signum)

    before = {signum: signal.signal(signum, note) for signum in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: received[0] if received else 0
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
