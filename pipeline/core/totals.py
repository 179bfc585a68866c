"""One step of `tally`: deltas of base windows in; audit records and facts that came too late out, and on demand the rows that changed.

A base window's delta is added to the window of every size that it is a piece of, on the wall clock of its queue. Nothing here depends
on how deltas are interleaved or cut; rows are due once a second of stream time, and when nothing comes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple, get_args

from pipeline.core.model import (
    AgentTallyRow,
    Attribution,
    AuditRow,
    ChangeReason,
    LateRow,
    Policy,
    TallyRow,
    WindowState,
)
from pipeline.core.stored import Cause, Kind, Partial, Reached, Sum, Total
from pipeline.core.tally import OPEN, Delta, DeltaKey, sizes_of
from pipeline.core.tallyrows import row_of
from pipeline.core.window import Window, local_window

REASONS: tuple[ChangeReason, ...] = get_args(ChangeReason)
_EVERY_MS = 1_000
_STATES: tuple[WindowState, ...] = ("open", "reopened", "final")
"""In the order in which a window that does not change can pass through them."""

TotalKey = tuple[str, Kind, str, Attribution, int, int]
"""(tenant, kind, the queue's or agent's name, attribution, window size ms, window start ms)"""


def partial_of(key: DeltaKey, delta: Delta) -> Partial:
    """Return a delta as a record."""
    tenant, kind, name, attribution, start_ms = key
    return Partial(
        tenant=tenant, kind=kind, name=name, attribution=attribution, start_ms=start_ms, steps=delta.steps, counts=delta.counts,
        causes=delta.causes,
    )  # fmt: skip


class Totals:
    """The state of one partition of calls.tallies.partial; `partitions`: how many partitions calls.events has."""

    __slots__ = ("agenda", "clock_moved", "is_due", "now_ms", "partitions", "reached", "totals", "touched", "unsaid")

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.reached: dict[str, int] = {}  # by partition, as text
        self.totals: dict[TotalKey, Total] = {}
        self.now_ms = -1  # the least that all partitions have reached
        self.agenda: list[tuple[int, TotalKey]] = []
        self.touched: dict[TotalKey, None] = {}
        self.unsaid: dict[TotalKey, None] = {}  # windows whose row is not what they say now
        self.is_due = False  # a second of stream time is over: say it
        self.clock_moved = False


class DrainedTotals(NamedTuple):
    """What changed since the last drain. None stands for: gone."""

    totals: dict[TotalKey, Total | None]
    clock_moved: bool


def step(state: Totals, item: Partial | Reached, policy: Policy) -> list[AuditRow | LateRow]:
    """Take one item. Return what came after its time. Does not raise on data."""
    if isinstance(item, Reached):
        _advance(state, item, policy)
        return []
    out: list[AuditRow | LateRow] = []
    zone = _zone(item.kind, item.name, policy)
    for size_ms in sizes_of(item.kind, policy):
        window = local_window(item.start_ms, size_ms, zone)
        key: TotalKey = (item.tenant, item.kind, item.name, item.attribution, size_ms, window.start_ms)
        total = _total(state, key, window, policy)
        if total is None:
            out.append(_late(state, key, item))
        else:
            _add(total, item)
            out += _audited(key, total, item.causes, policy)
            state.touched[key] = state.unsaid[key] = None
    return out


def take_rows(state: Totals, policy: Policy, *, idle: bool = False) -> Iterator[TallyRow | AgentTallyRow]:
    """Yield what changed, if a second of stream time is over or nothing more comes. Call it after a chunk, and store what `drain` says then."""
    if not (state.is_due or idle):
        return
    state.is_due = False
    for key in state.unsaid:
        total = state.totals.get(key)
        if total is not None:
            revision = _revision(total, state.now_ms, policy)
            if revision > total.said:
                total.said = revision
                state.touched[key] = None
                yield _row(key, total, _state(total, state.now_ms, policy), policy)
    state.unsaid = {}


def drain(state: Totals) -> DrainedTotals:
    """Return what changed since the last call and forget that it did."""
    drained = DrainedTotals({key: state.totals.get(key) for key in state.touched}, state.clock_moved)
    state.touched, state.clock_moved = {}, False
    return drained


def restored(state: Totals, policy: Policy) -> None:
    """Rebuild what is derived, once everything stored is back."""
    state.now_ms = _least_ms(state)
    state.agenda = [(total.end_ms + policy.grace_ms, key) for key, total in state.totals.items()]
    heapq.heapify(state.agenda)
    state.unsaid = dict.fromkeys(sorted(key for key, total in state.totals.items() if total.said < _revision(total, state.now_ms, policy)))


def misaligned(state: Totals, policy: Policy) -> TotalKey | None:
    """Return a window that this policy does not have: of another size, or on another clock. What is counted there cannot be corrected."""
    for key, total in state.totals.items():
        _, kind, name, _, size_ms, start_ms = key
        if size_ms not in sizes_of(kind, policy) or local_window(start_ms, size_ms, _zone(kind, name, policy)) != Window(
            start_ms, total.end_ms
        ):
            return key
    return None


def _zone(kind: Kind, name: str, policy: Policy) -> str:
    return policy.zone_of.get(name, policy.zone) if kind == "queue" else policy.zone


def _total(state: Totals, key: TotalKey, window: Window, policy: Policy) -> Total | None:
    """Return the window's counts, new ones where nothing was counted so far; None if it is gone."""
    total = state.totals.get(key)
    if total is None and _gone_ms(window.end_ms, policy) > state.now_ms:
        total = state.totals[key] = Total(window.end_ms)
        heapq.heappush(state.agenda, (max(window.end_ms + policy.grace_ms, state.now_ms + 1), key))
    return total


