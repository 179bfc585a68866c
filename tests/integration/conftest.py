"""Installations that end with their module."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import pytest

from tests.integration.installation import Installation
from tests.support.broker import Broker


class Install(Protocol):
    def __call__(self, *sources: Mapping[str, Any], **settings: object) -> Installation: ...


@pytest.fixture(scope="module")
def install(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    """`install(source(...), ..., setting=value)` makes an installation with topics and group of its own."""
    made: list[Installation] = []

    def fresh(*sources: Mapping[str, Any], **settings: object) -> Installation:
        prefix = f"t{uuid.uuid4().hex[:8]}."
        made.append(Installation(kafka.bootstrap, prefix, tmp_path_factory.mktemp("installation"), sources, **settings))
        return made[-1]

    try:
        yield fresh
    finally:
        for installation in made:
            installation.end()
