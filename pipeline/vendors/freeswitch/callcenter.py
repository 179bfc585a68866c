"""What mod_callcenter says in CUSTOM events of subclass callcenter::info.

agent-offering and bridge-agent-fail name no channel, bridge-agent-end says SUCCESS whatever happened, and the rest is about agents'
states: none of them tells anything about a leg.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from pipeline.core.model import CONTEXTS, Context, LegEvent
from pipeline.errors import BadRecord
from pipeline.vendors.freeswitch.headers import EslEvent, noted_of, source_seq_of
from pipeline.vendors.freeswitch.values import Value, identity, moment_ms, text, word
from pipeline.vendors.freeswitch.visits import joined_ms, queue_exit

SUBCLASS = "callcenter::info"
QUEUED: Context = "inbound_queue"


def tells(event: EslEvent) -> bool:
    """Return whether a CUSTOM event tells a fact."""
    return text(event.subclass) == SUBCLASS and text(event.cc_action) in _READERS


def read(event: EslEvent) -> tuple[LegEvent, ...]:
    """Return the fact of a CUSTOM event that tells one."""
    return (_READERS[text(event.cc_action) or ""](event),)


def _joined(event: EslEvent) -> LegEvent:
    at_ms = event.own_ms()
    return replace(_visit(event), kind="queue_joined", at_ms=at_ms, joined_ms=_joined_ms(event) or at_ms)


def _left(event: EslEvent) -> LegEvent:
    exit_word = queue_exit(event.cc_reason)
    return replace(_visit(event), kind="queue_left", at_ms=event.own_ms(), joined_ms=_joined_ms(event), queue_exit=exit_word)


def _agent_bridged(event: EslEvent) -> LegEvent:
    noted = _about(event, _leg(event, event.cc_agent_leg, "CC-Agent-UUID"))
    member = _leg(event, event.cc_member_leg, "CC-Member-Session-UUID")
    queue, agent = word(event.cc_queue_name), word(event.cc_agent_name)
    return replace(noted, kind="bridged", at_ms=event.own_ms(), peer_leg_id=member, queue=queue, agent=agent)


def _visit(event: EslEvent) -> LegEvent:
    noted = _about(event, _leg(event, event.cc_member_leg, "CC-Member-Session-UUID"))
    return replace(noted, visit_id=identity(event.cc_member, "CC-Member-UUID"), queue=word(event.cc_queue_name))


def _joined_ms(event: EslEvent) -> int | None:
    return joined_ms(event.cc_joined, moment_ms(event.created_time, "Caller-Channel-Created-Time"))


def _about(event: EslEvent, leg_id: str) -> LegEvent:
    """Return what is hinted at about the leg: the channel's headers count only if they are this leg's."""
    if text(event.unique_id) == leg_id:
        noted = noted_of(event)
        return replace(noted, context=min(noted.context or QUEUED, QUEUED, key=CONTEXTS.index))
    source, core_id = event.switch()
    return LegEvent(leg_id=leg_id, kind="noted", at_ms=0, source=source, core_id=core_id, source_seq=source_seq_of(event), context=QUEUED)


def _leg(event: EslEvent, value: Value, header: str) -> str:
    leg_id = identity(value, header)
    if leg_id is None:
        raise BadRecord("missing_leg_id", f"the {text(event.cc_action)} event has no {header}: send whole callcenter::info events")
    return leg_id


_READERS: dict[str, Callable[[EslEvent], LegEvent]] = {
    "member-queue-start": _joined,
    "member-queue-resume": _joined,
    "member-queue-end": _left,
    "bridge-agent-start": _agent_bridged,
}
