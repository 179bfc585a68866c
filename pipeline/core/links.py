"""What a key knows of links and groups, what stands above it because of that, and whom it has to tell.

Links and groups of legs are minima, so all orders end alike, and what stands above follows from them anew each time. A leg's own key
hears of all its links and tells every other leg and group that they lead to. A root's key hears of all groups that are named under
it and tells them which of them is the least, and when one is named there no more. So whoever was told something wrong is told better.
"""

from __future__ import annotations

from msgspec.structs import replace

from pipeline.core.call import Call, ties_of
from pipeline.core.leg import merge_link
from pipeline.core.routing import GROUP_RANK, MAX_HOPS, Linked
from pipeline.core.stored import Link, Says, Told


def add_link(call: Call, linked: Linked) -> list[Linked]:
    """Take note of what another key says. Return what other keys have to be told now."""
    out: list[Linked] = []
    if linked.leg_id == call.key:
        if linked.says == "hangs":
            out = _add_own(call, (linked.rank, linked.parent))
    elif _is_news(call, linked) and linked.hops < MAX_HOPS:
        out = [replace(linked, to=to, hops=linked.hops + 1) for to in _above(call)]
    return out + settle(call)


def _above(call: Call) -> list[str]:
    """Return the keys that may have facts from here. What is a root now may have passed them on before."""
    return sorted({link[1] for link in (call.link, call.up) if link is not None})


def tell_above(call: Call, leg_id: str) -> list[Linked]:
    """Return what the keys above have to be told of a leg that does not hang under this key and may have been passed on to them."""
    links = [(key, link) for key in way_up(call, leg_id) if (link := link_of(call, key)) is not None]
    return [_linked(call, to, key, link, hops=1) for to in _above(call) for key, link in links]


def _add_own(call: Call, link: Link) -> list[Linked]:
    """Keep the better link or the lesser group; where the other one leads to has to be told. Return what the better one has to know."""
    rank, above = link
    if above == call.key:
        return []  # nothing hangs under itself
    if rank >= GROUP_RANK:
        ties_of(call).told.setdefault(above)
        _add_group(call, call.key, above)
        return []
    before = call.link
    if before is None:
        call.link = link
        return []
    worse = max(before, link)[1]
    call.link = min(before, link)
    if worse != call.link[1]:
        ties_of(call).told.setdefault(worse)
    return _known_links(call, above) if call.link != before else []


def _known_links(call: Call, to: str) -> list[Linked]:
    return [_linked(call, to, leg_id, known, hops=1) for leg_id, known in sorted(call.ties.links.items())]


def _linked(call: Call, to: str, leg_id: str, link: Link, *, says: Says = "hangs", hops: int = 0) -> Linked:
    return Linked(tenant=call.tenant, to=to, leg_id=leg_id, parent=link[1], rank=link[0], at_ms=call.last_ms, hops=hops, says=says)


def _is_news(call: Call, linked: Linked) -> bool:
    """Take note of what is said of another key than this. Return whether what stands above has to hear it too."""
    who, parent = linked.leg_id, linked.parent
    if linked.says == "joins":
        _join(call, who, parent)
        return False
    if linked.says == "left":
        return _leave(call, who, parent)
    if linked.rank >= GROUP_RANK:
        return _add_group(call, who, parent) and call.link is not None
    is_own_word = linked.hops == 0
    if is_own_word:
        call.ties.joined.pop(who, None)
    return learn(call, who, (linked.rank, parent), is_own_word=is_own_word) or is_own_word


def _join(call: Call, who: str, least: str) -> None:
    call.is_group = True
    if least == call.key:
        call.ties.joined.pop(who, None)
    else:
        ties_of(call).joined[who] = least


def _leave(call: Call, who: str, group: str) -> bool:
    if group == call.key:
        call.ties.joined.pop(who, None)
    if call.ties.handed.get(who, call.key) != group:
        return False
    ties_of(call).handed[who] = who
    return call.link is None  # only a group hands on what was handed to it


def _add_group(call: Call, leg_id: str, group: str) -> bool:
    known = call.ties.groups.get(leg_id)
    if known is not None and known <= group:
        return False
    ties_of(call).groups[leg_id] = group
    return True


def hand_over(call: Call, key: str, group: str) -> bool:
    """Take note that a root or group handed its legs over to a group. Return whether it is news."""
    if call.ties.handed.get(key) == group:
        return False
    ties_of(call).handed[key] = group
    call.is_group = call.is_group or group == call.key
    return True


def learn(call: Call, leg_id: str, link: Link, *, is_own_word: bool = False) -> bool:
    """Take note that another leg hangs under a leg, so that it is no root, and keep its better link. Return whether something is news."""
    was_root = call.ties.handed.pop(leg_id, None) is not None
    leg = call.legs.get(leg_id)
    known = call.ties.links.get(leg_id) if leg is None else leg.link()
    if leg_id == link[1] or (known is not None and known <= link):
        return was_root
    if leg is not None:
        merge_link(leg, *link)
    else:
        ties_of(call).links[leg_id] = link
    if call.is_group:
        _ask_roots(call, leg_id, is_own_word=is_own_word)
    return True


