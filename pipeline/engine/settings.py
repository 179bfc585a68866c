"""What can be set about the engine. Times in seconds, sizes in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The defaults are the values that were measured; ARCHITECTURE.md says which.

    `app_id` is the consumer group and the beginning of every transactional id: changing it forgets the offsets.
    `instance_id` makes the worker a static member of the group: unique per worker, the same after its restart.
    `security` is handed to every Kafka client as it is (`security_protocol`, `sasl_mechanism`, `ssl_context`, ...).
    """

    bootstrap: str
    app_id: str
    instance_id: str | None = None
    security: Mapping[str, Any] = {}

    chunk_records: int = 2_000
    linger_s: float = 0.05  # between two transactions of a partition that are not full (pipeline.engine.pace)
    tick_s: float = 5.0
    rest_s: float = 0.2  # a position that moved over markers only waits so long for records to go with

    session_timeout_s: float = 10.0
    heartbeat_s: float = 1.0
    rebalance_timeout_s: float = 20.0
    transaction_timeout_s: float = 15.0
    request_timeout_s: float = 10.0
    close_timeout_s: float = 10.0
    patience_s: float = 60.0  # how long opening waits for a broker that is away

    fetch_bytes: int = 1 << 20
    fetch_min_bytes: int = 1
    fetch_wait_s: float = 0.05
    fetch_pause_s: float = 0.02  # at most, after a fetch that brought little: the next one brings more
    restore_bytes: int = 4 << 20

    web_host: str = "127.0.0.1"
    web_port: int | None = None

    @property
    def clients(self) -> dict[str, Any]:
        """The arguments that every Kafka client takes."""
        return {"bootstrap_servers": self.bootstrap.split(","), **self.security}


def transactional_id(app_id: str, topic: str, partition: int) -> str:
    """One per input partition: aiokafka has no group metadata in transactions (KIP-447), so the id is what fences."""
    return f"{app_id}-{topic}-{partition}"
