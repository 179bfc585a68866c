"""The counts in state: one slot for each window of each queue, changed by the difference that a call makes."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import msgspec

from pipeline.core.assembly import DUE_SLOT, Assembly, Output, slot_text
from pipeline.core.call import Call
from pipeline.core.model import LateRow, Policy
from pipeline.core.stored import Slot
from pipeline.core.tally import COLUMNS, SlotKey, Units, changed_counts, gone_ms, is_pending


def count(state: Assembly, call: Call, units: Units, policy: Policy, out: list[Output]) -> None:
    """Let a call count for these units from now on. What a window can no longer take is put out as late."""
    if units == call.units:
        return
    for (queue, size_ms, start_ms), change in changed_counts(call.units, units, policy.window_sizes_ms).items():
        key: SlotKey = (call.tenant, queue, size_ms, start_ms)
        if key not in state.slots and gone_ms(key, policy) <= state.now_ms:
            out.append(_late_change(state, call, key, change))
        else:
            _add(state, key, change, policy)
    call.units = dict(units)


def _add(state: Assembly, key: SlotKey, change: Iterable[int], policy: Policy) -> None:
    slot = state.slots.get(key)
    if slot is None:
        slot = state.slots[key] = Slot(0, [0] * len(COLUMNS))
        heapq.heappush(state.agenda, (gone_ms(key, policy), DUE_SLOT, slot_text(key)))
    slot.revision += 1
    counts = slot.counts
    for column, by in enumerate(change):
        if by:
            counts[column] += by
    state.touched_slots[key] = slot


def _late_change(state: Assembly, call: Call, key: SlotKey, change: list[int]) -> LateRow:
    tenant, queue, _, start_ms = key
    return LateRow(
        tenant=tenant,
        call_id=call.key,
        reason="window_closed",
        late_ms=max(0, state.now_ms - start_ms),
        queue=queue,
        window_start_ms=start_ms,
        change={column: by for column, by in zip(COLUMNS, change, strict=True) if by},
    )


def drop_slot(state: Assembly, text: str, policy: Policy) -> None:
    """Drop a window that is due; one that waits for a result is kept for another retention."""
    tenant, queue, size_ms, start_ms = msgspec.json.decode(text, type=SlotKey)
    key = (tenant, queue, size_ms, start_ms)
    slot = state.slots.get(key)
    if slot is not None and is_pending(slot.counts):
        heapq.heappush(state.agenda, (state.now_ms + policy.tally_retention_ms + 1, DUE_SLOT, text))
    elif slot is not None:
        del state.slots[key]
        state.dropped_slots[key] = None
