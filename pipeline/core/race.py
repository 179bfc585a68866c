"""One reading of a call's legs: who is who, who was connected to whom, who won (verdicts, section 1).

Nothing here is stored. `read` derives all of it from the legs, so it cannot depend on the order in which they came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.core.causes import INHERITED, LOSE_RACE_CLASS
from pipeline.core.leg import Leg
from pipeline.core.model import CONTEXTS, Context, Policy, Role
from pipeline.core.stored import Visit

Cores = Mapping[str, Mapping[str, int]]
"""source -> core_id -> when that run of the switch was first seen, ms"""


class Stay:
    """A visit of a queue, with its id and the leg that made it. `joined_ms`: when it began, else when that leg was offered."""

    __slots__ = ("joined_ms", "leg", "visit", "visit_id")

    def __init__(self, joined_ms: int, visit_id: str, leg: Leg, visit: Visit) -> None:
        self.joined_ms = joined_ms
        self.visit_id = visit_id
        self.leg = leg
        self.visit = visit

    def order(self) -> tuple[int, str, str]:
        """Return the key by which stays are in order."""
        return (self.joined_ms, self.visit_id, self.leg.leg_id)


class Moment:
    """A win or a pick: when, whose, and since when that leg was offered. `taker`: the leg that took the call."""

    __slots__ = ("at_ms", "bridge_ms", "leg_id", "offered_ms", "taker")

    def __init__(self, at_ms: int, taker: str, leg_id: str, offered_ms: int, bridge_ms: int | None = None) -> None:
        self.at_ms = at_ms
        self.taker = taker
        self.leg_id = leg_id
        self.offered_ms = offered_ms
        self.bridge_ms = bridge_ms

    def order(self) -> tuple[int, str, str, int, int]:
        """Return the key of which the least comes first."""
        return (self.at_ms, self.taker, self.leg_id, self.offered_ms, -1 if self.bridge_ms is None else self.bridge_ms)


class Race:
    """A call as its legs tell it. `roots` are the legs without a link (in a ring of links: the least id)."""

    __slots__ = (
        "bridged", "call_id", "caller_ends", "complete_ms", "connected", "context", "cores", "first_offer", "has_visits", "legs", "machines",
        "offers", "picks", "policy", "roles", "root_caller", "roots", "size", "unseen", "wins",
    )  # fmt: skip

    def __init__(
        self,
        call_id: str,
        legs: dict[str, Leg],
        policy: Policy,
        cores: Cores,
        *,
        roots: set[str],
        unseen: set[str],
        context: Context,
        roles: dict[str, Role],
        machines: set[str],
        connected: set[str],
        bridged: dict[str, int],
        wins: list[Moment],
        picks: list[Moment],
        caller_ends: dict[str, int],
        has_visits: bool,
        complete_ms: int,
        size: int,
    ) -> None:
        self.call_id = call_id
        self.legs = legs
        self.policy = policy
        self.cores = cores
        self.roots = roots
        self.unseen = unseen  # legs whose root is not known
        self.context: Context = context
        self.roles = roles
        self.machines = machines  # mailboxes and announcements: nobody is there
        self.connected = connected  # answered, and bridged to somebody
        self.bridged = bridged  # bridged legs -> the earliest bridge, ms, on whichever side it was reported
        self.wins = wins  # the winner for display first
        self.picks = picks
        self.caller_ends = caller_ends  # callers' legs that ended -> when, ms
        self.has_visits = has_visits
        self.complete_ms = complete_ms  # the stream time at which the call is complete, if nothing more comes (verdicts, section 4)
        self.size = size  # legs of which more than a bridge or a note is known
        self.offers = [leg for leg_id, leg in legs.items() if leg.is_real and roles[leg_id] in ("agent", "customer")]
        self.first_offer = _earliest(self.offers)
        self.root_caller = _root_caller(legs, roles, roots)

    @property
    def winner(self) -> Moment | None:
        """Return the win to show, or None."""
        return self.wins[0] if self.wins else None


def read(call_id: str, legs: dict[str, Leg], policy: Policy, through: dict[str, str], cores: Cores) -> Race:
    """Read a call. `through` tells of keys without a leg here which key stands above them; `cores` are those of the call's tenant."""
    roots, unseen = _roots(legs, through)
    callers = {leg_id for leg_id, leg in legs.items() if leg.is_real and _is_caller(leg, is_root=leg_id in roots)}
    context = _context(legs, roots, callers)
    machines = {leg_id for leg_id, leg in legs.items() if leg.flags and _is_machine(leg, context, is_root=leg_id in roots)}
    roles = {leg_id: _role(leg, context, callers, machines, is_root=leg_id in roots) for leg_id, leg in legs.items()}
    peers = _peers(legs)
    connected = {leg_id for leg_id in peers if _is_connected(legs[leg_id], peers[leg_id], legs, roles, roots, machines)}
    return Race(
        call_id,
        legs,
        policy,
        cores,
        roots=roots,
        unseen=unseen,
        context=context,
        roles=roles,
        machines=machines,
        connected=connected,
        bridged={leg_id: min(peers[leg_id].values()) for leg_id in peers},
        wins=_wins(legs, roots, roles, connected, peers, policy),
        picks=_picks(legs),
        caller_ends={leg_id: leg.end.at_ms for leg_id, leg in legs.items() if leg.end is not None and roles[leg_id] == "caller"},
        has_visits=any(leg.visits for leg in legs.values()),
        complete_ms=_complete_ms(legs, roles, policy, cores, root_is_unseen=bool(unseen)),
        size=sum(leg.is_real for leg in legs.values()),
    )


