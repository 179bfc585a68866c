"""Who won a call, who was picked, and with whom a leg raced; and the door to it all: `set_scene`."""

from __future__ import annotations

from dataclasses import replace

from pipeline.core.model import Policy
from tests.support.oracle.facts import Leg
from tests.support.oracle.grouping import Group
from tests.support.oracle.scene import (
    Pick,
    Scene,
    Win,
    both_ways,
    context_hint,
    guess_context,
    is_complete,
    is_connected,
    is_root,
    roles_of,
)


def set_scene(group: Group, policy: Policy, until_ms: int | None) -> Scene:
    """The whole derivation, each step on what the steps before gave."""
    hint = context_hint(group)
    roles = roles_of(group, hint)
    scene = Scene(
        group=group,
        policy=policy,
        until_ms=until_ms,
        roles=roles,
        context=hint or guess_context(group, roles),
        bridges={leg_id: both_ways(group, leg_id, "bridges") for leg_id in group.legs},
        unbridges={leg_id: both_ways(group, leg_id, "unbridges") for leg_id in group.legs},
    )
    scene = replace(scene, is_complete=is_complete(scene))
    return replace(scene, wins=_wins(scene), picks=_picks(scene))


def _wins(scene: Scene) -> tuple[Win, ...]:
    agent_roots = [leg for leg in scene.legs if is_root(scene, leg) and scene.role(leg) == "agent"]
    won = [leg for leg in scene.offered if not is_root(scene, leg) and is_connected(scene, leg)]
    if len(agent_roots) >= 2:
        won += [leg for leg in agent_roots if leg.answered_ms is not None]
    wins = [_own_win(scene, leg) for leg in won] + [win for leg in scene.callers for win in _picked_up(scene, leg)]
    return tuple(sorted(wins, key=lambda win: (win.at_ms, win.shown_leg_id)))


def _own_win(scene: Scene, leg: Leg) -> Win:
    assert leg.answered_ms is not None
    assert leg.offered_ms is not None
    bridge_ms = first_bridge_ms(scene, leg)
    return Win(leg_id=leg.leg_id, shown_leg_id=leg.leg_id, at_ms=leg.answered_ms, offered_ms=leg.offered_ms, bridge_ms=bridge_ms)


def _picked_up(scene: Scene, caller: Leg) -> list[Win]:
    if not is_connected(scene, caller):
        return []
    before_ms = scene.policy.race_window_ms
    return [
        Win(leg_id=caller.leg_id, shown_leg_id=peer, at_ms=at_ms, offered_ms=at_ms - before_ms, bridge_ms=at_ms)
        for at_ms, peer in scene.bridges[caller.leg_id]
        if peer not in scene.group.legs
    ]


def first_bridge_ms(scene: Scene, leg: Leg) -> int | None:
    return min((at_ms for at_ms, _ in scene.bridges[leg.leg_id]), default=None)


def _picks(scene: Scene) -> tuple[Pick, ...]:
    picked = [leg for leg in scene.group.legs.values() if leg.end and leg.end.cause == "PICKED_OFF"]
    return tuple(Pick(leg_id=leg.leg_id, at_ms=leg.end.at_ms, offered_ms=leg.offered_ms or 0) for leg in picked if leg.end)


def rivals(scene: Scene, leg: Leg) -> list[Win]:
    """The wins of other legs that this leg raced with, earliest first."""
    return [win for win in scene.wins if win.leg_id != leg.leg_id and _raced(scene, leg, win)]


def rival_picks(scene: Scene, leg: Leg) -> list[Pick]:
    return [pick for pick in scene.picks if _raced(scene, leg, pick)]


def _raced(scene: Scene, leg: Leg, other: Win | Pick) -> bool:
    near_ms = scene.policy.same_moment_ms
    rang_until_ms = leg.answered_ms if leg.answered_ms is not None else leg.ended_ms
    if leg.offered_ms is None or rang_until_ms is None:
        return False
    return other.at_ms >= leg.offered_ms - near_ms and other.offered_ms <= rang_until_ms + near_ms
