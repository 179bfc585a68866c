"""One step of `assemble`: an item of calls.events in, rows and passed-on facts out; the state is that of one partition.

    step(state, item, policy) -> outputs      `state` is changed in place
    assembly.drain(state) -> what has to be stored and broadcast since the last drain

Events that came through `normalize` are judged when the watermark record behind them arrives, passed-on facts at the review record
behind them, and what a producer wrote itself at once. All of that stands in the log, so the same log gives the same revisions and
bytes however it is cut into chunks.
"""

from __future__ import annotations

import heapq

from msgspec.structs import replace

from pipeline.core.assembly import DUE_CALL, DUE_CLOSED, NEVER_MS, Assembly, Output
from pipeline.core.call import Call, leg_of, mirror_of
from pipeline.core.leg import Leg, fold, stored_leg
from pipeline.core.links import add_link
from pipeline.core.model import LateReason, LateRow, LegEvent, Policy, Retired
from pipeline.core.placement import add_facts, place
from pipeline.core.publication import publish, withdraw
from pipeline.core.race import Cores, Race, deadline_ms, read, starts_after
from pipeline.core.routing import DIRECT, EVERY_ORIGIN, CoreSeen, Facts, Item, Linked, Review, Watermark, home_of, state_key
from pipeline.core.stored import Closed

MOST_CORES = 16
"""How many runs of one switch are remembered: the latest."""
NO_CORES: Cores = {}


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
    elif isinstance(item, CoreSeen):
        _see_core(state, item)
    else:
        _take_control(state, item, policy, out)
    return out


# Items.


def _take_event(state: Assembly, event: LegEvent, policy: Policy, out: list[Output]) -> None:
    if event.core_id is not None and event.source:
        seen = CoreSeen(tenant=event.tenant, source=event.source, core_id=event.core_id, at_ms=event.at_ms)
        if _see_core(state, seen):
            out.append(seen)
    home = home_of(event)
    key = state_key(event.tenant, home)
    call = state.calls.get(key)
    if call is None:
        if key in state.closed:
            leg = Leg(event.leg_id)
            fold(leg, event)
            _meet_closed(
                state, state.closed[key], Facts(tenant=event.tenant, to=home, leg=stored_leg(leg), via=()), out, event.kind, event.at_ms
            )
            return
        call = state.calls[key] = Call(event.tenant, home)
    if _is_over_limit(state, call, event.leg_id, policy, out, event.kind, event.at_ms):
        return
    _hear(state, key, call, event.at_ms)
    is_new = event.leg_id not in call.legs
    leg = leg_of(call, event.leg_id)
    link, group_id = leg.link(), leg.group_id
    changed = fold(leg, event)
    if not (changed or is_new) and call.due_ms is not None:
        return
    mirror = mirror_of(call, leg, event, link)
    if mirror is not None:
        out.append(mirror)
    hangs_here = leg.parent == home or (leg.parent is None and leg.group_id is None and leg.leg_id == home)
    if call.is_signpost or leg.group_id != group_id or (not hangs_here and (is_new or leg.link() != link)):
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
    _hear(state, key, call, at_ms)
    if isinstance(item, Linked):
        out += add_link(call, item)
        if not (call.legs or call.rows or call.row):
            _schedule(state, key, call, None, policy)  # it only knows where its leg hangs
            return
        _place(call, out)
    else:
        if _is_over_limit(state, call, item.leg.leg_id, policy, out, "facts", at_ms):
            return
        if add_facts(call, item):
            _place(call, out, item.leg.leg_id, item.via)
    _mark_dirty(state, key, call)


def _hear(state: Assembly, key: str, call: Call, at_ms: int) -> None:
    """Facts of this moment come: what was found out of those so far no longer holds."""
    call.last_ms = max(call.last_ms, at_ms)
    call.complete_ms = call.settling = None
    state.touched[key] = None


