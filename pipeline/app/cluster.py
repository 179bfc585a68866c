"""Which brokers are asked, and how they are reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from pipeline.settings import Settings, security


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """`security` is handed to every Kafka client as it is."""

    bootstrap: str
    security: Mapping[str, Any] = {}

    @property
    def clients(self) -> dict[str, Any]:
        """The arguments that every Kafka client takes."""
        return {"bootstrap_servers": self.bootstrap.split(","), **self.security}


Brokers: TypeAlias = Cluster | str
"""An address alone stands for brokers that are reached in plain text."""


def cluster(settings: Settings) -> Cluster:
    return Cluster(bootstrap=settings.bootstrap, security=security(settings.security))


def clients(brokers: Brokers) -> dict[str, Any]:
    """The arguments that every Kafka client takes."""
    return (Cluster(bootstrap=brokers) if isinstance(brokers, str) else brokers).clients
