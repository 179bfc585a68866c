"""The same job by other programs: legs grouped by call, the winner found, one enriched record a leg, state in a changelog.

Their verdict is simpler than ours (the winner, else the cause), they know no links between calls, and they write neither call results
nor tallies. Their sources are in ops/bench of the repository.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipeline.core.model import Result
from pipeline.errors import CallverdictError
from pipeline.workbench import loading
from pipeline.workbench.benchown import OURS, done, ring_all
from pipeline.workbench.benchrow import Bench, Row, worked
from pipeline.workbench.gauge import GaugeError, MeasuredPeer, own_environ
from pipeline.workbench.runtime import LocalKafkaError, java
from pipeline.workbench.site import Site, site

SOURCES = Path(__file__).parents[2] / "ops" / "bench"
BUILD_S = 600.0
LEAST = 10_000
"""Events, however small a peer's share of them."""
JVM = ("-Xms256m", "-Xmx2g", "-XX:+UseSerialGC", "-XX:ActiveProcessorCount=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
SAID = "peer with a simpler verdict and neither links, call results nor tallies"


class AbsentError(CallverdictError):
    """A peer that cannot run here; the message says what it lacks."""


class Peer(NamedTuple):
    """`command` begins its command line. `warm`: the share of the work that it needs to come to its pace."""

    name: str
    what: str
    command: Callable[[], list[str]]
    warm: float = 0.1
    share: float = 1.0
    is_exact: bool = True


def kafka_streams_command() -> list[str]:
    """Return how the Java program is started; it is built first. Raises AbsentError."""
    folder = sources() / "kafka-streams"
    try:
        program = java()
    except LocalKafkaError as error:
        raise AbsentError(str(error)) from None
    maven = shutil.which("mvn")
    if maven is None:
        raise AbsentError("no Maven here: install it (`mvn` on the PATH) with a JDK of 17 or newer")
    built = subprocess.run(
        [maven, "--quiet", "--batch-mode", "package"], cwd=folder, capture_output=True, text=True, timeout=BUILD_S, check=False
    )
    if built.returncode:
        raise AbsentError(f"Maven could not build {folder.name}: {(built.stdout or built.stderr).strip()[:300]}")
    return [program, *JVM, "-cp", f"{folder / 'target' / 'classes'}:{folder / 'target' / 'libs'}/*", "ringall.RingAll"]


def python_command(file: str) -> list[str]:
    return [sys.executable, str(sources() / file)]


def sources() -> Path:
    if not SOURCES.is_dir():
        raise AbsentError("the peers' sources are not part of the installed package: run in a clone of the repository")
    return SOURCES


KAFKA_STREAMS = Peer("kafka-streams", "Kafka Streams, exactly_once_v2", kafka_streams_command, warm=0.6)
AIOKAFKA = Peer("aiokafka", "hand-written aiokafka, exactly once", lambda: python_command("handwritten.py"))
FAUST = Peer("faust", "stock Faust 0.15.3, at least once", lambda: python_command("stock_faust.py"), share=0.05, is_exact=False)


def kafka_streams(bench: Bench) -> Row:
    return measured(bench, KAFKA_STREAMS)


def aiokafka(bench: Bench) -> Row:
    return measured(bench, AIOKAFKA)


def faust(bench: Bench) -> Row:
    return measured(bench, FAUST)


def measured(bench: Bench, peer: Peer) -> Row:
    what = f"{peer.what}, on the input of `assemble`; {SAID}"
    try:
        command = peer.command()
    except AbsentError as error:
        return Row(name=peer.name, what=what, missing=str(error))
    with site(bench.bootstrap) as here:
        events, results = ring_all(bench, here, max(LEAST, int(bench.plan.events * peer.share)))
        with started(bench, here, peer, command) as process:
            job = here.job(here.topics.events, [here.topics.events], here.topics.legs, spare=1)
            row = worked(peer.name, what, events, done(bench, job, [process]), [process], warm=peer.warm, checked="")
        return msgspec.structs.replace(row, checked=checked(here, peer, results))


def started(bench: Bench, here: Site, peer: Peer, command: list[str]) -> MeasuredPeer:
    topics = here.topics
    arguments = [here.settings.bootstrap, here.settings.app_id, topics.events, topics.legs, topics.assemble_changelog]
    return MeasuredPeer(peer.name, [*command, *arguments], folder=here.folder, core=bench.own, environ=own_environ(here.folder))


def checked(here: Site, peer: Peer, results: Mapping[str, Result]) -> str:
    """Compare the peer's legs with the plan. Raises GaugeError; that an exact peer writes a leg twice is one, too."""
    told = asyncio.run(loading.leg_results(here.settings))
    if told.results != results or (peer.is_exact and told.records != len(results)):
        raise GaugeError(
            f"{peer.name} wrote {told.records} records of {len(told.results)} legs, planned were others ({len(results)}): {OURS}"
        )
    twice = told.records - len(results)
    return f"the results of all {len(results):,} legs, " + (f"{twice} written twice" if twice else "each written once")
