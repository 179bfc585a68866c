"""The state of `assemble` in one partition of calls.events: how it is drained into the changelog, and put back from it."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import NamedTuple

from pipeline.core.call import Call
from pipeline.core.model import CallRow, LateRow, LegRow, Retired
from pipeline.core.routing import CoreSeen, Facts, Linked
from pipeline.core.shelf import Shelf
from pipeline.core.stored import Closed
from pipeline.core.tally import Deltas

NEVER_MS = -1
DUE_CALL, DUE_CLOSED = 0, 1
"""What an entry of the agenda is about."""


Output = LegRow | CallRow | LateRow | Facts | Linked | CoreSeen | Retired


class Assembly:
    """The state of one partition of calls.events. The changelog has all but `agenda`, `dirty` and what `drain` empties."""

    __slots__ = ("agenda", "calls", "clock_moved", "closed", "cores", "cores_moved", "deltas", "dirty", "now_ms", "origins", "touched")

    def __init__(self, calls: Shelf | None = None) -> None:
        self.now_ms = NEVER_MS  # stream time: the least watermark of all origins, never back
        self.origins: dict[str, int] = {}
        self.cores: dict[str, dict[str, dict[str, int]]] = {}  # tenant -> source -> core_id -> when that run of the switch was first seen
        self.calls = Shelf() if calls is None else calls
        self.closed: dict[str, Closed] = {}
        self.agenda: list[tuple[int, int, str]] = []  # heap of (due_ms, DUE_..., key)
        self.dirty: dict[str, Call] = {}
        self.touched: dict[str, None] = {}  # keys of calls and closed calls, changed since the last drain
        self.deltas: Deltas = {}  # of the tallies, since the last drain
        self.clock_moved = False
        self.cores_moved = False


class Standing(NamedTuple):
    """How a call stands, without its facts. `began_ms` of an open one, else None (inspection)."""

    is_dirty: bool
    due_ms: int | None
    began_ms: int | None


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


def restore_home(state: Assembly, key: str, home: bytes | Closed | None) -> None:
    """Put the image of a call, or what is left of one, back; None takes it out."""
    state.closed.pop(key, None)
    if isinstance(home, bytes):
        state.calls.shelve(key, home)
        return
    state.calls.drop(key)
    if home is not None:
        state.closed[key] = home


def restored(state: Assembly, standing: Callable[[bytes], Standing]) -> None:
    """Rebuild what is derived, once everything stored is back. `standing` reads it off an image."""
    agenda: list[tuple[int, int, str]] = []
    dirty: list[str] = []
    for key, image in state.calls.images.items():
        stand = standing(image)
        if stand.due_ms is not None:
            agenda.append((stand.due_ms, DUE_CALL, key))
        if stand.is_dirty:
            dirty.append(key)
    for key in sorted(dirty):
        call = state.calls.get(key)
        if call is not None:
            state.dirty[key] = call
    agenda += [(closed.until_ms, DUE_CLOSED, key) for key, closed in state.closed.items()]
    heapq.heapify(agenda)
    state.agenda = agenda