def _picks(legs: dict[str, Leg]) -> list[Moment]:
    return [
        Moment(leg.end.at_ms, leg_id, leg_id, _offered_ms(leg))
        for leg_id, leg in legs.items()
        if leg.end is not None and leg.end.cause == "PICKED_OFF"
    ]


def _offered_ms(leg: Leg) -> int:
    return leg.last_ms if leg.offered_ms is None else leg.offered_ms


def _roots(legs: dict[str, Leg], through: dict[str, str]) -> tuple[set[str], set[str]]:
    roots: set[str] = set()
    unseen: set[str] = set()
    for leg_id, leg in legs.items():
        if leg.parent is None:
            roots.add(leg_id)
            continue
        parent = legs.get(leg.parent)
        if parent is not None and parent.parent is None:
            continue
        top, ring = _top(leg_id, legs, through)
        if ring and top in legs:
            roots.add(top)
        elif top not in legs:
            unseen.add(leg_id)
    return roots, unseen


def _top(leg_id: str, legs: dict[str, Leg], through: dict[str, str]) -> tuple[str, bool]:
    """Follow links upward. Return (the last id, False), or of a ring (its least id, True)."""
    path = [leg_id]
    while True:
        leg = legs.get(path[-1])
        above = leg.parent if leg is not None else through.get(path[-1])
        if above is None or (leg is None and above not in legs):
            return path[-1], False
        if above in path:
            return min(path[path.index(above) :]), True
        path.append(above)


def _is_caller(leg: Leg, *, is_root: bool) -> bool:
    hint = leg.role_hint()
    if hint is not None or not is_root:
        return hint == "caller" and (is_root or "machine_leg" not in leg.flags)
    return leg.direction == "inbound" or (leg.direction is None and bool(leg.visits))


def _context(legs: dict[str, Leg], roots: set[str], callers: set[str]) -> Context:
    hint = min((leg.context for leg in legs.values()), default=len(CONTEXTS))
    if hint < len(CONTEXTS):
        return CONTEXTS[hint]
    if not callers:
        return "internal"
    offered = sum(1 for leg_id, leg in legs.items() if leg_id not in callers and leg.is_real and _is_offer(leg, is_root=leg_id in roots))
    return "inbound_queue" if offered > 1 else "inbound_direct"


def _is_offer(leg: Leg, *, is_root: bool) -> bool:
    return leg.role_hint() != "pseudo" and (is_root or not leg.flags or not _is_machine(leg, "inbound_direct", is_root=is_root))


def _is_machine(leg: Leg, context: Context, *, is_root: bool) -> bool:
    if is_root:
        return False
    agent = leg.role_hint() == "agent" or (leg.role_hint() is None and context != "manual_outbound")
    return "machine_leg" in leg.flags or ("voicemail" in leg.flags and agent)


