"""Seeds of the simulation: whatever happens to the workers, topics say what the oracle says, each once. And: would it be seen if not?"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from unittest.mock import patch

import pytest

from pipeline.app import assemble
from pipeline.engine.ledger import Ledger
from pipeline.engine.writer import Position
from tests.simulation import broker, clients, log
from tests.simulation.checks import findings
from tests.simulation.plan import plan
from tests.simulation.shrinking import shrunk
from tests.simulation.world import World, run

ROOT = Path(__file__).parents[2]


def failing(seeds: range) -> dict[int, list[str]]:
    """Return what is wrong, by seed. `python -m tests.simulation --seeds 1 --from SEED --tell --shrink` says more."""
    return {seed: wrong for seed in seeds if (wrong := findings(run(plan(seed))))}


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_a_few_seeds(first: int) -> None:
    assert failing(range(first, first + 10)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1_000, 1_400, 50))
def test_some_hundred_seeds(first: int) -> None:
    assert failing(range(first, first + 50)) == {}


HAPPENS = (
    "aborted", "events", "expire", "freeze", "jump", "killed", "looked", "partition.failed", "partition.fenced", "refused", "restored",
    "taken_up", "worker.halted",
)  # fmt: skip


@pytest.mark.slow
def test_harm_is_really_done() -> None:
    seen: Counter[str] = sum((run(plan(seed)).summary() for seed in range(2_000, 2_100)), Counter())
    assert [what for what in HAPPENS if not seen[what]] == []


# -- the same seed again


def digest(world: World) -> str:
    """Return a fingerprint of every byte, offset and hole of every topic."""
    logs = sorted(world.broker.logs.items())
    text = repr([(place, [entry and (entry[0], entry[1] and entry[1].outcome) for entry in each.entries]) for place, each in logs])
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_seed_gives_the_same_bytes_again_in_another_process() -> None:
    seed = 4
    program = f"from tests.simulation.test_simulation import *; print(digest(run(plan({seed}))))"
    environ = {**os.environ, "PYTHONHASHSEED": "1"}
    again = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
    assert again.stdout.split() == [digest(run(plan(seed)))]


# -- what would be seen: each of these breaks one thing that holds the promise together


def anybody_may_write(self: broker.Broker, producer: str, epoch: int) -> broker.Identity:
    """A zombie is not fenced."""
    assert epoch >= 0
    return self._identities[producer]


def aborted_is_seen(transaction: log.Transaction | None) -> bool:
    """Readers read what was never committed."""
    return transaction is None or transaction.outcome != "open"


async def offsets_beside_the_transaction(self: clients.Producer, offsets: dict[log.Place, Position], group: str) -> None:
    """The position is committed at once, whatever becomes of the records."""
    assert group
    self._host.broker.committed.update({(place[0], place[1]): Position(known.offset, known.metadata) for place, known in offsets.items()})


def forgets(self: assemble.AssembleStep, outputs: assemble.Outputs) -> list[tuple[bytes, bytes | None]]:
    """One changed call in a chunk is not stored."""
    return drained(self, outputs)[1:]


def begins_anew(self: Ledger, _known: Position) -> None:
    """What the changelog knows of the position is not used."""
    assert self.next_offset >= 0


drained = assemble.AssembleStep._drained
BROKEN: tuple[tuple[str, Callable[[], AbstractContextManager[object]]], ...] = (
    ("no fence", lambda: patch.object(broker.Broker, "_checked", anybody_may_write)),
    ("aborted is seen", lambda: patch.object(log, "_is_committed", aborted_is_seen)),
    ("offsets beside", lambda: patch.object(clients.Producer, "send_offsets_to_transaction", offsets_beside_the_transaction)),
    ("state not stored", lambda: patch.object(assemble.AssembleStep, "_drained", forgets)),
    ("positions forgotten", lambda: patch.object(Ledger, "_reconcile", begins_anew)),
)


@pytest.mark.slow
@pytest.mark.parametrize("how", [how for _, how in BROKEN], ids=[name for name, _ in BROKEN])
def test_what_is_broken_is_found(how: Callable[[], AbstractContextManager[object]]) -> None:
    with how():
        assert any(failing(range(seed, seed + 1)) for seed in range(200))


def test_a_failing_plan_is_made_smaller() -> None:
    chosen = next(each for seed in range(100) if len((each := plan(seed)).sends) > 10 and each.harms)
    small = shrunk(chosen, lambda smaller: any(event.kind == "ended" for send in smaller.sends for event in send.events))
    assert (len(small.sends), small.harms, small.workers) == (1, (), 1)
