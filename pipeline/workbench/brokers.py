"""How a local broker is set up: its ports, its properties, its command line. Three brokers replicate three times."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from pipeline.workbench.runtime import java, kafka_jars

HOST = "127.0.0.1"
LOWEST_PORT, HIGHEST_PORT = 20_000, 32_000  # below what systems hand out: nothing may take a broker's port while it is down


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One broker, which is a controller too."""

    id: int
    port: int
    controller_port: int


def nodes_at(ports: Sequence[int]) -> tuple[Node, ...]:
    """One node per pair of ports, numbered from 1."""
    pairs = zip(ports[::2], ports[1::2], strict=True)
    return tuple(Node(id=number, port=port, controller_port=other) for number, (port, other) in enumerate(pairs, 1))


def free_ports(count: int) -> list[int]:
    """Different ports that nothing listens on now."""
    candidates = random.SystemRandom().sample(range(LOWEST_PORT, HIGHEST_PORT), 100 * count)
    return [port for port in candidates if is_free(port)][:count]


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def properties(node: Node, nodes: Sequence[Node], folder: Path, more: Mapping[str, str | int]) -> str:
    """The text of server.properties."""
    copies = min(3, len(nodes))
    in_sync = 2 if copies == 3 else 1
    voters = ",".join(f"{each.id}@{HOST}:{each.controller_port}" for each in nodes)
    table: dict[str, str | int | Path] = {
        "process.roles": "broker,controller",
        "node.id": node.id,
        "controller.quorum.voters": voters,
        "listeners": f"PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{node.port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": folder / f"data{node.id}",
        "auto.create.topics.enable": "false",  # a topic nobody declared is a mistake to be seen
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": 3,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": 3,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        "group.initial.rebalance.delay.ms": 0,
        "log.cleaner.dedupe.buffer.size": 1_048_577,  # the least that is allowed; the default takes 128 MB of heap
        "num.network.threads": 2,
        "num.io.threads": 4,
        "broker.session.timeout.ms": 6_000,
        "broker.heartbeat.interval.ms": 500,
        **more,
    }
    return "".join(f"{key}={value}\n" for key, value in table.items())


def command(main_class: str, *arguments: str, heap_mb: int = 512) -> list[str]:
    """Run a class of Kafka's. Fetches the jars if they are not here yet."""
    program = java()
    class_path = os.pathsep.join(map(str, kafka_jars()))
    return [
        program,
        "-Xms64m",
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",  # a short life: compiling well costs more than it brings
        "-Djava.awt.headless=true",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
        "-cp",
        class_path,
        main_class,
        *arguments,
    ]
