"""FreeSWITCH events as JSON, as mod_event_kafka, mod_amqp or an ESL client (`event json`) publish them.

Two thirds of all events carry no fact, so the event's name is looked up in the bytes first and most records are never decoded.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from pipeline.core.model import LegEvent
from pipeline.errors import BadRecord
from pipeline.vendors.freeswitch import callcenter
from pipeline.vendors.freeswitch.fields import ended
from pipeline.vendors.freeswitch.headers import EslEvent, noted_of
from pipeline.vendors.freeswitch.openings import decoded, is_factless, opening
from pipeline.vendors.freeswitch.values import identity, least, moment_ms, text
from pipeline.vendors.freeswitch.visits import last_visit

Reader = Callable[[EslEvent, LegEvent], tuple[LegEvent, ...]]


def parse(value: bytes) -> tuple[LegEvent, ...]:
    """Return what one event tells, at most seven facts in the order of a leg's life; () for events without any.

    An event whose opening shows a name that carries no fact is not looked at further, except that it must end like an object.
    """
    shown = opening(value)
    if is_factless(shown, value):
        return ()
    event = decoded(shown, value)
    name = text(event.event_name)
    if name is None:
        raise BadRecord(
            "missing_event_name", "the record has no Event-Name: send FreeSWITCH's own event JSON (`event json`, mod_event_kafka)"
        )
    if name == "CUSTOM":
        return callcenter.read(event) if callcenter.tells(event) else ()
    reader = READERS.get(name)
    return () if reader is None else reader(event, noted_of(event))


def _created(event: EslEvent, noted: LegEvent) -> tuple[LegEvent, ...]:
    created_ms = moment_ms(event.created_time, "Caller-Channel-Created-Time")
    return (replace(noted, kind="offered", at_ms=event.own_ms() if created_ms is None else created_ms),)


def _progressed(event: EslEvent, noted: LegEvent) -> tuple[LegEvent, ...]:
    rang_ms = _rang_ms(event)
    own_ms = event.own_ms()
    return (replace(noted, kind="ringing", at_ms=own_ms if rang_ms is None else min(own_ms, rang_ms)),)


def _answered(event: EslEvent, noted: LegEvent) -> tuple[LegEvent, ...]:
    answered_ms = moment_ms(event.answered_time, "Caller-Channel-Answered-Time")
    own_ms = event.own_ms()
    return (replace(noted, kind="answered", at_ms=own_ms if answered_ms is None else min(own_ms, answered_ms)),)


def _bridged(event: EslEvent, noted: LegEvent) -> tuple[LegEvent, ...]:
    return (replace(noted, kind="bridged", at_ms=event.own_ms(), peer_leg_id=_peer(event, noted.leg_id)),)


def _unbridged(event: EslEvent, noted: LegEvent) -> tuple[LegEvent, ...]:
    return (replace(noted, kind="unbridged", at_ms=event.own_ms(), peer_leg_id=_peer(event, noted.leg_id)),)


def _peer(event: EslEvent, leg_id: str) -> str:
    """Return the other side of a bridge. Other-Leg-* is right at this moment, and only at this one."""
    sides = (event.bridge_a, event.bridge_b, event.other_leg)
    for side in sides if leg_id in map(text, sides[:2]) else reversed(sides):
        peer = identity(side, "Bridge-A/B-Unique-ID")
        if peer is not None and peer != leg_id:
            return peer
    raise BadRecord(
        "missing_peer", f"the {text(event.event_name)} event names no other side: send it with Bridge-A-Unique-ID and Bridge-B-Unique-ID"
    )


def _held(event: EslEvent, noted: LegEvent) -> tuple[LegEvent, ...]:
    return (replace(noted, kind="held", at_ms=event.own_ms()),)


def _unheld(event: EslEvent, noted: LegEvent) -> tuple[LegEvent, ...]:
    return (replace(noted, kind="unheld", at_ms=event.own_ms()),)


def _hung_up(event: EslEvent, noted: LegEvent) -> tuple[LegEvent, ...]:
    return _end(event, noted, authority=1)


def _destroyed(event: EslEvent, noted: LegEvent) -> tuple[LegEvent, ...]:
    return _end(event, noted, authority=2)


def _end(event: EslEvent, noted: LegEvent, *, authority: int) -> tuple[LegEvent, ...]:
    """Return the end by a notice, () if it knows no cause: a DESTROY alone is no leg."""
    cause = event.hangup_cause_name()
    return () if cause is None else (ended(noted, event, authority=authority, at_ms=_ended_ms(event), cause=cause),)


def _completed(event: EslEvent, noted: LegEvent) -> tuple[LegEvent, ...]:
    """Return the whole life of a leg, as far as the headers tell it."""
    created_ms = moment_ms(event.created_time, "Caller-Channel-Created-Time")
    ended_ms = _ended_ms(event)
    return (
        *_known(noted, "offered", created_ms),
        *_known(noted, "ringing", _rang_ms(event)),
        *_known(noted, "answered", moment_ms(event.answered_time, "Caller-Channel-Answered-Time")),
        *_last_bridge(event, noted),
        *last_visit(noted, event, created_ms=created_ms, ended_ms=ended_ms),
        ended(noted, event, authority=0, at_ms=ended_ms, cause=event.hangup_cause_name() or "NONE"),
    )


def _known(noted: LegEvent, kind: str, at_ms: int | None) -> tuple[LegEvent, ...]:
    return () if at_ms is None else (replace(noted, kind=kind, at_ms=at_ms),)


def _last_bridge(event: EslEvent, noted: LegEvent) -> tuple[LegEvent, ...]:
    bridged_ms = moment_ms(event.bridged_time, "Caller-Channel-Bridged-Time")
    peer = identity(event.bridge_uuid, "variable_bridge_uuid")
    if bridged_ms is None or peer is None or peer == noted.leg_id:
        return ()
    return (replace(noted, kind="bridged", at_ms=bridged_ms, peer_leg_id=peer),)


def _rang_ms(event: EslEvent) -> int | None:
    return least(
        moment_ms(event.progress_time, "Caller-Channel-Progress-Time"),
        moment_ms(event.progress_media_time, "Caller-Channel-Progress-Media-Time"),
    )


def _ended_ms(event: EslEvent) -> int:
    ended_ms = moment_ms(event.hangup_time, "Caller-Channel-Hangup-Time")
    return event.own_ms() if ended_ms is None else ended_ms


READERS: dict[str, Reader] = {
    "CHANNEL_CREATE": _created,
    "CHANNEL_ORIGINATE": _created,
    "CHANNEL_OUTGOING": _created,
    "CHANNEL_PROGRESS": _progressed,
    "CHANNEL_PROGRESS_MEDIA": _progressed,
    "CHANNEL_ANSWER": _answered,
    "CHANNEL_BRIDGE": _bridged,
    "CHANNEL_UNBRIDGE": _unbridged,
    "CHANNEL_HOLD": _held,
    "CHANNEL_UNHOLD": _unheld,
    "CHANNEL_HANGUP": _hung_up,
    "CHANNEL_HANGUP_COMPLETE": _completed,
    "CHANNEL_DESTROY": _destroyed,
}
"""The events of a channel that tell facts. CUSTOM is read beside them; `openings.READ_FOR` says which fields each is read for."""
