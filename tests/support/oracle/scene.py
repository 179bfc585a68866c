"""One call as section 1 of the verdicts sees it: context, roles, causes, bridges, who is connected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.core.model import CONTEXTS, Context, Policy, Result, Role
from tests.support.oracle.causes import class_of
from tests.support.oracle.facts import Leg, Visit
from tests.support.oracle.grouping import Group

OFFERED: frozenset[Role] = frozenset({"agent", "customer"})
INHERITING = frozenset({"ORIGINATOR_CANCEL", "NORMAL_CLEARING"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Win:
    """A win is tested as `leg_id` offered at `offered_ms`; it is shown as the leg that took the call."""

    leg_id: str
    shown_leg_id: str
    at_ms: int
    offered_ms: int
    bridge_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    leg_id: str
    at_ms: int
    offered_ms: int


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A call with everything that is derived per call. `until_ms` is the closing watermark; None is later than everything."""

    group: Group
    policy: Policy
    until_ms: int | None
    roles: Mapping[str, Role]
    context: Context
    bridges: Mapping[str, frozenset[tuple[int, str]]]
    unbridges: Mapping[str, frozenset[tuple[int, str]]]
    wins: tuple[Win, ...] = ()
    picks: tuple[Pick, ...] = ()
    is_complete: bool = False

    def role(self, leg: Leg) -> Role:
        return self.roles[leg.leg_id]

    @property
    def legs(self) -> list[Leg]:
        """The legs that have a row, machines and other pseudo legs included, by id."""
        return [leg for _, leg in sorted(self.group.legs.items()) if not leg.is_fragment]

    @property
    def offered(self) -> list[Leg]:
        return [leg for leg in self.legs if self.role(leg) in OFFERED]

    @property
    def callers(self) -> list[Leg]:
        return [leg for leg in self.legs if self.role(leg) == "caller"]


# -- roles and context


def is_root(scene: Scene, leg: Leg) -> bool:
    return leg.leg_id not in scene.group.parents


def context_hint(group: Group) -> Context | None:
    hints = {leg.context_hint for leg in group.legs.values()}
    return next((context for context in CONTEXTS if context in hints), None)


def guess_context(group: Group, roles: Mapping[str, Role]) -> Context:
    with_row = [roles[leg_id] for leg_id, leg in group.legs.items() if not leg.is_fragment]
    if "caller" not in with_row:
        return "internal"
    return "inbound_queue" if sum(role in OFFERED for role in with_row) >= 2 else "inbound_direct"


def roles_of(group: Group, hint: Context | None) -> dict[str, Role]:
    has_caller = any(_asked_for_the_call(group, leg) for leg in group.legs.values() if not leg.is_fragment)
    return {leg_id: _role(group, leg, hint, has_caller=has_caller) for leg_id, leg in group.legs.items()}


def _asked_for_the_call(group: Group, leg: Leg) -> bool:
    if leg.role_hint is not None:
        return leg.role_hint == "caller" and not (leg.leg_id in group.parents and "machine_leg" in leg.flags)
    return leg.leg_id not in group.parents and (leg.direction == "inbound" or (leg.direction is None and bool(leg.visits)))


def _role(group: Group, leg: Leg, hint: Context | None, *, has_caller: bool) -> Role:
    role = leg.role_hint or _guess_role(group, leg, hint, has_caller=has_caller)
    return "pseudo" if leg.leg_id in group.parents and _is_machine(leg, role) else role


def _is_machine(leg: Leg, role: Role) -> bool:
    return "machine_leg" in leg.flags or (role == "agent" and "voicemail" in leg.flags)


def _guess_role(group: Group, leg: Leg, hint: Context | None, *, has_caller: bool) -> Role:
    if leg.leg_id in group.parents:
        return "customer" if hint == "manual_outbound" else "agent"
    if _asked_for_the_call(group, leg):
        return "caller"
    dialed_for_us = hint == "autodialer" or bool(leg.visits) or (hint == "manual_outbound" and has_caller)
    return "customer" if dialed_for_us else "agent"


def is_machine(scene: Scene, leg: Leg) -> bool:
    """Pseudo because of a flag, not because of the channel's name."""
    is_flagged = "machine_leg" in leg.flags or ("voicemail" in leg.flags and leg.role_hint != "pseudo")
    return scene.role(leg) == "pseudo" and not is_root(scene, leg) and is_flagged


