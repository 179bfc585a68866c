"""The state of `assemble` in one partition of calls.events: how it is drained into the changelog, and put back from it."""

from __future__ import annotations

import heapq
from typing import NamedTuple

from pipeline.core.call import Call
from pipeline.core.model import CallRow, LateRow, LegRow, Retired
from pipeline.core.routing import CoreSeen, Facts, Linked
from pipeline.core.stored import Closed
from pipeline.core.tally import Deltas

NEVER_MS = -1
DUE_CALL, DUE_CLOSED = 0, 1
"""What an entry of the agenda is about."""


Output = LegRow | CallRow | LateRow | Facts | Linked | CoreSeen | Retired


class Assembly:
    """The state of one partition of calls.events. The changelog has all but `agenda`, `dirty` and what `drain` empties."""

    __slots__ = ("agenda", "calls", "clock_moved", "closed", "cores", "cores_moved", "deltas", "dirty", "now_ms", "origins", "touched")

    def __init__(self) -> None:
        self.now_ms = NEVER_MS  # stream time: the least watermark of all origins, never back
        self.origins: dict[str, int] = {}
        self.cores: dict[str, dict[str, dict[str, int]]] = {}  # tenant -> source -> core_id -> when that run of the switch was first seen
        self.calls: dict[str, Call] = {}
        self.closed: dict[str, Closed] = {}
        self.agenda: list[tuple[int, int, str]] = []  # heap of (due_ms, DUE_..., key)
        self.dirty: dict[str, Call] = {}
        self.touched: dict[str, None] = {}  # keys of calls and closed calls, changed since the last drain
        self.deltas: Deltas = {}  # of the tallies, since the last drain
        self.clock_moved = False
        self.cores_moved = False


class Drained(NamedTuple):
    """What changed since the last drain. None stands for: gone."""

    homes: dict[str, Call | Closed | None]
    deltas: Deltas
    clock_moved: bool
    cores_moved: bool


def drain(state: Assembly) -> Drained:
    """Return what changed since the last call and forget that it did."""
    homes = {key: state.calls.get(key) or state.closed.get(key) for key in state.touched}
    drained = Drained(homes, state.deltas, state.clock_moved, state.cores_moved)
    state.touched, state.deltas = {}, {}
    state.clock_moved = state.cores_moved = False
    return drained


def restore_home(state: Assembly, key: str, home: Call | Closed | None) -> None:
    """Put a stored call (or what is left of it) back; None takes it out."""
    state.calls.pop(key, None)
    state.closed.pop(key, None)
    if isinstance(home, Call):
        state.calls[key] = home
    elif home is not None:
        state.closed[key] = home


def restored(state: Assembly) -> None:
    """Rebuild what is derived, once everything stored is back."""
    state.dirty = {key: call for key, call in sorted(state.calls.items()) if call.is_dirty}
    agenda = [(call.due_ms, DUE_CALL, key) for key, call in state.calls.items() if call.due_ms is not None]
    agenda += [(closed.until_ms, DUE_CLOSED, key) for key, closed in state.closed.items()]
    heapq.heapify(agenda)
    state.agenda = agenda
