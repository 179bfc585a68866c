"""The state of `assemble` in one partition of calls.events: how it is drained into the changelog, and put back from it."""

from __future__ import annotations

import heapq

import msgspec

from pipeline.core.call import Call, Closed
from pipeline.core.model import CallRow, LateRow, LegRow
from pipeline.core.routing import CoreSeen, Facts, Linked
from pipeline.core.tally import Delta, DeltaKey

NEVER_MS = -1
DUE_CALL, DUE_CLOSED = 0, 1
"""What an entry of the agenda is about."""


class Retired(msgspec.Struct, frozen=True, gc=False):
    """The tombstone of a withdrawn row, due when retention is over. `leg_id` None: the call's row."""

    tenant: str
    call_id: str
    leg_id: str | None


Output = LegRow | CallRow | LateRow | Facts | Linked | CoreSeen | Retired


class Assembly(msgspec.Struct):
    """The state of one partition of calls.events. The changelog has all but `agenda`, `dirty` and what `drain` empties."""

    now_ms: int = NEVER_MS  # stream time: the least watermark of all origins, never back
    origins: dict[str, int] = {}
    cores: dict[str, dict[str, dict[str, int]]] = {}  # tenant -> source -> core_id -> when that run of the switch was first seen
    calls: dict[str, Call] = {}
    closed: dict[str, Closed] = {}
    agenda: list[tuple[int, int, str]] = []  # heap of (due_ms, DUE_..., key)
    dirty: dict[str, Call] = {}
    touched: dict[str, None] = {}  # keys of calls and closed calls, changed since the last drain
    deltas: dict[DeltaKey, Delta] = {}  # of the tallies, since the last drain
    clock_moved: bool = False
    cores_moved: bool = False


class Drained(msgspec.Struct):
    """What changed since the last drain. None stands for: gone."""

    homes: dict[str, Call | Closed | None]
    deltas: dict[DeltaKey, Delta]
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
