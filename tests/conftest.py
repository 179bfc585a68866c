"""Fixtures that every room's tests may use."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.broker import Broker, NoBrokerError, broker

settings.register_profile("house", deadline=None, print_blob=True)  # no clock on a shared machine; a failure says how to repeat it
settings.load_profile("house")


@pytest.fixture(scope="session")
def kafka() -> Iterator[Broker]:
    """One real Kafka for the whole run; tests keep apart by `topic_prefix`."""
    try:
        with broker() as running:
            yield running
    except NoBrokerError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def topic_prefix() -> str:
    """Goes before the topics and group ids of one test, so that no two tests see each other."""
    return f"t{uuid.uuid4().hex[:8]}."


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What asks for the broker is a test with Kafka, whether or not its author remembered the marker."""
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker("kafka")