# -- causes and bridges


def cause_of(scene: Scene, leg: Leg) -> str | None:
    """The cause that counts: the real leg behind a loopback pair sees a cancel where the halves know why."""
    cause = leg.end.cause if leg.end else None
    parent = parent_of(scene, leg)
    if cause in INHERITING and parent is not None and scene.role(parent) == "pseudo" and parent.end:
        return cause_of(scene, parent)
    return cause


def parent_of(scene: Scene, leg: Leg) -> Leg | None:
    return scene.group.legs.get(scene.group.parents.get(leg.leg_id, ""))


def both_ways(group: Group, leg_id: str, which: str) -> frozenset[tuple[int, str]]:
    """A bridge that is known on one leg holds for both."""
    own: frozenset[tuple[int, str]] = getattr(group.legs[leg_id], which)
    seen_by_peers = {(at_ms, peer) for peer, leg in group.legs.items() for at_ms, side in getattr(leg, which) if side == leg_id}
    return own | seen_by_peers


def is_connected(scene: Scene, leg: Leg) -> bool:
    peers = {peer for _, peer in scene.bridges[leg.leg_id]}
    return leg.answered_ms is not None and any(_connects(scene, scene.group.legs.get(peer)) for peer in peers)


def _connects(scene: Scene, peer: Leg | None) -> bool:
    if peer is None:
        return True  # a leg of another call: all that we know of it is that somebody talked to it
    if is_machine(scene, peer) or _lost_half(scene, peer):
        return False
    return scene.role(peer) == "pseudo" or peer.answered_ms is not None or peer.end is None


def _lost_half(scene: Scene, peer: Leg) -> bool:
    parent = parent_of(scene, peer)
    pseudo = scene.role(peer) == "pseudo" or (parent is not None and scene.role(parent) == "pseudo")
    return pseudo and peer.end is not None and class_of(cause_of(scene, peer)) == Result.LOSE_RACE


# -- visits


def visits(scene: Scene) -> list[Visit]:
    return [visit for leg in scene.legs for visit in leg.visits]


def joined_ms(scene: Scene, visit: Visit) -> int:
    owner = scene.group.legs[visit.leg_id]
    return visit.joined_ms if visit.joined_ms is not None else owner.offered_ms or 0


def visit_of(scene: Scene, leg: Leg) -> Visit | None:
    """The latest visit that had begun and not ended when this leg was offered."""
    if leg.offered_ms is None:
        return None
    at_ms = leg.offered_ms
    going_on = [v for v in visits(scene) if joined_ms(scene, v) <= at_ms and (v.left_ms is None or v.left_ms > at_ms)]
    return max(going_on, key=lambda visit: visit_order(scene, visit), default=None)


def visit_order(scene: Scene, visit: Visit) -> tuple[int, str, str]:
    """Of two visits the later one is the one with the greater join, ties by name."""
    return joined_ms(scene, visit), visit.visit_id, visit.leg_id


# -- life


def is_expired(scene: Scene, leg: Leg) -> bool:
    """No end, and the time to live is over."""
    return leg.end is None and (scene.until_ms is None or scene.until_ms >= expires_ms(scene, leg))


def expires_ms(scene: Scene, leg: Leg) -> int:
    ringing = scene.role(leg) in OFFERED and leg.answered_ms is None
    alone_ms = leg.last_ms + (scene.policy.offered_ttl_ms if ringing else scene.policy.ttl_ms)
    restarts = [at_ms for at_ms in scene.group.runs.get(leg.runs_of or "", ()) if at_ms > leg.last_ms]
    return min([alone_ms, *restarts])


def is_complete(scene: Scene) -> bool:
    """Settled: every real leg has ended or expired, the roots among them, and settle_ms has passed since the last of these ends."""
    if scene.until_ms is None:
        return True
    real = [leg for leg in scene.group.legs.values() if scene.role(leg) != "pseudo"]
    if not real:
        return False
    ends = [leg.end.at_ms if leg.end else expires_ms(scene, leg) for leg in real]
    if scene.group.unseen_roots:
        known = [leg.end.at_ms for leg in real if leg.end]
        ends.append(max(known or ends) + scene.policy.root_wait_ms)
    return scene.until_ms >= max(ends) + scene.policy.settle_ms
