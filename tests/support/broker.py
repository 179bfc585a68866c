"""Which Kafka the tests get: the one that is named, else one on this machine, else one in Docker, else none and a failure.

A test that needs Kafka never skips: it would prove nothing and look as if it had.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from pipeline.workbench.kafka import LocalKafka
from pipeline.workbench.runtime import LocalKafkaError
from tests.support import containers

NAMED = "CALLVERDICT_TEST_BOOTSTRAP"


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
        yield _own(stack)


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
