"""Kafka's own image under testcontainers: one broker that is a controller too."""

from __future__ import annotations

import gc
import os
import warnings
from textwrap import dedent
from typing import Self

import docker
from docker.errors import DockerException
from testcontainers.core.container import DockerContainer

from pipeline.workbench.brokers import Node
from pipeline.workbench.kafka import wait_ready

IMAGE = "apache/kafka:4.3.1"
LOOPBACK = "127.0.0.1"
START_SCRIPT = "/opt/kafka/callverdict-start.sh"  # a folder that both the image has and its user may read
ENVIRONMENT = {
    "CLUSTER_ID": "MkU3OEVBNTcwNTJENDM2Qg",
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9094",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_LISTENERS": "HOST://:9092,INTERNAL://:9093,CONTROLLER://:9094",
    "KAFKA_INTER_BROKER_LISTENER_NAME": "INTERNAL",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "HOST:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "3",
    "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "3",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
}


def trouble() -> str | None:
    """Why no container can run here; None if one can."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # docker leaves a socket open when nobody answers
        found = _trouble()
        gc.collect()
    return found


def _trouble() -> str | None:
    try:
        client = docker.from_env(timeout=10)
    except DockerException as error:
        return f"no Docker engine answers ({error})"
    try:
        client.ping()
    except DockerException as error:
        return f"the Docker engine does not answer ({error})"
    finally:
        client.close()
    return None


class KafkaContainer(DockerContainer):
    """What a client is told to connect to is known only after the start: the container waits for its start script until then."""

    def __init__(self, image: str = IMAGE) -> None:
        super().__init__(image)
        self.with_envs(**ENVIRONMENT)
        self.ports["9092/tcp"] = (LOOPBACK, None)
        self.with_command(["sh", "-c", f"until [ -f {START_SCRIPT} ]; do sleep 0.1; done; exec sh {START_SCRIPT}"])

    @property
    def port(self) -> int:
        return int(self.get_exposed_port(9092))

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> Self:
        os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")  # its image is one more to pull; `with` ends the container
        super().start()
        script = dedent(f"""\
            export KAFKA_ADVERTISED_LISTENERS=HOST://{self.bootstrap},INTERNAL://localhost:9093
            exec /etc/kafka/docker/run
            """)
        self.copy_into_container(script.encode(), START_SCRIPT, 0o755)
        wait_ready([Node(id=1, port=self.port, controller_port=0)], self._ended)
        return self

    def _ended(self) -> str | None:
        container = self.get_wrapped_container()
        container.reload()
        if container.status == "running":
            return None
        return f"the Kafka container is {container.status}: {b''.join(self.get_logs()).decode(errors='replace')[-800:]}"
