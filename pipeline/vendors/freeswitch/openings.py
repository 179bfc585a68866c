"""What the first bytes of an event show: its name, by which most events are known to tell nothing and the others need few of their keys.

msgspec looks for each of a record's 120 keys among all fields of its type, so what an event is not read for is not decoded either.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from pipeline.vendors.freeswitch import callcenter
from pipeline.vendors.freeswitch.headers import EslEvent, narrowed
from pipeline.vendors.freeswitch.values import decode

_OPENING = re.compile(rb'\s*\{\s*(?:"Event-Subclass"\s*:\s*"([\w:.-]*)"\s*,\s*)?"Event-Name"\s*:\s*"(\w+)"\s*[,}]', re.ASCII)
"""How FreeSWITCH begins every event. Anchored at the first byte, so no value further on can pass for the name."""
_BEGINS_WITH_SUBCLASS = b'{"Event-Subclass"'
_LONGEST = 200

_CALLCENTER = frozenset(
    ("subclass", "cc_action", "cc_queue_name", "cc_agent_name", "cc_agent_leg", "cc_member", "cc_member_leg", "cc_joined", "cc_reason")
)
_RINGING = frozenset(("progress_time", "progress_media_time"))
_SIDES = frozenset(("bridge_a", "bridge_b", "other_leg"))
_END = frozenset(("cause", "hangup_cause", "hangup_time", "sip_hangup_disposition", "sip_term_status", "sip_invite_failure_status"))
_LAST_BRIDGE = frozenset(("bridged_time", "bridge_uuid"))
_LAST_VISIT = frozenset(
    ("cc_member_uuid", "cc_cancel_reason", "cc_queue_joined_epoch", "cc_queue_canceled_epoch", "cc_queue_terminated_epoch")
)
_CREATED, _ANSWERED = frozenset(("created_time",)), frozenset(("answered_time",))
_SPECIAL = _CALLCENTER | _RINGING | _SIDES | _END | _LAST_BRIDGE | _LAST_VISIT | _CREATED | _ANSWERED
"""Fields that only some events are read for. All others may hint at something in any event of a channel."""

READ_FOR: dict[str, frozenset[str]] = {
    "CHANNEL_CREATE": _CREATED,
    "CHANNEL_ORIGINATE": _CREATED,
    "CHANNEL_OUTGOING": _CREATED,
    "CHANNEL_PROGRESS": _RINGING,
    "CHANNEL_PROGRESS_MEDIA": _RINGING,
    "CHANNEL_ANSWER": _ANSWERED,
    "CHANNEL_BRIDGE": _SIDES,
    "CHANNEL_UNBRIDGE": _SIDES,
    "CHANNEL_HOLD": frozenset(),
    "CHANNEL_UNHOLD": frozenset(),
    "CHANNEL_HANGUP": _END,
    "CHANNEL_HANGUP_COMPLETE": _END | _CREATED | _RINGING | _ANSWERED | _LAST_BRIDGE | _LAST_VISIT,
    "CHANNEL_DESTROY": _END,
}
"""The events of a channel that tell facts, and which of those fields they are read for. CUSTOM is read beside them."""

_WHOLE = narrowed(frozenset())
_ACTION = narrowed(frozenset(EslEvent.__struct_fields__) - {"event_name", "subclass", "cc_action"})
_NARROW = {name: narrowed(_SPECIAL - read) for name, read in READ_FOR.items()} | {"CUSTOM": _ACTION}


class Opening(NamedTuple):
    """The name that an event's opening shows, and whether events of this name, and subclass, tell nothing."""

    name: str
    is_factless: bool


def opening(value: bytes) -> Opening | None:
    """Return what the opening shows; None if it is not one of FreeSWITCH's."""
    end = value.find(b",", 0, _LONGEST) + 1
    if value.startswith(_BEGINS_WITH_SUBCLASS):
        end = value.find(b",", end, _LONGEST) + 1
    return _opening(value[:end]) if end else _read_opening(value)


def is_factless(shown: Opening | None, value: bytes) -> bool:
    """Return whether an event need not be looked at further: its name tells nothing, and it ends like an object."""
    return shown is not None and shown.is_factless and value.endswith((b"}", b"}\n", b"}\r\n"))


def decoded(shown: Opening | None, value: bytes) -> EslEvent:
    """Return the event with all that it is read for. Raises BadRecord."""
    narrow = None if shown is None else _NARROW.get(shown.name)
    if shown is not None and narrow is not None:
        event = decode(narrow, value)
        is_repeated = event.event_name != shown.name  # and of a repeated key the last one is read
        if not is_repeated and not (narrow is _ACTION and callcenter.tells(event)):
            return event
    return decode(_WHOLE, value)


def _read_opening(value: bytes) -> Opening | None:
    found = _OPENING.match(value)
    if found is None:
        return None
    subclass, name = found.groups()
    if name == b"CUSTOM":
        return Opening("CUSTOM", subclass is not None and subclass != callcenter.SUBCLASS.encode())
    return Opening(name.decode(), name.decode() not in READ_FOR)


_opening = lru_cache(maxsize=512)(_read_opening)
