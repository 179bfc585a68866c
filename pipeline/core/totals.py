"""One step of `tally`: absolute partial counts of the input partitions in, one row a window and revision out.

A window's row is the sum of one slot per input partition, so a repeated partial is harmless and interleaving does not matter.
"""

from __future__ import annotations

import heapq
from typing import Annotated

import msgspec
from msgspec import Meta

from pipeline.core.model import LATEST_MS, AtMs, LateRow, Policy, TallyRow, WindowState, Word
from pipeline.core.routing import Tenant
from pipeline.core.stored import Slot
from pipeline.core.tally import COLUMNS, SlotKey, final_ms, gone_ms, is_pending

PartitionNumber = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Partial(msgspec.Struct, frozen=True, kw_only=True, tag="partial", tag_field="control", gc=False):
    """The absolute counts of one window of one queue in one partition of calls.events. `counts` follows tally.COLUMNS."""

    tenant: Tenant
    queue: Word
    size_ms: Annotated[int, Meta(ge=1, le=LATEST_MS)]
    start_ms: AtMs
    partition: PartitionNumber
    revision: Annotated[int, Meta(ge=0, le=2**53)]
    counts: Annotated[list[Annotated[int, Meta(ge=-(2**62), le=2**62)]], Meta(min_length=len(COLUMNS), max_length=len(COLUMNS))]


class Reached(msgspec.Struct, frozen=True, kw_only=True, tag="reached", tag_field="control", gc=False):
    """The stream time of one partition of calls.events."""

    partition: PartitionNumber
    at_ms: Annotated[int, Meta(ge=-1, le=LATEST_MS)]


class Total(msgspec.Struct, array_like=True, gc=False):
    """One window of one queue: a slot per input partition, by its number as text."""

    slots: dict[str, Slot] = {}
    state: WindowState = "open"


class Totals(msgspec.Struct):
    """The state of one partition of calls.tallies.partial; `partitions`: how many partitions calls.events has."""

    partitions: int
    reached: dict[str, int] = {}  # by partition, as text
    totals: dict[SlotKey, Total] = {}
    now_ms: int = -1  # the least that all partitions have reached
    agenda: list[tuple[int, SlotKey]] = []
    touched: dict[SlotKey, None] = {}
    clock_moved: bool = False


class DrainedTotals(msgspec.Struct):
    """What changed since the last drain. None stands for: gone."""

    totals: dict[SlotKey, Total | None]
    clock_moved: bool


def step(state: Totals, item: Partial | Reached, policy: Policy) -> list[TallyRow | LateRow]:
    """Take one item. Return the rows that changed. Does not raise on data."""
    if isinstance(item, Reached):
        return _advance(state, item, policy)
    key: SlotKey = (item.tenant, item.queue, item.size_ms, item.start_ms)
    total = state.totals.get(key)
    if total is None:
        if gone_ms(key, policy) <= state.now_ms:
            return [_late(state, item)]
        total = state.totals[key] = Total()
        heapq.heappush(state.agenda, (max(final_ms(key, policy), state.now_ms + 1), key))
    partition = str(item.partition)
    known = total.slots.get(partition)
    if known is not None and known.revision >= item.revision:
        return []
    total.slots[partition] = Slot(item.revision, item.counts)
    return [_turned(state, key, total, policy)]


def drain(state: Totals) -> DrainedTotals:
    """Return what changed since the last call and forget that it did."""
    drained = DrainedTotals({key: state.totals.get(key) for key in state.touched}, state.clock_moved)
    state.touched, state.clock_moved = {}, False
    return drained


def restored(state: Totals, policy: Policy) -> None:
    """Rebuild what is derived, once everything stored is back."""
    state.now_ms = _least_ms(state)
    state.agenda = [(final_ms(key, policy), key) for key in state.totals]
    heapq.heapify(state.agenda)


def _least_ms(state: Totals) -> int:
    return min(state.reached.values()) if len(state.reached) >= state.partitions else -1


def _advance(state: Totals, item: Reached, policy: Policy) -> list[TallyRow | LateRow]:
    partition = str(item.partition)
    if item.at_ms <= state.reached.get(partition, -1):
        return []
    state.reached[partition] = item.at_ms
    state.clock_moved = True
    state.now_ms = max(state.now_ms, _least_ms(state))
    rows: list[TallyRow | LateRow] = []
    while state.agenda and state.agenda[0][0] <= state.now_ms:
        due_ms, key = heapq.heappop(state.agenda)
        total = state.totals.get(key)
        if total is None:
            continue
        if total.state == "open" and not is_pending(_sum(total)):
            rows.append(_turned(state, key, total, policy))
        if gone_ms(key, policy) <= state.now_ms and total.state == "final":
            del state.totals[key]
            state.touched[key] = None
        else:
            heapq.heappush(state.agenda, (max(gone_ms(key, policy), due_ms + policy.tally_retention_ms, state.now_ms + 1), key))
    return rows


def _turned(state: Totals, key: SlotKey, total: Total, policy: Policy) -> TallyRow:
    """Return the window's row; note whether it became final or open again. Its revision depends on what it says alone."""
    counts = _sum(total)
    is_final = state.now_ms >= final_ms(key, policy) and not is_pending(counts)
    total.state = "final" if is_final else "open"
    state.touched[key] = None
    tenant, queue, size_ms, start_ms = key
    return TallyRow(
        tenant=tenant,
        queue=queue,
        window_size_s=size_ms // 1000,
        window_start_ms=start_ms,
        window_end_ms=start_ms + size_ms,
        window_state=total.state,
        revision=2 * sum(slot.revision for slot in total.slots.values()) - 1 + is_final,
        **dict(zip(COLUMNS, counts, strict=True)),
    )


def _sum(total: Total) -> list[int]:
    return [sum(column) for column in zip(*(slot.counts for slot in total.slots.values()), strict=True)]


def _late(state: Totals, item: Partial) -> LateRow:
    return LateRow(
        tenant=item.tenant,
        call_id="",
        reason="window_closed",
        late_ms=max(0, state.now_ms - item.start_ms),
        queue=item.queue,
        window_start_ms=item.start_ms,
        change={column: count for column, count in zip(COLUMNS, item.counts, strict=True) if count},
    )
