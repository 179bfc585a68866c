"""One step of `assemble`: an item of calls.events in, rows and passed-on facts out; the state is that of one partition.

    step(state, item, policy) -> outputs      `state` is changed in place
    drain(state) -> what has to be stored and broadcast since the last drain

Events that came through `normalize` are judged when the watermark record behind them arrives, passed-on facts at the review record
behind them, and what a producer wrote itself at once. All of that stands in the log, so the same log gives the same revisions and
bytes however it is cut into chunks.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from pipeline.core.call import Call, Closed, Published, add_facts, add_link, leg_of, mirror_of, place
from pipeline.core.classify import CallVerdict, judge, judge_call
from pipeline.core.leg import Leg, fold
from pipeline.core.model import CallRow, LateReason, LateRow, LegEvent, LegRow, Policy, Verdict
from pipeline.core.race import Race, complete_ms, deadline_ms, read
from pipeline.core.routing import DIRECT, EVERY_ORIGIN, Facts, Item, Linked, Review, Watermark, home_of, state_key
from pipeline.core.rows import call_row, leg_row, withdrawn_call, withdrawn_leg
from pipeline.core.tally import COLUMNS, Slot, SlotKey, Units, changed_counts, gone_ms, is_pending, units_of

NEVER_MS = -1


class Retired(msgspec.Struct, frozen=True, gc=False):
    """The tombstone of a withdrawn row, due when retention is over. `leg_id` None: the call's row."""

    tenant: str
    call_id: str
    leg_id: str | None


R = TypeVar("R", LegRow, CallRow)
Output = LegRow | CallRow | LateRow | Facts | Linked | Retired


class Assembly(msgspec.Struct):
    """The state of one partition of calls.events. Everything but `agenda` and what `drain` empties is stored in the changelog."""

    now_ms: int = NEVER_MS  # stream time: the least watermark of all origins, never back
    origins: dict[str, int] = {}
    calls: dict[str, Call] = {}
    closed: dict[str, Closed] = {}
    slots: dict[SlotKey, Slot] = {}
    agenda: list[tuple[int, int, str]] = []  # heap of (due_ms, 0 call | 1 closed | 2 slot, key)
    dirty: dict[str, Call] = {}
    touched: dict[str, None] = {}  # keys of calls and closed calls, changed since the last drain
    touched_slots: dict[SlotKey, Slot] = {}  # with the last value, also of those that are gone
    clock_moved: bool = False


class Drained(msgspec.Struct):
    """What changed since the last drain. None stands for: gone. `partials` are the last counts, also of slots that are gone."""

    homes: dict[str, Call | Closed | None]
    slots: dict[SlotKey, Slot | None]
    partials: dict[SlotKey, Slot]
    clock_moved: bool


def step(state: Assembly, item: Item, policy: Policy) -> list[Output]:
    """Take one item. Return what is to be published or passed on. Does not raise on data."""
    out: list[Output] = []
    if isinstance(item, LegEvent):
        _take_event(state, item, policy, out)
    elif isinstance(item, Watermark):
        _review_dirty(state, policy, out)
        _advance(state, item, policy, out)
    elif isinstance(item, Review):
        _review_dirty(state, policy, out)
    else:
        _take_control(state, item, policy, out)
    return out


def drain(state: Assembly) -> Drained:
    """Return what changed since the last call and forget that it did."""
    homes = {key: state.calls.get(key) or state.closed.get(key) for key in state.touched}
    slots = {key: state.slots.get(key) for key in state.touched_slots}
    drained = Drained(homes, slots, state.touched_slots, state.clock_moved)
    state.touched, state.touched_slots, state.clock_moved = {}, {}, False
    return drained


def restore_home(state: Assembly, key: str, home: Call | Closed | None) -> None:
    """Put a stored call (or what is left of it) back; None takes it out."""
    state.calls.pop(key, None)
    state.closed.pop(key, None)
    if isinstance(home, Call):
        state.calls[key] = home
    elif home is not None:
        state.closed[key] = home


def restored(state: Assembly, policy: Policy) -> None:
    """Rebuild what is derived, once everything stored is back."""
    state.dirty = {key: call for key, call in sorted(state.calls.items()) if call.is_dirty}
    agenda = [(call.due_ms, 0, key) for key, call in state.calls.items() if call.due_ms is not None]
    agenda += [(closed.until_ms, 1, key) for key, closed in state.closed.items()]
    agenda += [(gone_ms(slot, policy), 2, _slot_text(slot)) for slot in state.slots]
    heapq.heapify(agenda)
    state.agenda = agenda