def _gone_ms(end_ms: int, policy: Policy) -> int:
    return end_ms + policy.grace_ms + policy.tally_retention_ms


def _add(total: Total, item: Partial) -> None:
    total.steps += item.steps
    counts = total.counts
    for column, count in item.counts.items():
        known = counts.get(column, 0) + count
        if known:
            counts[column] = known
        else:
            counts.pop(column, None)


def _audited(key: TotalKey, total: Total, causes: list[Cause], policy: Policy) -> Iterator[AuditRow]:
    tenant, kind, name, attribution, size_ms, start_ms = key
    for cause in causes:
        if cause.at_ms >= total.end_ms + policy.grace_ms:
            total.late |= 1 << REASONS.index(cause.reason)
            yield AuditRow(
                tenant=tenant,
                queue=name if kind == "queue" else None,
                agent=name if kind == "agent" else None,
                attribution=attribution,
                window_size_s=size_ms // 1000,
                window_start_ms=start_ms,
                reason=cause.reason,
                call_id=cause.call_id,
                leg_id=cause.leg_id,
                rule=cause.rule,
                at_ms=cause.at_ms,
                change=_shown(cause.counts),
            )


def _shown(counts: Sum) -> Sum:
    """Leave out what is no column."""
    return {column: count for column, count in counts.items() if ":" not in column and column != OPEN}


def _late(state: Totals, key: TotalKey, item: Partial) -> LateRow:
    tenant, kind, name, attribution, size_ms, start_ms = key
    calls = {cause.call_id for cause in item.causes}
    return LateRow(
        tenant=tenant,
        call_id=calls.pop() if len(calls) == 1 else "",
        reason="window_closed",
        late_ms=max(0, state.now_ms - start_ms),
        queue=name if kind == "queue" else None,
        agent=name if kind == "agent" else None,
        attribution=attribution,
        window_size_s=size_ms // 1000,
        window_start_ms=start_ms,
        change=_shown(item.counts),
    )


# Time.


def _least_ms(state: Totals) -> int:
    return min(state.reached.values()) if len(state.reached) >= state.partitions else -1


def _advance(state: Totals, item: Reached, policy: Policy) -> None:
    partition = str(item.partition)
    known_ms = state.reached.get(partition, -1)
    if item.at_ms <= known_ms:
        return
    state.reached[partition] = item.at_ms
    state.clock_moved = True
    state.is_due = state.is_due or item.at_ms // _EVERY_MS > known_ms // _EVERY_MS
    state.now_ms = max(state.now_ms, _least_ms(state))
    while state.agenda and state.agenda[0][0] <= state.now_ms:
        due_ms, key = heapq.heappop(state.agenda)
        total = state.totals.get(key)
        if total is not None:
            _look_at(state, key, total, due_ms, policy)


def _look_at(state: Totals, key: TotalKey, total: Total, due_ms: int, policy: Policy) -> None:
    """A window's time is over, or so is its retention."""
    gone_ms = _gone_ms(total.end_ms, policy)
    if total.said == _revision(total, state.now_ms, policy) and due_ms >= gone_ms and not total.counts.get(OPEN):
        del state.totals[key]
        state.touched[key] = None
        return
    state.unsaid[key] = None
    heapq.heappush(state.agenda, (max(gone_ms, state.now_ms + 1), key))


def _revision(total: Total, now_ms: int, policy: Policy) -> int:
    """Return the number of a row: it depends on what the row says alone."""
    return 3 * total.steps - 2 + _STATES.index(_state(total, now_ms, policy))


def _state(total: Total, now_ms: int, policy: Policy) -> WindowState:
    if now_ms < total.end_ms + policy.grace_ms:
        return "open"
    if not total.counts.get(OPEN):
        return "final"
    return "reopened" if total.late else "open"


def _row(key: TotalKey, total: Total, window_state: WindowState, policy: Policy) -> TallyRow | AgentTallyRow:
    tenant, kind, name, attribution, size_ms, start_ms = key
    reason = REASONS[total.late.bit_length() - 1] if total.late else None
    return row_of(
        tenant, kind, name, attribution, Window(start_ms, total.end_ms), size_ms, _zone(kind, name, policy), total.counts,
        state=window_state, revision=total.said, reason=reason,
    )  # fmt: skip
