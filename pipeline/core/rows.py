"""What is published of a call: one row a leg, one row a call, rendered from facts and verdicts."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.core.classify import CallVerdict
from pipeline.core.leg import Leg
from pipeline.core.measures import call_queue, hold_ms, queue_of, queues, ring_ms, rounds, started_ms, talk_ms, wait_ms
from pipeline.core.model import CallRow, LegRow, Result, Verdict
from pipeline.core.race import Race, offers, rivals


def leg_row(tenant: str, leg: Leg, verdict: Verdict, race: Race, *, final: bool, revision: int) -> LegRow:
    """Return the row of a leg that has a verdict."""
    winner, end = race.winner, leg.end
    beaten_by = rivals(leg, race.wins, race.policy, own=False) if verdict.result is Result.LOSE_RACE else []
    return LegRow(
        tenant=tenant,
        call_id=race.call_id,
        leg_id=leg.leg_id,
        result=verdict.result,
        reason=verdict.reason,
        rule=verdict.rule,
        final=final,
        needs_review=verdict.needs_review,
        role=race.roles[leg.leg_id],
        context=race.context,
        direction=leg.direction,
        queue=queue_of(leg, race),
        agent=leg.agent,
        parent_leg_id=leg.parent,
        winner_leg_id=winner.taker if winner else None,
        is_winner=winner is not None and winner.taker == leg.leg_id,
        lost_by_ms=end.at_ms - beaten_by[0].at_ms if end and beaten_by else None,
        offered_ms=leg.offered_ms,
        rang_ms=leg.rang_ms,
        answered_ms=leg.answered_ms,
        bridged_ms=race.bridged.get(leg.leg_id),
        ended_ms=end.at_ms if end else None,
        ring_ms=ring_ms(leg),
        talk_ms=talk_ms(leg, race),
        hold_ms=hold_ms(leg),
        cause=end.cause if end else None,
        ended_by=end.ended_by if end else None,
        sip_status=end.sip_status if end else None,
        source=leg.source or "",
        is_deleted=False,
        moved_to_call_id=None,
        revision=revision,
    )


def withdrawn_leg(tenant: str, call_id: str, leg_id: str, *, moved_to: str | None, revision: int) -> LegRow:
    """Return the row that takes back what was said of a leg: it went to another call, or has no verdict after all."""
    return LegRow(
        tenant=tenant, call_id=call_id, leg_id=leg_id, result=None, reason=None, rule=None, final=False, needs_review=False,
        role=None, context=None, direction=None, queue=None, agent=None, parent_leg_id=None, winner_leg_id=None, is_winner=False,
        lost_by_ms=None, offered_ms=None, rang_ms=None, answered_ms=None, bridged_ms=None, ended_ms=None, ring_ms=None, talk_ms=None,
        hold_ms=None, cause=None, ended_by=None, sip_status=None, source="", is_deleted=True, moved_to_call_id=moved_to,
        revision=revision,
    )  # fmt: skip


def call_row(tenant: str, race: Race, verdicts: Mapping[str, Verdict], spoken: CallVerdict, *, final: bool, revision: int) -> CallRow:
    """Return the row of a call that has a result."""
    winner = race.winner
    offered = offers(race)
    results = [verdicts[leg.leg_id].result if leg.leg_id in verdicts else None for leg in offered]
    talks = [talk_ms(leg, race) for leg in offered]
    real = [leg for leg_id, leg in race.legs.items() if leg.is_real and race.roles[leg_id] != "pseudo"]
    return CallRow(
        tenant=tenant,
        call_id=race.call_id,
        result=spoken.verdict.result,
        reason=spoken.verdict.reason,
        rule=spoken.rule,
        decided_by_leg_id=spoken.leg_id,
        decided_by_rule=spoken.verdict.rule,
        final=final,
        needs_review=spoken.verdict.needs_review,
        context=race.context,
        queue=call_queue(race),
        queues=queues(race),
        winner_leg_id=winner.taker if winner else None,
        answered_by=race.legs[winner.taker].agent if winner and winner.taker in race.legs else None,
        rounds=rounds(race),
        started_ms=started_ms(race),
        answered_ms=winner.at_ms if winner else None,
        ended_ms=max((leg.end.at_ms for leg in real if leg.end is not None), default=None),
        wait_ms=wait_ms(race),
        talk_ms=sum(ms for ms in talks if ms is not None),
        legs_offered=len(offered),
        legs_answered=results.count(Result.ANSWERED),
        legs_lose_race=results.count(Result.LOSE_RACE),
        legs_busy=results.count(Result.BUSY),
        legs_cancel=results.count(Result.CANCEL),
        legs_failed=results.count(Result.FAILED),
        legs_timeout=results.count(Result.TIMEOUT),
        legs_pending=results.count(None),
        source=min((leg.source for leg in real if leg.source), default=""),
        is_deleted=False,
        moved_to_call_id=None,
        revision=revision,
    )


def withdrawn_call(tenant: str, call_id: str, *, moved_to: str | None, revision: int) -> CallRow:
    """Return the row that takes back a call: all its legs turned out to belong to another one."""
    return CallRow(
        tenant=tenant, call_id=call_id, result=None, reason=None, rule=None, decided_by_leg_id=None, decided_by_rule=None,
        final=False, needs_review=False, context=None, queue=None, queues=None, winner_leg_id=None, answered_by=None, rounds=0, started_ms=None, answered_ms=None,
        ended_ms=None, wait_ms=None, talk_ms=None, legs_offered=0, legs_answered=0, legs_lose_race=0, legs_busy=0, legs_cancel=0,
        legs_failed=0, legs_timeout=0, legs_pending=0, source="", is_deleted=True, moved_to_call_id=moved_to, revision=revision,
    )  # fmt: skip
