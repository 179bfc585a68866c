"""What a partition reads: committed records only, to the very end, and then its lag is 0."""

from __future__ import annotations

import pytest

from tests.engine.conftest import StartWorker
from tests.engine.view import View, content, numbered

pytestmark = pytest.mark.kafka


async def test_an_aborted_transaction_leaves_nothing_downstream(view: View, start: StartWorker) -> None:
    await view.create()
    await view.write("in", numbered(200), transaction="producer-1")
    await view.write("in", [(p, b"ghost", b"ghost") for p in range(4)] * 50, transaction="producer-1", abort=True)
    await view.write("in", numbered(200, first=200), transaction="producer-1")
    await view.write("in", [(p, b"ghost", b"ghost") for p in range(4)] * 50, transaction="producer-1", abort=True)
    start(copy_too=True)
    await view.drained(("in", "out"))
    await view.assert_counted_once(copied=True)
    assert len(await view.read("in", isolation="read_uncommitted")) == 800
    assert b"ghost" not in {key for _, key, _ in content(await view.read("out"))}


async def test_lag_rests_at_zero_where_only_markers_are_left(view: View, start: StartWorker) -> None:
    """`in` ends with markers and aborted records, `out` is written in transactions; then again after a restart."""
    await view.create()
    worker = start(copy_too=True, instance_id="one")
    await worker.ready()
    await view.write("in", numbered(100))
    await view.drained(("in", "out"))
    await view.write("in", [(p, b"ghost", b"ghost") for p in range(4)], transaction="producer-1", abort=True)
    await view.drained(("in", "out"))
    assert await worker.stop() == 0
    await view.write("in", [(p, b"ghost", b"ghost") for p in range(4)], transaction="producer-1", abort=True)
    assert set((await view.lags("in")).values()) == {2}
    start(copy_too=True, instance_id="one")
    await view.drained(("in", "out"))
    await view.assert_counted_once(copied=True)


async def test_a_partition_that_holds_nothing_is_committed_too(view: View, start: StartWorker) -> None:
    await view.create()
    worker = start()
    await worker.ready()
    assert await view.committed("in") == {0: 0, 1: 0, 2: 0, 3: 0}
