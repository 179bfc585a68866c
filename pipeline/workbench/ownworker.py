"""A worker process of the demo's own: it runs in the background, writes its log into a folder, and outlives nobody.

with OwnWorker(web_port=20123) as worker:
    write_settings_to(worker.folder)
    worker.start()
    while not worker.is_ready(): ...
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from pipeline.errors import CallverdictError
from pipeline.settings.reading import CONFIG, FILE_NAME, PREFIX
from pipeline.workbench.brokers import HOST

STOP_S = 20.0  # a worker ends itself within 10
ANSWER_S = 1.0
COMPLAINT = re.compile(r"level=(critical|error)|^callverdict: ")
KEPT = ("CALLVERDICT_CACHE",)


class WorkerEndedError(CallverdictError):
    """The worker ended by itself; the message has its last words."""


class OwnWorker:
    """One process that goes by the callverdict.toml in a folder of its own. Both are gone afterwards, even if this process is killed."""

    def __init__(self, *, web_port: int) -> None:
        self.folder = Path()
        self.url = f"http://{HOST}:{web_port}"
        self._web_port = web_port
        self._process: subprocess.Popen[bytes] | None = None
        self._watchman: subprocess.Popen[str] | None = None

    @property
    def log(self) -> Path:
        """Return where the worker writes what happens."""
        return self.folder / "worker.log"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli.main", "worker", "--number", "1", "--web-port", str(self._web_port)],
                env=environment(self.folder), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._tell_watchman(f"+{self._process.pid}")

    def check(self) -> None:
        """Raise WorkerEndedError if it does not run any more."""
        if self._process is not None and (code := self._process.poll()) is not None:
            how = f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
            raise WorkerEndedError(f"the worker ended {how}; its log says: {self.last_words()}")

    def is_ready(self) -> bool:
        """Tell whether it has its partitions and has restored them. Raises WorkerEndedError."""
        self.check()
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=ANSWER_S):  # noqa: S310 - our own worker
                return True
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> int | None:
        """End it by SIGTERM and return its exit code; None if it did not run."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.terminate()
        try:
            code = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        self._tell_watchman(f"-{process.pid}")
        return code

    def last_words(self) -> str:
        """Return what its log says last that is a complaint, else its last line."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        complaints = [line for line in lines if COMPLAINT.search(line)]
        return (complaints or lines or ["nothing"])[-1][-600:]

    def _tell_watchman(self, line: str) -> None:
        if self._watchman and self._watchman.stdin:
            self._watchman.stdin.write(line + "\n")
            self._watchman.stdin.flush()

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="callverdict-worker-"))
        self._watchman = subprocess.Popen(
            [sys.executable, "-m", "pipeline.workbench.watchman", str(self.folder)],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        """End the worker, then the watchman, which removes the folder."""
        try:
            self.stop()
        finally:
            if self._watchman and self._watchman.stdin:
                self._watchman.stdin.close()
                self._watchman.wait()


def environment(folder: Path) -> dict[str, str]:
    """Return ours, without settings of ours: the worker goes by the file in the folder alone."""
    rest = {name: value for name, value in os.environ.items() if name in KEPT or not name.startswith(PREFIX)}
    return rest | {CONFIG: str(folder / FILE_NAME)}
