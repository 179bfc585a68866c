"""Worker processes of the tests: started, killed, stopped, and asked for their status."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from tests.engine.job import Plan

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class WorkerProcess:
    """One worker with its own web port; its log goes to a file."""

    def __init__(self, plan: Plan, log: Path) -> None:
        plan = msgspec.structs.replace(plan, settings={"web_port": free_port(), **plan.settings})
        self.port = plan.settings["web_port"]
        self._log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.engine.job", msgspec.json.encode(plan).decode()],
                cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    @property
    def log(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    async def stop(self, *, within_s: float = 10.0) -> int:
        """SIGTERM, then the exit code; fails when it takes longer."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended(within_s=within_s)

    async def ended(self, *, within_s: float = 30.0) -> int:
        async with asyncio.timeout(within_s):
            while (code := self.process.poll()) is None:  # noqa: ASYNC110  no event tells
                await asyncio.sleep(0.05)
        return code

    async def status(self) -> dict[str, Any] | None:
        """None while the web server does not answer."""
        try:
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}/status") as answer:
                found: dict[str, Any] = await answer.json()
                return found
        except aiohttp.ClientError:
            return None

    async def until(self, condition: Callable[[dict[str, Any]], bool], *, within_s: float = 30.0) -> dict[str, Any]:
        """The first status that fulfils the condition; fails with the log when the worker ends or time runs out."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    if (status := await self.status()) is not None and condition(status):
                        return status
                    assert self.process.poll() is None, f"the worker ended with {self.process.returncode}:\n{self.log[-6000:]}"
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"not reached in {within_s} s; status {await self.status()}; log:\n{self.log[-6000:]}") from None

    async def ready(self, *, within_s: float = 30.0) -> dict[str, Any]:
        return await self.until(lambda status: bool(status["ready"]), within_s=within_s)
