"""The worker processes of a chaos run: seats that are filled again when their worker dies, and what they were seen to end with.

A table of its own, not `callverdict worker --processes`: that one waits up to 30 s before it restarts a worker that dies again and again,
as these do. It has tests of its own (tests/app/test_supervisor.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from pipeline.engine.ending import Exit
from pipeline.workbench.brokers import free_ports

LOOK_S = 0.1
SHORT_LIFE_S = 5.0
PAUSE_S = 2.0
"""Before the restart of one that died by itself at once: its reason may take a while to go."""
STATIC = 1
"""The seat whose worker is a static member of the group."""


class NotSeenError(AssertionError):
    """Something that must happen did not."""


class Seat:
    """The place of one worker. `wanted`: it is to be filled whenever it is empty."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.port = free_ports(1)[0]
        self.wanted = True
        self.accept_bad = 0
        self.fault = "-"
        self.process: subprocess.Popen[bytes] | None = None
        self.ends: list[int] = []
        self.began_s = 0.0

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Crew:
    """`kills` counts the SIGKILLs that arrived; `own_ends` the exit codes of workers that nobody had told to end."""

    def __init__(self, size: int, environ: Mapping[str, str], root: Path, folder: Path) -> None:
        self.seats = {number: Seat(number) for number in range(1, size + 1)}
        self.kills = 0
        self.own_ends: list[int] = []
        self._environ = environ
        self._root = root
        self._folder = folder

    # -- lives

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Fill the seats, and fill them again, until the block ends."""
        task = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            for seat in self.seats.values():
                self._end(seat)

    async def _keep(self) -> None:
        while True:
            for seat in self.seats.values():
                self._look(seat)
            await asyncio.sleep(LOOK_S)

    def _look(self, seat: Seat) -> None:
        if seat.process is not None and (code := seat.process.poll()) is not None:
            self._ended(seat, code)
        if seat.process is None and seat.wanted and time.monotonic() >= seat.began_s:
            self._start(seat)

    def _ended(self, seat: Seat, code: int) -> None:
        lived_s = time.monotonic() - seat.began_s
        seat.process = None
        seat.ends.append(code)
        if code == -signal.SIGKILL:
            self.kills += 1
        elif seat.wanted:
            self.own_ends.append(code)
            seat.began_s = time.monotonic() + (PAUSE_S if lived_s < SHORT_LIFE_S else 0.0)
        if code in (Exit.SETUP, Exit.HALTED):
            seat.wanted = False  # as the supervisor: on purpose

    def _start(self, seat: Seat) -> None:
        instance_id = f"chaos-{seat.number}" if seat.number == STATIC else ""
        arguments = ["--number", "1", "--web-port", str(seat.port), "--accept-bad", str(seat.accept_bad)]
        with self.log_path(seat).open("ab") as out:
            seat.process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.worker", seat.fault, "worker", *arguments],
                cwd=self._root, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env={**self._environ, "CALLVERDICT_INSTANCE_ID": instance_id},
            )  # fmt: skip
        seat.fault = "-"
        seat.began_s = time.monotonic()

    def _end(self, seat: Seat) -> None:
        if seat.process is not None and seat.process.poll() is None:
            seat.process.kill()
            seat.process.wait()

    # -- harm

    def kill(self, seat: Seat) -> None:
        if seat.process is not None:
            seat.process.send_signal(signal.SIGKILL)

    def signal(self, seat: Seat, which: signal.Signals) -> None:
        if seat.process is not None:
            seat.process.send_signal(which)

    def add(self) -> Seat:
        """One seat more."""
        seat = Seat(max(self.seats) + 1)
        self.seats[seat.number] = seat
        return seat

    async def dismiss(self, seat: Seat) -> int:
        """SIGTERM for a worker that joined, and its seat is gone."""
        code = await self.stop(seat)
        del self.seats[seat.number]
        return code

    async def stop(self, seat: Seat, *, within_s: float = 30.0) -> int:
        """SIGTERM, then the exit code; the seat stays empty. A worker that is not there any more has its last code."""
        seat.wanted = False
        ends = len(seat.ends)
        self.signal(seat, signal.SIGTERM)
        if seat.process is None:
            return seat.ends[-1] if seat.ends else 0
        await self.until(lambda: len(seat.ends) > ends, within_s=within_s, what=f"the end of worker {seat.number} after SIGTERM")
        return seat.ends[-1]

    # -- looks

    def log_path(self, seat: Seat) -> Path:
        return self._folder / f"worker-{seat.number}.log"

    def log(self, seat: Seat) -> str:
        return self.log_path(seat).read_text(errors="replace")

    async def page(self, seat: Seat, path: str) -> Any:
        """What a worker's web server says, as JSON or text; None while it says nothing or no."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
                session.get(f"http://127.0.0.1:{seat.port}{path}") as answer,
            ):
                if answer.status != 200:
                    return None
                return await (answer.json() if answer.content_type == "application/json" else answer.text())
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def ready(self, *, within_s: float = 300.0) -> None:
        """Every wanted worker has its partitions, all of them restored."""
        for seat in list(self.seats.values()):
            if seat.wanted:
                await self.until_page(seat, "/readyz", within_s=within_s)

    async def until_page(self, seat: Seat, path: str, *, within_s: float = 300.0) -> Any:
        until_s = time.monotonic() + within_s
        while (page := await self.page(seat, path)) is None:
            if time.monotonic() > until_s:
                raise NotSeenError(f"worker {seat.number} did not answer {path} in {within_s:.0f} s:\n{self.log(seat)[-4000:]}")
            await asyncio.sleep(LOOK_S)
        return page

    async def until(self, holds: Callable[[], bool], *, within_s: float, what: str) -> None:
        until_s = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > until_s:
                logs = "\n".join(
                    f"-- {seat.number}\n{self.log(seat)[-3000:]}" for seat in self.seats.values() if self.log_path(seat).exists()
                )
                raise NotSeenError(f"{what}: not within {within_s:.0f} s\n{logs}")
            await asyncio.sleep(LOOK_S)

    def files_written(self, seat: Seat) -> set[str]:
        """The files that a worker has open for writing, but its log; where the system does not tell (no /proc), none."""
        folder = Path(f"/proc/{seat.process.pid}/fdinfo") if seat.process is not None else None
        if folder is None or not folder.exists():
            return set()
        open_for_writing = {path.name for path in folder.iterdir() if _is_written(path)}
        targets = {(folder.parent / "fd" / number).resolve() for number in open_for_writing}
        return {str(target) for target in targets if target.is_file()} - {str(self.log_path(seat).resolve())}


def _is_written(info: Path) -> bool:
    try:
        flags = next(line for line in info.read_text().splitlines() if line.startswith("flags:"))
    except FileNotFoundError:  # closed meanwhile
        return False
    return int(flags.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
