"""Which Kafka the tests get: the one that is named, else one on this machine, else one in Docker, else none and a failure.

A test that needs Kafka never skips: it would prove nothing and look as if it had.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from pipeline.workbench.kafka import LocalKafka
from pipeline.workbench.runtime import LocalKafkaError
from tests.support import containers

NAMED = "CALLVERDICT_TEST_BOOTSTRAP"
GROUP, TRANSACTION = 0, 1  # Kafka's kinds of coordinators
SETTLE_S = 60


class NoBrokerError(Exception):
    """Nothing here can be or become a Kafka; says what to install."""


@dataclass(frozen=True, kw_only=True)
class Broker:
    """A running Kafka. `kind` is `named`, `local` or `container`."""

    bootstrap: str
    kind: str


@contextmanager
def broker() -> Iterator[Broker]:
    """The Kafka of this test run."""
    if named := os.environ.get(NAMED):
        yield Broker(bootstrap=named, kind="named")
        return
    with ExitStack() as stack:
        own = _own(stack)
        asyncio.run(_await_coordinators(own.bootstrap))
        yield own


def _own(stack: ExitStack) -> Broker:
    try:
        return Broker(bootstrap=stack.enter_context(LocalKafka()).bootstrap, kind="local")
    except LocalKafkaError as error:
        local_trouble = str(error)
    if (docker_trouble := containers.trouble()) is None:
        return Broker(bootstrap=stack.enter_context(containers.KafkaContainer()).bootstrap, kind="container")
    raise NoBrokerError(
        f"these tests need a Kafka. On this machine: {local_trouble}. In Docker: {docker_trouble}. Mend either, or name a running one in {NAMED}"
    )


async def _await_coordinators(bootstrap: str) -> None:
    """A new cluster makes the topics behind groups and transactions when they are first asked for: no test should be that first."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        for kind in (GROUP, TRANSACTION):
            await _await_coordinator(admin, kind)
    finally:
        await admin.close()


async def _await_coordinator(admin: AIOKafkaAdminClient, kind: int) -> None:
    until_s = time.monotonic() + SETTLE_S
    while True:
        try:
            await admin.find_coordinator("first", kind)
        except GroupCoordinatorNotAvailableError:
            if time.monotonic() > until_s:
                raise
            await asyncio.sleep(0.1)
        else:
            return
