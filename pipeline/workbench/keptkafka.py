"""The local broker that stays between commands: its data, properties and process ids lie in the user's cache folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import msgspec

from pipeline.workbench.brokers import Node, is_free, nodes_at
from pipeline.workbench.kafka import (
    STOP_S,
    bootstrap_of,
    broker_command,
    last_words,
    listens,
    log_file,
    prepare,
    wait_ready,
    write_properties,
)
from pipeline.workbench.runtime import LocalKafkaError, cache_folder

CONTROLLER_DISTANCE = 1_000  # a controller listens so far above its broker


class KeptKafka(msgspec.Struct, frozen=True, kw_only=True):
    """What was started, as cluster.json keeps it."""

    port: int
    brokers: int

    @property
    def nodes(self) -> tuple[Node, ...]:
        ports = range(self.port, self.port + self.brokers)
        return nodes_at([each for port in ports for each in (port, port + CONTROLLER_DISTANCE)])

    @property
    def bootstrap(self) -> str:
        return bootstrap_of(self.nodes)


def folder() -> Path:
    return cache_folder() / "kafka"


def status() -> tuple[KeptKafka | None, dict[int, int]]:
    """What was started last, if its data is still there, and broker number -> process id of the brokers that run."""
    kept = _kept()
    pids = {node.id: _pid(node.id) for node in kept.nodes} if kept else {}
    return kept, {number: pid for number, pid in pids.items() if pid is not None}


def start(*, port: int, brokers: int) -> KeptKafka:
    """Start the kept broker, or go on with the one that runs; its data of earlier starts is still there."""
    wanted = KeptKafka(port=port, brokers=brokers)
    kept, running = status()
    if running:
        return _same(kept, wanted, running)
    _refuse(kept, wanted)
    _lay_out(wanted, is_new=kept is None)
    for node in wanted.nodes:
        _pid_file(node.id).write_text(str(_detached(node.id)))
    try:
        wait_ready(wanted.nodes, lambda: _ended_early(wanted))
    except LocalKafkaError:
        stop()
        raise
    return wanted


def stop(*, delete: bool = False) -> int:
    """End the brokers in order and say how many there were. With `delete`, their data goes too."""
    _, running = status()
    for pid in running.values():
        os.kill(pid, signal.SIGTERM)
    for number, pid in running.items():
        _await_end(number, pid)
    if delete:
        shutil.rmtree(folder(), ignore_errors=True)
    return len(running)


def _kept() -> KeptKafka | None:
    try:
        return msgspec.json.decode((folder() / "cluster.json").read_bytes(), type=KeptKafka)
    except FileNotFoundError:
        return None


def _same(kept: KeptKafka | None, wanted: KeptKafka, running: dict[int, int]) -> KeptKafka:
    if kept != wanted:
        at = kept.bootstrap if kept else "another port"
        raise LocalKafkaError(f"a local Kafka of {len(running)} broker(s) runs at {at}: `callverdict kafka stop` first")
    if len(running) < wanted.brokers:
        raise LocalKafkaError(f"only {len(running)} of {wanted.brokers} brokers run: `callverdict kafka stop`, then start again")
    return wanted


def _refuse(kept: KeptKafka | None, wanted: KeptKafka) -> None:
    if kept and kept.brokers != wanted.brokers:
        message = f"the kept data is of {kept.brokers} broker(s), not {wanted.brokers}: `callverdict kafka stop --delete` removes it"
        raise LocalKafkaError(message)
    for node in wanted.nodes:
        for port in (node.port, node.controller_port):
            if not is_free(port):
                raise LocalKafkaError(f"port {port} is taken: stop what listens there, or start with another --port")


def _lay_out(wanted: KeptKafka, *, is_new: bool) -> None:
    folder().mkdir(parents=True, exist_ok=True)
    if is_new:
        prepare(wanted.nodes, folder(), {})
    else:  # the port may be another one than last time
        for node in wanted.nodes:
            write_properties(node, wanted.nodes, folder(), {})
    (folder() / "cluster.json").write_bytes(msgspec.json.encode(wanted))


def _detached(number: int) -> int:
    """Start one broker as nobody's child, since this command ends before it, and return its process id."""
    arguments = [
        "/bin/sh",
        "-c",
        '"$@" </dev/null >>"$0" 2>&1 & echo $!',
        str(log_file(folder(), number)),
        *broker_command(folder(), number),
    ]
    return int(subprocess.run(arguments, stdout=subprocess.PIPE, check=True, start_new_session=True).stdout)


def _pid_file(number: int) -> Path:
    return folder() / f"broker{number}.pid"


def _pid(number: int) -> int | None:
    """The process that runs this broker now: the number in the pid file, if that process is still our broker."""
    try:
        pid = int(_pid_file(number).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if str(folder() / f"server{number}.properties") in _command_line(pid) else None


def _command_line(pid: int) -> str:
    """How that process was started; empty where there is none (or it has ended and nobody asked how)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return ""
    except ProcessLookupError:
        return ""
    return subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout  # noqa: S607


def _ended_early(kept: KeptKafka) -> str | None:
    return next((last_words(folder(), node.id) for node in kept.nodes if _pid(node.id) is None), None)


def _await_end(number: int, pid: int) -> None:
    until_s = time.monotonic() + STOP_S
    while _pid(number) == pid:
        if time.monotonic() > until_s:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    _pid_file(number).unlink(missing_ok=True)


def is_answering(kept: KeptKafka) -> bool:
    return all(listens(node.port) for node in kept.nodes)
