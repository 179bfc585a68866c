"""A second, independent implementation of the verdicts, as a batch recount: what is incremental is checked against what is simple.

Nothing here is shared with pipeline.core but the types of the model. Written for clarity, not for speed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.core.model import Context, EndedBy, LegEvent, Policy, Result, Role, Verdict
from tests.support.oracle.callers import judge_leg
from tests.support.oracle.calls import CallAnswer, judge_call
from tests.support.oracle.facts import Leg
from tests.support.oracle.grouping import group
from tests.support.oracle.measures import hold_ms, queue_of, ring_ms, talk_ms
from tests.support.oracle.outcomes import VisitAnswer, judge_visit
from tests.support.oracle.races import first_bridge_ms, rivals, set_scene
from tests.support.oracle.scene import Scene
from tests.support.oracle.tallies import Tally, TallyKey, count

__all__ = ["CallAnswer", "LegAnswer", "OracleAnswer", "Tally", "TallyKey", "VisitAnswer", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LegAnswer:
    """One leg: its verdict (result, reason and rule are None for pseudo legs and for legs that have not ended) and its facts."""

    result: Result | None
    reason: str | None
    rule: str | None
    needs_review: bool
    final: bool
    role: Role
    context: Context
    queue: str | None
    agent: str | None
    direction: str | None
    parent_leg_id: str | None
    winner_leg_id: str | None
    is_winner: bool
    lost_by_ms: int | None
    offered_ms: int | None
    rang_ms: int | None
    answered_ms: int | None
    bridged_ms: int | None
    ended_ms: int | None
    ring_ms: int | None
    talk_ms: int | None
    hold_ms: int | None
    cause: str | None
    ended_by: EndedBy | None
    sip_status: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleAnswer:
    """Legs by (tenant, call_id, leg_id), calls by (tenant, call_id), visits by (tenant, call_id, leg_id, visit_id), tallies of
    queues and agents by window. Legs of which only bridges and notes are known are left out; a call is in `calls` when one of its
    legs is no pseudo leg."""

    legs: dict[tuple[str, str, str], LegAnswer]
    calls: dict[tuple[str, str], CallAnswer]
    visits: dict[tuple[str, str, str, str], VisitAnswer]
    tallies: dict[TallyKey, Tally]


def judge(events: Iterable[LegEvent], policy: Policy, *, until_ms: int | None) -> OracleAnswer:
    """The final answer for all these events, in any order and with any repetition.

    `until_ms` is the closing watermark; None is later than every settling time and every time to live.
    """
    answer = OracleAnswer(legs={}, calls={}, visits={}, tallies={})
    for found in group(events):
        _judge_one(set_scene(found, policy, until_ms), answer)
    return answer


def _judge_one(scene: Scene, answer: OracleAnswer) -> None:
    key = (scene.group.tenant, scene.group.call_id)
    verdicts = {leg.leg_id: judge_leg(scene, leg) for leg in scene.legs}
    answer.legs.update({(*key, leg.leg_id): _row(scene, leg, verdicts[leg.leg_id]) for leg in scene.legs})
    call = judge_call(scene, verdicts)
    if any(scene.role(leg) != "pseudo" for leg in scene.legs):
        answer.calls[key] = call
    for leg in scene.legs:
        answer.visits.update({(*key, leg.leg_id, visit.visit_id): judge_visit(scene, visit) for visit in leg.visits})
    count(scene, verdicts, call, answer.tallies)


def _row(scene: Scene, leg: Leg, verdict: Verdict | None) -> LegAnswer:
    raced = rivals(scene, leg)
    lost = verdict is not None and verdict.result == Result.LOSE_RACE
    return LegAnswer(
        result=verdict.result if verdict else None,
        reason=verdict.reason if verdict else None,
        rule=verdict.rule if verdict else None,
        needs_review=bool(verdict and verdict.needs_review),
        final=scene.is_complete,
        role=scene.role(leg),
        context=scene.context,
        queue=queue_of(scene, leg),
        agent=leg.agent,
        direction=leg.direction,
        parent_leg_id=leg.link,
        winner_leg_id=scene.wins[0].shown_leg_id if scene.wins else None,
        is_winner=bool(scene.wins) and scene.wins[0].shown_leg_id == leg.leg_id,
        lost_by_ms=leg.ended_ms - raced[0].at_ms if lost and raced and leg.ended_ms is not None else None,
        offered_ms=leg.offered_ms,
        rang_ms=leg.rang_ms,
        answered_ms=leg.answered_ms,
        bridged_ms=first_bridge_ms(scene, leg),
        ended_ms=leg.ended_ms,
        ring_ms=ring_ms(leg),
        talk_ms=talk_ms(scene, leg),
        hold_ms=hold_ms(leg),
        cause=leg.end.cause if leg.end else None,
        ended_by=leg.ended_by,
        sip_status=leg.sip_status,
    )