# Items.


def _take_event(state: Assembly, event: LegEvent, policy: Policy, out: list[Output]) -> None:
    home = home_of(event)
    key = state_key(event.tenant, home)
    call = state.calls.get(key)
    if call is None:
        if key in state.closed:
            leg = Leg(event.leg_id)
            fold(leg, event)
            _meet_closed(state, state.closed[key], Facts(tenant=event.tenant, to=home, leg=leg, via=()), out, event.kind, event.at_ms)
            return
        call = state.calls[key] = Call(event.tenant, home)
    if _is_over_limit(state, call, event.leg_id, policy, out, event.kind, event.at_ms):
        return
    call.last_ms = max(call.last_ms, event.at_ms)
    leg = leg_of(call, event.leg_id)
    link, group_id = leg.link(), leg.group_id
    changed = fold(leg, event)
    state.touched[key] = None
    if not changed and call.due_ms is not None:
        return
    mirror = mirror_of(call, leg, event, link)
    if mirror is not None:
        out.append(mirror)
    hangs_here = leg.parent == home or (leg.parent is None and leg.group_id is None and leg.leg_id == home)
    if call.is_signpost or not hangs_here or leg.group_id != group_id:
        _place(call, out)
    _mark_dirty(state, key, call)
    if event.origin == DIRECT:
        _review_dirty(state, policy, out)
        _advance(state, Watermark(origin=DIRECT, at_ms=event.at_ms), policy, out)


def _take_control(state: Assembly, item: Facts | Linked, policy: Policy, out: list[Output]) -> None:
    key = state_key(item.tenant, item.to)
    call = state.calls.get(key)
    at_ms = item.leg.last_ms if isinstance(item, Facts) else item.at_ms
    if call is None:
        if key in state.closed:
            _meet_closed(state, state.closed[key], item, out, "linked" if isinstance(item, Linked) else "facts", at_ms)
            return
        call = state.calls[key] = Call(item.tenant, item.to)
    call.last_ms = max(call.last_ms, at_ms)
    state.touched[key] = None
    if isinstance(item, Linked):
        out += add_link(call, item)
        if not (call.legs or call.rows or call.row):
            _schedule(state, key, call, None, policy)  # a leg's own key that only knows where its leg hangs
            return
        _place(call, out)
    else:
        if _is_over_limit(state, call, item.leg.leg_id, policy, out, "facts", at_ms):
            return
        add_facts(call, item)
        _place(call, out, item.leg.leg_id, item.via)
    _mark_dirty(state, key, call)


def _is_over_limit(state: Assembly, call: Call, leg_id: str, policy: Policy, out: list[Output], kind: str, at_ms: int) -> bool:
    if len(call.legs) < policy.max_legs or leg_id in call.legs:
        return False
    out.append(_late(state, call.tenant, call.key, "too_many_legs", leg_id, kind, at_ms))
    return True


def _meet_closed(state: Assembly, closed: Closed, item: Facts | Linked, out: list[Output], kind: str, at_ms: int) -> None:
    """A key whose facts are gone sends on what still comes, or calls it late; never a second verdict."""
    if isinstance(item, Linked):
        if item.parent != closed.up:
            out.append(_late(state, closed.tenant, closed.key, "call_closed", item.leg_id, kind, at_ms))
    elif closed.up is not None and closed.key not in item.via:
        out.append(Facts(tenant=item.tenant, to=closed.up, leg=item.leg, via=(*item.via, closed.key), revision=item.revision))
    else:
        out.append(_late(state, closed.tenant, closed.key, "call_closed", item.leg.leg_id, kind, at_ms))


def _late(state: Assembly, tenant: str, call_id: str, reason: LateReason, leg_id: str, kind: str, at_ms: int) -> LateRow:
    return LateRow(
        tenant=tenant, call_id=call_id, reason=reason, late_ms=max(0, state.now_ms - at_ms), leg_id=leg_id, kind=kind, at_ms=at_ms
    )


def _place(call: Call, out: list[Output], at_hand: str | None = None, via: tuple[str, ...] = ()) -> None:
    sent, left = place(call, at_hand, via)
    out += sent
    moved_to = {item.leg.leg_id: item.to for item in sent if isinstance(item, Facts)}
    for leg_id in left:
        _withdraw(call, leg_id, moved_to[leg_id], out)


