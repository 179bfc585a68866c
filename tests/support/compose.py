"""docker-compose.yml under a project name and ports of one test's own; speaks to Compose v2 and to v1."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.workbench.brokers import free_ports


class ComposeError(Exception):
    """A command failed; carries what it said and what the services logged."""


def compose_command() -> tuple[str, ...]:
    """`docker compose` where that is known, else `docker-compose`."""
    known = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    if known:
        return ("docker", "compose")
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    raise ComposeError("neither `docker compose` nor `docker-compose` is here: install one")


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The services of one compose file."""

    file: Path
    project: str = field(default_factory=lambda: f"callverdict-test-{uuid.uuid4().hex[:8]}")
    ports: Sequence[int] = field(default_factory=lambda: free_ports(2))

    @property
    def bootstrap(self) -> str:
        return f"localhost:{self.ports[0]}"

    def compose(self, *arguments: str, wait_s: float = 600) -> str:
        """Run one compose command and return its standard output."""
        environment = {**os.environ, "KAFKA_PORT": str(self.ports[0]), "WEB_PORT": str(self.ports[1])}
        command = [*compose_command(), "--file", str(self.file), "--project-name", self.project, *arguments]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=wait_s, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            raise ComposeError(f"{' '.join(arguments)}: {done.stderr[-2000:]}")
        return done.stdout

    def state(self, service: str) -> dict[str, Any]:
        """What the engine knows of the service's container."""
        container = self.compose("ps", "--quiet", service).strip() or self._stopped(service)
        answer = subprocess.run(["docker", "inspect", "--format", "{{json .State}}", container], capture_output=True, text=True, check=True)
        state: dict[str, Any] = json.loads(answer.stdout)
        return state

    def health(self, service: str) -> str:
        return str(self.state(service).get("Health", {}).get("Status", "none"))

    def answers(self, path: str) -> bool:
        """Whether the worker says yes at this path of its web server."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[1]}{path}", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def logs(self, service: str) -> str:
        return self.compose("logs", "--no-color", service)

    def _stopped(self, service: str) -> str:
        labels = [f"label=com.docker.compose.project={self.project}", f"label=com.docker.compose.service={service}"]
        filters = [part for label in labels for part in ("--filter", label)]
        answer = subprocess.run(["docker", "ps", "--all", "--quiet", *filters], capture_output=True, text=True, check=True)
        return answer.stdout.split()[0]


def wait_until(holds: Callable[[], bool], *, what: str, wait_s: float = 90) -> None:
    """Raise TimeoutError, naming `what`, if it does not hold in time."""
    until_s = time.monotonic() + wait_s
    while not holds():
        if time.monotonic() > until_s:
            raise TimeoutError(f"not within {wait_s:.0f} s: {what}")
        time.sleep(0.5)
