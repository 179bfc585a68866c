"""The state of a partition as one number, to compare what a worker has in memory with what another one restores or a replay comes to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from pipeline.app import codec
from pipeline.app.assemble import AssembleStep
from pipeline.app.tally import TallyStep
from pipeline.core.assembly import Assembly
from pipeline.core.totals import Totals
from pipeline.engine.step import Step


def digest_of(state: Assembly | Totals) -> str:
    """Equal states have equal digests; of the order in which things came nothing remains."""
    digest = hashlib.sha256()
    for key, value in sorted(_records(state)):
        digest.update(b"%d %s %d %s\n" % (len(key), key, len(value), value))
    return digest.hexdigest()


def _records(state: Assembly | Totals) -> Iterator[tuple[bytes, bytes]]:
    """The whole state as the changelog would hold it, and what is derived from it and waits."""
    if isinstance(state, Totals):
        yield codec.clock_record(state.reached)
        yield b"now", b"%d" % state.now_ms
        changes = [codec.total_record(key, total) for key, total in state.totals.items()]
    else:
        yield codec.clock_record((state.now_ms, dict(sorted(state.origins.items()))))
        yield codec.cores_record(state.cores)
        yield from ((b"dirty", key.encode()) for key in state.dirty)
        changes = [codec.home_record(key, home) for key, home in state.calls.items()]
        changes += [codec.home_record(key, home) for key, home in state.closed.items()]
    yield from ((key, value or b"") for key, value in changes)


def digest_of_step(step: Step | None) -> str | None:
    """None for a stage that keeps no state."""
    return digest_of(step._state) if isinstance(step, AssembleStep | TallyStep) else None