def _withdraw(call: Call, leg_id: str, moved_to: str | None, out: list[Output]) -> None:
    published = call.rows.get(leg_id)
    if published is not None and published.said:
        published.revision += 1
        published.said, published.final, published.digest = "", False, 0
        out.append(withdrawn_leg(call.tenant, call.key, leg_id, moved_to=moved_to, revision=published.revision))


# Stream time.


def _advance(state: Assembly, watermark: Watermark, policy: Policy, out: list[Output]) -> None:
    origins, at_ms = state.origins, watermark.at_ms
    if watermark.origin == EVERY_ORIGIN:
        for origin, known_ms in origins.items():
            origins[origin] = max(known_ms, at_ms)
        least_ms = min(origins.values(), default=at_ms)
    elif at_ms < 0:
        origins.pop(watermark.origin, None)
        least_ms = min(origins.values(), default=NEVER_MS)
    else:
        origins[watermark.origin] = max(origins.get(watermark.origin, NEVER_MS), at_ms)
        least_ms = min(origins.values())
    state.clock_moved = True
    if least_ms > state.now_ms:
        _work_off(state, least_ms, policy, out)


def _work_off(state: Assembly, until_ms: int, policy: Policy, out: list[Output]) -> None:
    agenda = state.agenda
    while agenda and agenda[0][0] <= until_ms:
        due_ms, what, key = heapq.heappop(agenda)
        state.now_ms = max(state.now_ms, due_ms)
        if what == 0:
            call = state.calls.get(key)
            if call is not None and call.due_ms == due_ms:
                call.due_ms = None
                _look_at(state, key, call, policy, out)
        elif what == 1:
            closed = state.closed.get(key)
            if closed is not None and closed.until_ms == due_ms:
                del state.closed[key]
                state.touched[key] = None
        else:
            _drop_slot(state, key, policy)
    state.now_ms = max(state.now_ms, until_ms)


def _look_at(state: Assembly, key: str, call: Call, policy: Policy, out: list[Output]) -> None:
    state.touched[key] = None
    if not call.is_signpost:
        race = read(call.key, call.legs, policy, call.through)
        _publish(state, call, race, policy, out, facts_changed=False)
        if state.now_ms < complete_ms(race) + policy.retention_ms:
            _schedule(state, key, call, race, policy)
            return
    elif state.now_ms < call.last_ms + policy.retention_ms:
        _schedule(state, key, call, None, policy)
        return
    _close(state, key, call, policy, out)


def _close(state: Assembly, key: str, call: Call, policy: Policy, out: list[Output]) -> None:
    out += [Retired(call.tenant, call.key, leg_id) for leg_id, row in sorted(call.rows.items()) if row.revision and not row.said]
    if call.row is not None and not call.row.said:
        out.append(Retired(call.tenant, call.key, None))
    del state.calls[key]
    if not (call.rows or call.row or call.is_signpost):
        return  # it never had anything to say, so nothing can be late
    closed = state.closed[key] = Closed(
        call.tenant, call.key, state.now_ms + policy.closed_memory_ms, call.up[1] if call.is_signpost and call.up else None
    )
    heapq.heappush(state.agenda, (closed.until_ms, 1, key))


def _schedule(state: Assembly, key: str, call: Call, race: Race | None, policy: Policy) -> None:
    due_ms = _due_ms(state, call, race, policy)
    if call.due_ms is None or due_ms < call.due_ms:
        call.due_ms = due_ms
        heapq.heappush(state.agenda, (due_ms, 0, key))


def _due_ms(state: Assembly, call: Call, race: Race | None, policy: Policy) -> int:
    if race is None:
        return call.last_ms + policy.retention_ms
    complete_at_ms = complete_ms(race)
    if state.now_ms >= complete_at_ms:
        return complete_at_ms + policy.retention_ms
    deadlines = [deadline_ms(leg, race) for leg in call.legs.values() if leg.end is None]
    return min([at_ms for at_ms in deadlines if at_ms > state.now_ms] + [complete_at_ms])


# Judgement.


def _mark_dirty(state: Assembly, key: str, call: Call) -> None:
    if not call.is_dirty:
        call.is_dirty = True
        state.dirty[key] = call


def _review_dirty(state: Assembly, policy: Policy, out: list[Output]) -> None:
    for key, call in state.dirty.items():
        state.touched[key] = None
        _review(state, key, call, policy, out)
    state.dirty.clear()


