"""What the rules ask of one leg, and the words in which they answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from pipeline.core.causes import cause_class
from pipeline.core.leg import Leg
from pipeline.core.model import Result, Role, Verdict
from pipeline.core.race import Moment, Race, cause_of, offers, rivals


class Case:
    """What the rules ask of one leg, looked up once. `complete` and `now_ms` are the state of stream time."""

    __slots__ = (
        "answered", "cause", "complete", "end_ms", "is_root", "leg", "now_ms", "others", "picks", "race", "result_class", "rivals",
        "role",
    )  # fmt: skip

    def __init__(self, leg: Leg, race: Race, *, complete: bool, now_ms: int, others: Callable[[str], Verdict | None]) -> None:
        self.leg = leg
        self.race = race
        self.complete = complete
        self.now_ms = now_ms
        self.others = others  # the verdict of another leg of the call
        self.role: Role = race.roles[leg.leg_id]
        self.is_root = leg.leg_id in race.roots
        self.answered = leg.answered_ms is not None
        self.end_ms = leg.end.at_ms if leg.end is not None else 0  # asked only after P2 and M
        self.cause = cause_of(leg, race.legs, race.roles, race.roots) or ""
        self.result_class = cause_class(self.cause)
        self.rivals: list[Moment] = rivals(leg, race.wins, race.policy, own=False) if race.wins else []
        self.picks: list[Moment] = rivals(leg, race.picks, race.policy, own=True) if race.picks else []

    @property
    def ended_by(self) -> str | None:
        """Return who ended the leg, as far as known."""
        return None if self.leg.end is None else self.leg.end.ended_by

    @property
    def sip_status(self) -> int | None:
        """Return the far end's final status."""
        return None if self.leg.end is None else self.leg.end.sip_status

    @property
    def is_dialed_customer(self) -> bool:
        """Tell whether an autodialer dialed this leg's person."""
        return self.role == "customer" and self.race.context == "autodialer"


@lru_cache(maxsize=1024)
def verdict(result: Result, reason: str, rule: str, *, needs_review: bool = False) -> Verdict:
    """Return a Verdict; equal ones are one object."""
    return Verdict(result, reason, rule, needs_review)


def timeout(case: Case, reason: str, rule: str) -> Verdict:
    """Return Timeout, or Cancel where the policy keeps Timeout for the autodialer."""
    narrow = case.race.policy.timeout_only_in_autodialer and case.race.context != "autodialer"
    return verdict(Result.CANCEL if narrow else Result.TIMEOUT, reason, rule)


def lost(case: Case, rule: str) -> Verdict:
    """Return Lose-race; a pick tells more than a win."""
    return verdict(Result.LOSE_RACE, "picked_up_elsewhere" if case.picks else "lost_race", rule)


def other_offers(case: Case) -> list[Leg]:
    """Return the offered legs of the call other than this one."""
    return [leg for leg in offers(case.race) if leg is not case.leg]
