"""The Docker side is proven only where an engine answers; elsewhere these tests skip and say why."""

from __future__ import annotations

import pytest

from tests.support import containers


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """tests/support/docker/engine.sh gives one where there is none (Debian, root)."""
    if trouble := containers.trouble():
        pytest.skip(trouble)
