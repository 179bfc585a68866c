"""The stays of a caller in mod_callcenter's queues, from callcenter::info events and from the variables left on the member's channel."""

from __future__ import annotations

from msgspec.structs import replace

from pipeline.core.model import LegEvent, QueueExit
from pipeline.vendors.freeswitch.fields import Variables
from pipeline.vendors.freeswitch.values import Value, identity, seconds_ms, text, word

QUEUE_EXITS: dict[str, QueueExit] = {
    "TIMEOUT": "queue_timeout",
    "NO_AGENT_TIMEOUT": "queue_no_agents",
    "EXIT_WITH_KEY": "queue_exit_key",
    "BREAK_OUT": "abandoned",
}
"""CC-Cancel-Reason, cc_cancel_reason. SUCCESS and "Terminated" tell nothing of how it went."""


def queue_exit(reason: Value) -> QueueExit | None:
    """Return how the caller left the queue, None if an agent took the call."""
    return QUEUE_EXITS.get(text(reason) or "")


def joined_ms(joined_epoch: Value, created_ms: int | None) -> int | None:
    """Return when a visit began. The second is rounded down, yet never before the leg: a resumed member keeps the time of his first call."""
    counted_ms = seconds_ms(joined_epoch)
    return None if counted_ms is None else max(counted_ms, created_ms or 0)


def last_visit(noted: LegEvent, facts: Variables, *, created_ms: int | None, ended_ms: int) -> tuple[LegEvent, ...]:
    """Return the last visit of a member's channel that has ended: its variables show only that one, and earlier the one before.

    Without a time of joining only the leaving is told.
    """
    visit_id = identity(facts.cc_member_uuid, "cc_member_uuid")
    if visit_id is None or text(facts.cc_side) != "member":
        return ()
    visit = replace(noted, visit_id=visit_id, queue=word(facts.cc_queue))
    began_ms = joined_ms(facts.cc_queue_joined_epoch, created_ms)
    left = replace(
        visit,
        kind="queue_left",
        at_ms=max(_left_ms(facts, ended_ms), began_ms or 0),
        joined_ms=began_ms,
        queue_exit=queue_exit(facts.cc_cancel_reason),
    )
    if began_ms is None:
        return (left,)
    return (replace(visit, kind="queue_joined", at_ms=began_ms, joined_ms=began_ms), left)


def _left_ms(facts: Variables, ended_ms: int) -> int:
    """Return the latest millisecond that the second of leaving can mean, so that an exact time from elsewhere wins as the least."""
    left_ms = seconds_ms(facts.cc_queue_canceled_epoch if facts.cc_cancel_reason else facts.cc_queue_terminated_epoch)
    return ended_ms if left_ms is None else min(left_ms + 999, ended_ms)
