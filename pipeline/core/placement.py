"""Whether legs belong under a key, and where they go if not.

Facts go hop by hop: from a key that is no call to what stands above it, and legs that do not belong there to what stands above them.
"""

from __future__ import annotations

from pipeline.core.call import Call, Published, leg_of, ties_of
from pipeline.core.leg import Leg, leg_of_stored, merge, merge_link, stored_leg
from pipeline.core.links import belongs_here, hand_over, learn, next_above, settle, tell_above, way_up
from pipeline.core.routing import GROUP_RANK, MAX_HOPS, MOST_VIA, Facts, Linked
from pipeline.core.stored import Link


def add_facts(call: Call, facts: Facts) -> bool:
    """Merge a leg's facts that another key passed on. Return whether legs may belong elsewhere now."""
    leg_id = facts.leg.leg_id
    if len(facts.links) >= MAX_HOPS or len(facts.via) >= MOST_VIA:
        call.is_stuck = True
    published = call.rows.setdefault(leg_id, Published())
    published.revision = max(published.revision, facts.revision)
    told = leg_of_stored(facts.leg)
    is_news = _add_links(call, facts, told.link()) or leg_id not in call.legs
    leg = leg_of(call, leg_id)
    group_id = leg.group_id
    merge(leg, told)
    if call.is_group:
        _see_root(call, leg, facts, is_news=leg.group_id != group_id)
    return call.is_signpost or is_news or leg.group_id != group_id


def _add_links(call: Call, facts: Facts, own: Link | None) -> bool:
    """Take note of what stands above whom on the leg's way to here. Return whether it is news."""
    above = facts.links if own is None else {facts.leg.leg_id: own, **facts.links}
    is_news = False
    for key, link in above.items():
        if key != call.key:
            is_news |= hand_over(call, key, link[1]) if link[0] >= GROUP_RANK else learn(call, key, link)
    return is_news


def _see_root(call: Call, leg: Leg, facts: Facts, *, is_news: bool) -> None:
    """If the leg's root handed it over, this knows the leg's group; else it has to be asked about a new one."""
    root = way_up(call, leg.leg_id)[-1]
    if root in facts.links and facts.links[root][0] >= GROUP_RANK:
        if leg.group_id == facts.leg.group_id:
            call.ties.asked.discard(leg.leg_id)
    elif is_news and leg.parent is not None and root != call.key:
        ties_of(call).asked.add(leg.leg_id)


def place(call: Call, at_hand: str | None = None, via: tuple[str, ...] = ()) -> tuple[list[Facts | Linked], list[str]]:
    """Send on every leg that does not belong under this key. Return (what to send, the legs that left).

    `via`: the keys that the facts at hand, of the leg `at_hand`, came through. The caller withdraws the rows of the legs that left.
    """
    out: list[Facts | Linked] = [*settle(call)]
    ways = {} if call.is_stuck else _ways_out(call)
    for leg_id, to in ways.items():
        out.append(_facts(call, leg_id, to, via if leg_id == at_hand else ()))
        if call.up is None or to != call.up[1]:
            out += tell_above(call, leg_id)
    for leg_id in ways:
        _forget(call, leg_id)
    call.ties.asked.clear()
    return out, list(ways)


def _ways_out(call: Call) -> dict[str, str]:
    """Return where the facts of legs go from here. Those that stay are not in it."""
    here = {call.key: True}
    ways = {leg_id: _way_out(call, leg_id, here) for leg_id in sorted(call.legs)}
    return {leg_id: to for leg_id, to in ways.items() if to is not None and to != call.key}


def _way_out(call: Call, leg_id: str, here: dict[str, bool]) -> str | None:
    if leg_id in call.ties.asked:
        return call.legs[leg_id].parent
    if belongs_here(call, leg_id, here):
        return None if call.up is None else call.up[1]
    above = next_above(call, leg_id)
    return leg_id if above is None else above[1]


def _facts(call: Call, leg_id: str, to: str, via: tuple[str, ...]) -> Facts:
    leg = call.legs[leg_id]
    if leg_id == call.key and call.link is not None:
        merge_link(leg, *call.link)
    revision = call.rows[leg_id].revision if leg_id in call.rows else 0
    links = _hops(call, leg_id, call.up) if call.up is not None and to == call.up[1] else {}
    return Facts(tenant=call.tenant, to=to, leg=stored_leg(leg), via=(*via, call.key), links=links, revision=revision)


def _hops(call: Call, leg_id: str, up: Link) -> dict[str, Link]:
    """Return what stands above whom from a leg to the key above this one, but for the leg's own link, which is one of its facts."""
    hops: dict[str, Link] = {}
    at = leg_id
    while at != call.key and at not in hops:
        above = next_above(call, at)
        if above is None:
            break
        if at != leg_id or above[0] >= GROUP_RANK:
            hops[at] = above
        at = above[1]
    if leg_id != call.key or up[0] >= GROUP_RANK:
        hops[call.key] = up
    return hops


def _forget(call: Call, leg_id: str) -> None:
    """Drop a leg that left. Its link is kept where it tells of the way of others."""
    link = call.legs.pop(leg_id).link()
    if link is not None and leg_id != call.key and (leg_id in call.ties.links or link[1] != call.key or call.up != call.link):
        ties_of(call).links[leg_id] = link