def _role(leg: Leg, context: Context, callers: set[str], machines: set[str], *, is_root: bool) -> Role:
    if leg.leg_id in machines:
        return "pseudo"
    hint = leg.role_hint()
    if hint is not None:
        return hint
    if leg.leg_id in callers:
        return "caller"
    if not is_root:
        return "customer" if context == "manual_outbound" else "agent"
    is_customer = context == "autodialer" or leg.visits or (context == "manual_outbound" and callers)
    return "customer" if is_customer else "agent"


def _peers(legs: dict[str, Leg]) -> dict[str, dict[str, int]]:
    """Return leg -> {peer: earliest bridge}. Inside a call a bridge known on one leg holds for both."""
    peers: dict[str, dict[str, int]] = {}
    for leg_id, leg in legs.items():
        for peer, times in leg.bridges.items():
            for one, other in ((leg_id, peer), (peer, leg_id)):
                if one in legs:
                    known = peers.setdefault(one, {})
                    known[other] = min(times[0], known.get(other, times[0]))
    return peers


def _is_connected(
    leg: Leg, peers: Iterable[str], legs: dict[str, Leg], roles: dict[str, Role], roots: set[str], machines: set[str]
) -> bool:
    return leg.answered_ms is not None and any(_connects(legs.get(peer), legs, roles, roots, machines) for peer in peers)


def _connects(peer: Leg | None, legs: dict[str, Leg], roles: dict[str, Role], roots: set[str], machines: set[str]) -> bool:
    if peer is None:
        return True
    if peer.leg_id in machines:
        return False
    is_pseudo = roles[peer.leg_id] == "pseudo"
    under_pseudo = peer.leg_id not in roots and peer.parent is not None and roles.get(peer.parent) == "pseudo"
    if (is_pseudo or under_pseudo) and cause_of(peer, legs, roles, roots) in LOSE_RACE_CLASS:
        return False
    return is_pseudo or peer.answered_ms is not None or peer.end is None


def _wins(
    legs: dict[str, Leg],
    roots: set[str],
    roles: dict[str, Role],
    connected: set[str],
    peers: dict[str, dict[str, int]],
    policy: Policy,
) -> list[Moment]:
    wins: list[Moment] = []
    for leg_id in connected:
        leg = legs[leg_id]
        assert leg.answered_ms is not None  # connected says so
        if roles[leg_id] == "caller":
            wins += _picked_up(leg, legs, policy)
        elif roles[leg_id] != "pseudo" and leg_id not in roots:
            wins.append(Moment(leg.answered_ms, leg_id, leg_id, _offered_ms(leg), min(peers[leg_id].values())))
    if len(roots) > 1:
        wins += _group_wins([legs[leg_id] for leg_id in roots if roles[leg_id] == "agent" and legs[leg_id].is_real])
    return sorted(wins, key=Moment.order) if len(wins) > 1 else wins


def _picked_up(caller: Leg, legs: dict[str, Leg], policy: Policy) -> Iterable[Moment]:
    """A leg of another call took the caller: at each bridge to it, taken as offered one race window before."""
    for peer, times in caller.bridges.items():
        if peer not in legs:
            for at_ms in times:
                yield Moment(at_ms, peer, caller.leg_id, at_ms - policy.race_window_ms, at_ms)


def _group_wins(agent_roots: list[Leg]) -> Iterable[Moment]:
    """Several agent legs that a platform placed side by side for one contact: who answers wins."""
    if len(agent_roots) > 1:
        for leg in agent_roots:
            if leg.answered_ms is not None:
                yield Moment(leg.answered_ms, leg.leg_id, leg.leg_id, _offered_ms(leg))


def cause_of(leg: Leg, legs: dict[str, Leg], roles: dict[str, Role], roots: set[str]) -> str | None:
    """Return the cause that counts for a leg that ended, else None. A pseudo leg above it knows better than ORIGINATOR_CANCEL."""
    if leg.end is None:
        return None
    cause = leg.end.cause
    while cause in INHERITED and leg.leg_id not in roots and leg.parent is not None and roles.get(leg.parent) == "pseudo":
        leg = legs[leg.parent]
        if leg.end is None:
            break
        cause = leg.end.cause
    return cause


