"""The headers of an event that carry facts, beside the channel variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec

from pipeline.core.model import LegEvent
from pipeline.errors import BadRecord
from pipeline.vendors.freeswitch.fields import Switch, Variables, note, switch_of
from pipeline.vendors.freeswitch.values import Value, identity, moment_ms, text

if TYPE_CHECKING:
    _PrefixedVariables = Variables
else:
    _PrefixedVariables = msgspec.defstruct(
        "_PrefixedVariables",
        [(name, Value, msgspec.field(default=None, name=f"variable_{name}")) for name in Variables.__struct_fields__],
        bases=(Variables,),
        kw_only=True,
        gc=False,
    )


class EslEvent(_PrefixedVariables, kw_only=True, gc=False):
    """One event: its headers, and the channel's variables as `variable_*`. Of a repeated key the last one is read."""

    event_name: Value = msgspec.field(default=None, name="Event-Name")
    subclass: Value = msgspec.field(default=None, name="Event-Subclass")
    switchname: Value = msgspec.field(default=None, name="FreeSWITCH-Switchname")
    hostname: Value = msgspec.field(default=None, name="FreeSWITCH-Hostname")
    core_uuid: Value = msgspec.field(default=None, name="Core-UUID")
    sequence: Value = msgspec.field(default=None, name="Event-Sequence")
    timestamp: Value = msgspec.field(default=None, name="Event-Date-Timestamp")
    unique_id: Value = msgspec.field(default=None, name="Unique-ID")
    direction: Value = msgspec.field(default=None, name="Call-Direction")
    channel_name: Value = msgspec.field(default=None, name="Channel-Name")
    destination: Value = msgspec.field(default=None, name="Caller-Destination-Number")
    profile_index: Value = msgspec.field(default=None, name="Caller-Profile-Index")
    created_time: Value = msgspec.field(default=None, name="Caller-Channel-Created-Time")
    progress_time: Value = msgspec.field(default=None, name="Caller-Channel-Progress-Time")
    progress_media_time: Value = msgspec.field(default=None, name="Caller-Channel-Progress-Media-Time")
    answered_time: Value = msgspec.field(default=None, name="Caller-Channel-Answered-Time")
    bridged_time: Value = msgspec.field(default=None, name="Caller-Channel-Bridged-Time")
    hangup_time: Value = msgspec.field(default=None, name="Caller-Channel-Hangup-Time")
    cause: Value = msgspec.field(default=None, name="Hangup-Cause")
    bridge_a: Value = msgspec.field(default=None, name="Bridge-A-Unique-ID")
    bridge_b: Value = msgspec.field(default=None, name="Bridge-B-Unique-ID")
    other_leg: Value = msgspec.field(default=None, name="Other-Leg-Unique-ID")
    cc_action: Value = msgspec.field(default=None, name="CC-Action")
    cc_queue_name: Value = msgspec.field(default=None, name="CC-Queue")
    cc_agent_name: Value = msgspec.field(default=None, name="CC-Agent")
    cc_agent_leg: Value = msgspec.field(default=None, name="CC-Agent-UUID")
    cc_member: Value = msgspec.field(default=None, name="CC-Member-UUID")
    cc_member_leg: Value = msgspec.field(default=None, name="CC-Member-Session-UUID")
    cc_joined: Value = msgspec.field(default=None, name="CC-Member-Joined-Time")
    cc_reason: Value = msgspec.field(default=None, name="CC-Cancel-Reason")

    def own_ms(self) -> int:
        """Return when the event happened."""
        happened_ms = moment_ms(self.timestamp, "Event-Date-Timestamp")
        if happened_ms is None:
            raise BadRecord("missing_time", "the event has no Event-Date-Timestamp: send whole events with all their headers")
        return happened_ms

    def hangup_cause_name(self) -> str | None:
        """Return the cause by name, None if the record knows none."""
        return text(self.cause) or text(self.hangup_cause)

    def leg_id(self) -> str:
        """Return the channel that the event belongs to."""
        leg_id = identity(self.unique_id, "Unique-ID")
        if leg_id is None:
            advice = "send whole channel events (`events json CHANNEL_HANGUP_COMPLETE`)"
            raise BadRecord("missing_leg_id", f"the {text(self.event_name)} event has no Unique-ID: {advice}")
        return leg_id

    def is_transferred(self) -> bool:
        """Return whether the channel has had another caller profile, so that its destination is no longer what was dialed."""
        return self.transfer_history is not None or text(self.profile_index) not in (None, "1")

    def switch(self) -> Switch:
        """Return the switch that sent the event."""
        return switch_of(text(self.switchname) or self.hostname, self.core_uuid)


def narrowed(unread: frozenset[str]) -> msgspec.json.Decoder[EslEvent]:
    """Return a decoder to which the fields of these names are None, whatever the record says.

    msgspec looks for each of a record's 120 keys among all fields, so half the fields are decoded in little more than half the time.
    """
    known = zip(EslEvent.__struct_fields__, EslEvent.__struct_encode_fields__, strict=True)
    narrow = msgspec.defstruct(
        "NarrowEslEvent",
        [(name, Value, msgspec.field(default=None, name=encoded)) for name, encoded in known if name not in unread],
        namespace={
            **dict.fromkeys(unread),
            **{name: value for name, value in vars(EslEvent).items() if callable(value) and name[0] != "_"},
        },
        kw_only=True,
        gc=False,
    )
    return msgspec.json.Decoder(cast(type[EslEvent], narrow))


def noted_of(event: EslEvent) -> LegEvent:
    """Return what the event hints at about its own leg, as a `noted` event at 0."""
    return note(
        event.leg_id(),
        event,
        direction=event.direction,
        channel_name=event.channel_name,
        dialed=None if event.is_transferred() else event.destination,
        switch=event.switch(),
        source_seq=source_seq_of(event),
    )


def source_seq_of(event: EslEvent) -> int | None:
    """Return the switch's own counter, None if it is no such number."""
    shown = text(event.sequence)
    return int(shown) if shown is not None and shown.isascii() and shown.isdecimal() and len(shown) <= 18 else None
