"""Section 4 of the verdicts: the result of a call, and which leg speaks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.core.model import Result, Verdict
from tests.support.oracle.callers import STRONGEST_FIRST
from tests.support.oracle.facts import Leg
from tests.support.oracle.scene import Scene, is_root

Verdicts = Mapping[str, Verdict | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswer:
    """One call's result; result, reason and decided_by_leg_id are None while the leg that speaks for it has no verdict."""

    result: Result | None
    reason: str | None
    rule: str
    decided_by_leg_id: str | None
    needs_review: bool
    final: bool
    winner_leg_id: str | None


def judge_call(scene: Scene, verdicts: Verdicts) -> CallAnswer:
    rule, speaker = _speaker(scene, verdicts)
    verdict = verdicts[speaker.leg_id] if speaker else None
    return CallAnswer(
        result=verdict.result if verdict else None,
        reason=verdict.reason if verdict else None,
        rule=rule,
        decided_by_leg_id=speaker.leg_id if speaker and verdict else None,
        needs_review=bool(verdict and verdict.needs_review),
        final=scene.is_complete and verdict is not None,
        winner_leg_id=scene.wins[0].shown_leg_id if scene.wins else None,
    )


def first_caller(scene: Scene) -> Leg | None:
    """The root caller, else the earliest caller."""
    return min(scene.callers, key=lambda leg: (not is_root(scene, leg), leg.offered_ms or 0, leg.leg_id), default=None)


def _speaker(scene: Scene, verdicts: Verdicts) -> tuple[str, Leg | None]:
    caller = first_caller(scene)
    if caller:
        return "K1", caller
    roots = _speaking_roots(scene, verdicts)
    if roots:
        return "K2", roots[0] if len(roots) == 1 else _strongest(roots, verdicts)
    customers = [leg for leg in scene.offered if scene.role(leg) == "customer"]
    return "K3", _strongest(customers or [leg for leg in scene.offered if not is_root(scene, leg)], verdicts)


def _speaking_roots(scene: Scene, verdicts: Verdicts) -> list[Leg]:
    roots = [leg for leg in scene.offered if is_root(scene, leg)]
    customers = [leg for leg in roots if scene.role(leg) == "customer"]
    if scene.context == "autodialer" and customers:
        return customers
    only = verdicts[roots[0].leg_id] if len(roots) == 1 else None
    unanswered = len(roots) == 1 and (only is None or only.result != Result.ANSWERED)
    return roots if unanswered or len(roots) == len(scene.offered) else []


def _strongest(legs: Iterable[Leg], verdicts: Verdicts) -> Leg | None:
    """The leg with the strongest result, ties by name; None while none has a verdict."""
    judged = [(leg, verdict) for leg in legs if (verdict := verdicts[leg.leg_id])]
    order = sorted(judged, key=lambda pair: (STRONGEST_FIRST.index(pair[1].result), pair[0].leg_id))
    return order[0][0] if order else None