def rivals(leg: Leg, moments: list[Moment], policy: Policy, *, own: bool) -> list[Moment]:
    """Return the wins (or picks) that this leg could lose against; `own`: a leg's own pick counts, its own win does not."""
    tolerance = policy.same_moment_ms
    since_ms = _offered_ms(leg) - tolerance
    until_ms = leg.answered_ms if leg.answered_ms is not None else leg.ended_ms
    return [
        moment
        for moment in moments
        if (own or moment.leg_id != leg.leg_id)
        and moment.at_ms >= since_ms
        and until_ms is not None
        and moment.offered_ms <= until_ms + tolerance
    ]


def stays(legs: Iterable[Leg]) -> list[Stay]:
    """Return the queue visits of some legs, earliest first."""
    found = [
        Stay(_offered_ms(leg) if visit.joined_ms is None else visit.joined_ms, visit_id, leg, visit)
        for leg in legs
        if leg.visits
        for visit_id, visit in leg.visits.items()
    ]
    return sorted(found, key=Stay.order)


def stay_of(leg: Leg, legs: dict[str, Leg]) -> Stay | None:
    """Return the latest visit that had begun and not ended when this leg was offered, or None."""
    at_ms = _offered_ms(leg)
    return next((stay for stay in reversed(stays(legs.values())) if stay.joined_ms <= at_ms and _lasts(stay, at_ms + 1)), None)


def stay_at(at_ms: int, legs: Iterable[Leg]) -> Stay | None:
    """Return the latest visit that something at this moment happened in, its first and last moment included, or None."""
    return next((stay for stay in reversed(stays(legs)) if stay.joined_ms <= at_ms and _lasts(stay, at_ms)), None)


def _lasts(stay: Stay, until_ms: int) -> bool:
    return stay.visit.left_ms is None or stay.visit.left_ms >= until_ms


def offers(race: Race) -> list[Leg]:
    """Return the legs that somebody was offered: an agent's or a customer's, of which more than a bridge or a note is known."""
    return race.offers


def _earliest(offered: list[Leg]) -> Leg | None:
    first: Leg | None = None
    for leg in offered:
        if first is None or (leg.offered_ms or 0, leg.leg_id) < (first.offered_ms or 0, first.leg_id):
            first = leg
    return first


def _root_caller(legs: dict[str, Leg], roles: dict[str, Role], roots: set[str]) -> Leg | None:
    callers = [leg for leg_id, leg in legs.items() if roles[leg_id] == "caller" and leg.is_real]
    return _earliest([leg for leg in callers if leg.leg_id in roots] or callers)


def deadline_ms(leg: Leg, race: Race) -> int:
    """Return when a leg without an end counts as ended: its time to live after its last event, or when its switch started anew."""
    return _deadline_ms(leg, race.roles[leg.leg_id], race.policy, race.cores)


def _deadline_ms(leg: Leg, role: Role, policy: Policy, cores: Cores) -> int:
    waiting = leg.answered_ms is None and role != "caller"
    expires_ms = leg.last_ms + (policy.offered_ttl_ms if waiting else policy.ttl_ms)
    starts = starts_after(leg, cores)
    return min(expires_ms, *starts) if starts else expires_ms


def starts_after(leg: Leg, cores: Cores) -> list[int]:
    """Return when runs of the leg's switch were first seen after its last event; its own run never was: that has told its events."""
    if not leg.tells_core or leg.source is None:
        return []
    return [first_ms for first_ms in cores.get(leg.source, {}).values() if first_ms > leg.last_ms]


def _complete_ms(legs: dict[str, Leg], roles: dict[str, Role], policy: Policy, cores: Cores, *, root_is_unseen: bool) -> int:
    last_ms = known_ms = -1
    for leg_id, leg in legs.items():
        if roles[leg_id] == "pseudo":
            continue
        if leg.end is not None:
            known_ms = max(known_ms, leg.end.at_ms)
        else:
            last_ms = max(last_ms, _deadline_ms(leg, roles[leg_id], policy, cores))
    last_ms = max(last_ms, known_ms)
    if last_ms < 0:
        return max((leg.last_ms for leg in legs.values()), default=0) + policy.ttl_ms + policy.settle_ms
    if root_is_unseen:
        last_ms = max(last_ms, (known_ms if known_ms >= 0 else last_ms) + policy.root_wait_ms)
    return last_ms + policy.settle_ms