def _review(state: Assembly, key: str, call: Call, policy: Policy, out: list[Output]) -> None:
    call.is_dirty = False
    race = read(call.key, call.legs, policy, call.through)
    _publish(state, call, race, policy, out, facts_changed=True)
    _schedule(state, key, call, None if call.is_signpost else race, policy)


def _publish(state: Assembly, call: Call, race: Race, policy: Policy, out: list[Output], *, facts_changed: bool) -> None:
    """Judge every leg and the call again; put out what changed, and move what is counted."""
    final = state.now_ms >= complete_ms(race)
    verdicts = _verdicts(call, race, final=final, now_ms=state.now_ms)
    said_new = False
    for leg_id, verdict in verdicts.items():
        said_new |= _publish_leg(call, call.legs[leg_id], verdict, race, out, final=final)
    for leg_id in sorted(call.rows.keys() - verdicts.keys()):
        _withdraw(call, leg_id, None, out)  # turned out to be nobody's leg, or not to have ended
    spoken = judge_call(race, verdicts)
    said_new |= _publish_call(call, race, verdicts, spoken, out, final=final)
    if facts_changed or said_new:
        _count(state, call, units_of(race, verdicts, spoken.verdict.result if spoken is not None else None), policy, out)


def _verdicts(call: Call, race: Race, *, final: bool, now_ms: int) -> dict[str, Verdict]:
    verdicts = {}
    for leg_id in sorted(call.legs):
        verdict = judge(call.legs[leg_id], race, complete=final, now_ms=now_ms)
        if verdict is not None:
            doubtful = call.is_stuck and not verdict.needs_review
            verdicts[leg_id] = msgspec.structs.replace(verdict, needs_review=True) if doubtful else verdict
    return verdicts


def _publish_leg(call: Call, leg: Leg, verdict: Verdict, race: Race, out: list[Output], *, final: bool) -> bool:
    """Put out the leg's row if it is news. Return whether its verdict is."""
    published = call.rows.get(leg.leg_id)
    if published is None:
        published = call.rows[leg.leg_id] = Published()
    said, before = f"{verdict.result} {verdict.reason} {verdict.rule}", published.said
    if final or said != before or published.final:
        out += _news(published, said, leg_row(call.tenant, leg, verdict, race, final=final))
    return said != before


def _publish_call(
    call: Call, race: Race, verdicts: dict[str, Verdict], spoken: CallVerdict | None, out: list[Output], *, final: bool
) -> bool:
    """Put out the call's row if it is news. Return whether its verdict is."""
    published = call.row
    before = published.said if published is not None else ""
    if spoken is None:
        if published is not None and before:
            call.row = Published(published.revision + 1)
            moved_to = call.up[1] if call.is_signpost and call.up else None
            out.append(withdrawn_call(call.tenant, call.key, moved_to=moved_to, revision=call.row.revision))
        return bool(before)
    if published is None:
        published = call.row = Published()
    verdict = spoken.verdict
    said = f"{verdict.result} {verdict.reason} {verdict.rule} {spoken.rule} {spoken.leg_id}"
    if final or said != before or published.final:
        out += _news(published, said, call_row(call.tenant, race, verdicts, spoken, final=final))
    return said != before


_BYTES = msgspec.msgpack.Encoder().encode


def _news(published: Published, said: str, row: R) -> list[R]:
    """Return the row with its revision if it differs from what was published last, and remember it. A final row counts in full."""
    final, digest = row.final, 0
    if final:
        digest = int.from_bytes(hashlib.blake2b(_BYTES(row), digest_size=8).digest())
    if (said, final, digest) == (published.said, published.final, published.digest):
        return []
    published.revision += 1
    published.said, published.final, published.digest = said, final, digest
    return [msgspec.structs.replace(row, revision=published.revision)]


# Counting.


def _count(state: Assembly, call: Call, units: Units, policy: Policy, out: list[Output]) -> None:
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
        heapq.heappush(state.agenda, (gone_ms(key, policy), 2, _slot_text(key)))
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


def _slot_text(key: SlotKey) -> str:
    return msgspec.json.encode(key).decode()


def _drop_slot(state: Assembly, text: str, policy: Policy) -> None:
    tenant, queue, size_ms, start_ms = msgspec.json.decode(text, type=SlotKey)
    key = (tenant, queue, size_ms, start_ms)
    slot = state.slots.get(key)
    if slot is not None and is_pending(slot.counts):
        heapq.heappush(state.agenda, (state.now_ms + policy.tally_retention_ms + 1, 2, text))
    elif slot is not None:
        del state.slots[key]
        state.touched_slots[key] = slot