def _ask_roots(call: Call, moved: str, *, is_own_word: bool) -> None:
    """Let legs that may hang under another root now go through its key once, which has to know the groups that are named there.

    A leg that says itself where it hangs tells of its group too.
    """
    known = (moved, call.key) if is_own_word else None
    for leg_id, leg in call.legs.items():
        if leg.group_id is not None and (leg_id, leg.group_id) != known and moved in way_up(call, leg_id):
            ties_of(call).asked.add(leg_id)


# Ways.


def way_up(call: Call, leg_id: str) -> list[str]:
    """Follow links as far as they are known here, at most to this key. Return the legs on the way; the last one is the root."""
    way, at = [leg_id], leg_id
    while at != call.key:
        link = link_of(call, at)
        if link is None:
            break
        at = link[1]
        if at in way:
            return [*way, min(way[way.index(at) :])]
        way.append(at)
    return way


def link_of(call: Call, leg_id: str) -> Link | None:
    """Return the best link of another leg, as far as it is known here."""
    leg = call.legs.get(leg_id)
    return call.ties.links.get(leg_id) if leg is None or leg.parent is None else leg.link()


def next_above(call: Call, key: str) -> Link | None:
    """Return what stands above another key as far as this key knows: its group, if it is a root that handed its legs over, else its link."""
    group = call.ties.handed.get(key)
    if group is not None:
        return None if group == key else (GROUP_RANK, group)
    link = link_of(call, key)
    if link is not None:
        return link
    leg = call.legs.get(key)
    return (GROUP_RANK, call.key) if leg is not None and leg.group_id == call.key else None


def belongs_here(call: Call, leg_id: str, known: dict[str, bool]) -> bool:
    """Tell whether links, and groups after them, lead from a leg to this key. `known`: what is known already; what is found out is added."""
    way: dict[str, None] = {}
    at = leg_id
    while at not in known and at not in way:
        way[at] = None
        above = next_above(call, at)
        if above is None:
            break
        at = above[1]
    here = known.get(at, False)  # the root of a ring hands its legs over, or keeps them
    known.update(dict.fromkeys(way, here))
    return here


# What stands above.


def settle(call: Call) -> list[Linked]:
    """Find out what stands above this key. Return what other keys have to be told of it, each thing once."""
    out = _look_at_legs(call)
    groups = _groups_under(call) if _is_root(call) else None
    before = call.up
    call.up = call.link if groups is None else _least(call, groups)
    if groups and call.up is not None and call.up != before and call.ties.told:
        out += _known_links(call, call.up[1])  # facts of this key's legs may have come there another way, and before
    if before is not None and before != call.up:
        ties_of(call).told.setdefault(before[1])
    for key in groups or ():
        ties_of(call).told.setdefault(key)
    if call.link is not None and call.key in call.ties.groups:
        ties_of(call).told.setdefault(call.link[1])
    out += [linked for to in sorted(call.ties.told) if (linked := _told(call, to, groups)) is not None]
    return out


def _look_at_legs(call: Call) -> list[Linked]:
    for leg_id, leg in call.legs.items():
        if leg.group_id == call.key:
            call.is_group = True
        elif leg.group_id is not None:
            _add_group(call, leg_id, leg.group_id)
    own = call.legs.get(call.key)
    link = own.link() if own is not None else None
    return [] if link is None or link == call.link else _add_own(call, link)


def _is_root(call: Call) -> bool:
    if call.link is None:
        return True
    if call.link[1] not in call.legs and call.link[1] not in call.ties.links:
        return False
    ring = way_up(call, call.link[1])
    return ring[-1] == call.key == min(ring)


def _groups_under(call: Call) -> set[str]:
    named = set(call.ties.joined.values())
    for leg_id, group in call.ties.groups.items():
        if group not in named and way_up(call, leg_id)[-1] == call.key:
            named.add(group)
    return named


def _least(call: Call, groups: set[str]) -> Link | None:
    least = min(groups | {call.key} if call.is_group else groups, default=call.key)
    return None if least == call.key else (GROUP_RANK, least)


def _told(call: Call, to: str, groups: set[str] | None) -> Linked | None:
    """Return what a key has to be told now, if it is something else than it was told last. `groups`: those under a root."""
    last = call.ties.told[to]
    word = _word(call, to, groups, last)
    if word is None:
        del call.ties.told[to]
        return None
    if word == last:
        return None
    call.ties.told[to] = word
    return _linked(call, to, call.key, (word[1], word[2]), says=word[0])


def _word(call: Call, to: str, groups: set[str] | None, last: Told | None) -> Told | None:
    up, link = call.up, call.link
    if groups is not None and to in groups:
        if up is not None and to == up[1] and (last is None or last[0] != "joins"):
            return None  # it has the legs
        return ("joins", GROUP_RANK, call.key if up is None else up[1])
    if link is None:
        return ("left", GROUP_RANK, to)
    if to != link[1]:
        return ("hangs", *link)
    own_group = call.ties.groups.get(call.key)
    return ("hangs", GROUP_RANK, own_group) if groups is None and own_group is not None else None