def _see_core(state: Assembly, seen: CoreSeen) -> bool:
    """Take note of a switch's run, and look again at the calls whose open legs it ends. Return whether it was news."""
    cores = state.cores.setdefault(seen.tenant, {}).setdefault(seen.source, {})
    known_ms = cores.get(seen.core_id)
    if known_ms is not None and known_ms <= seen.at_ms:
        return False
    cores[seen.core_id] = seen.at_ms
    if len(cores) > MOST_CORES:
        del cores[min(cores, key=lambda core_id: (cores[core_id], core_id))]
    state.cores_moved = True
    if len(cores) > 1:
        ended: list[str] = []
        for key, call in state.calls.items():
            if call.tenant == seen.tenant and any(
                leg.end is None and starts_after(leg, {seen.source: cores}) for leg in call.legs.values()
            ):
                ended.append(key)
        for key in ended:
            found = state.calls.get(key)
            if found is not None:
                _mark_dirty(state, key, found)
    return True


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
        out.append(replace(item, to=closed.up, via=(*item.via, closed.key)))
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
        withdraw(call, leg_id, moved_to[leg_id], out)


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
        if what == DUE_CALL:
            call = state.calls.get(key)
            if call is not None and call.due_ms == due_ms:
                call.due_ms = None
                _look_at(state, key, call, policy, out)
        else:
            closed = state.closed.get(key)
            if closed is not None and closed.until_ms == due_ms:
                del state.closed[key]
                state.touched[key] = None
    state.now_ms = max(state.now_ms, until_ms)


def _look_at(state: Assembly, key: str, call: Call, policy: Policy, out: list[Output]) -> None:
    state.touched[key] = None
    if call.is_signpost:
        if state.now_ms < call.last_ms + policy.retention_ms:
            _schedule(state, key, call, None, policy)
            return
    elif call.complete_ms is None or state.now_ms < _kept_until_ms(call, call.complete_ms, policy):
        race = _reading(state, call, policy)
        if state.now_ms < _kept_until_ms(call, race.complete_ms, policy):
            publish(state, call, race, policy, out)
            _schedule(state, key, call, race, policy)
            return
    _close(state, key, call, policy, out)


def _reading(state: Assembly, call: Call, policy: Policy) -> Race:
    settling = call.settling
    return (
        settling.race if settling is not None else read(call.key, call.legs, policy, call.through, state.cores.get(call.tenant, NO_CORES))
    )


def _close(state: Assembly, key: str, call: Call, policy: Policy, out: list[Output]) -> None:
    out += [Retired(call.tenant, call.key, leg_id) for leg_id, row in sorted(call.rows.items()) if row.revision and not row.said]
    if call.row is not None and not call.row.said:
        out.append(Retired(call.tenant, call.key, None))
    state.calls.drop(key)
    if not (call.rows or call.row or call.is_signpost):
        return  # it never had anything to say, so nothing can be late
    closed = state.closed[key] = Closed(
        call.tenant, call.key, state.now_ms + policy.closed_memory_ms, call.up[1] if call.is_signpost and call.up else None
    )
    heapq.heappush(state.agenda, (closed.until_ms, DUE_CLOSED, key))


def _schedule(state: Assembly, key: str, call: Call, race: Race | None, policy: Policy) -> None:
    due_ms = _due_ms(state, call, race, policy)
    if call.due_ms is None or due_ms < call.due_ms:
        call.due_ms = due_ms
        heapq.heappush(state.agenda, (due_ms, DUE_CALL, key))


def _due_ms(state: Assembly, call: Call, race: Race | None, policy: Policy) -> int:
    if race is None:
        return call.last_ms + policy.retention_ms
    if state.now_ms >= race.complete_ms:
        return _kept_until_ms(call, race.complete_ms, policy)
    deadlines = [deadline_ms(leg, race) for leg in call.legs.values() if leg.end is None]
    return min([at_ms for at_ms in deadlines if at_ms > state.now_ms] + [race.complete_ms])


def _kept_until_ms(call: Call, complete_ms: int, policy: Policy) -> int:
    """A key whose legs have all gone elsewhere is complete at once, but they may come back: so its last word counts too."""
    return max(complete_ms, call.last_ms) + policy.retention_ms


# Reviews.


def _mark_dirty(state: Assembly, key: str, call: Call) -> None:
    if not call.is_dirty:
        call.is_dirty = True
        state.dirty[key] = call
        state.touched[key] = None  # also where nothing else changed: a restart must know it


def _review_dirty(state: Assembly, policy: Policy, out: list[Output]) -> None:
    for key, call in state.dirty.items():
        state.touched[key] = None
        _review(state, key, call, policy, out)
    state.dirty.clear()


def _review(state: Assembly, key: str, call: Call, policy: Policy, out: list[Output]) -> None:
    call.is_dirty = False
    race = _reading(state, call, policy)
    publish(state, call, race, policy, out)
    _schedule(state, key, call, None if call.is_signpost else race, policy)
