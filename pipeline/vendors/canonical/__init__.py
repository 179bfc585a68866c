"""Our own LegEvent as JSON, for producers that speak it themselves: strict, since whoever writes it can mend it."""

from __future__ import annotations

import msgspec

from pipeline.core.model import LegEvent
from pipeline.errors import BadRecord

NEEDED: dict[str, tuple[tuple[str, ...], ...]] = {
    "bridged": (("peer_leg_id",),),
    "unbridged": (("peer_leg_id",),),
    "ended": (("cause",),),
    "queue_joined": (("visit_id",), ("queue",)),
    "queue_left": (("visit_id",), ("queue", "joined_ms")),
}
"""By kind: one of these sets of fields must be there, beside leg_id, kind and at_ms."""

_DECODER: msgspec.json.Decoder[list[LegEvent] | LegEvent] = msgspec.json.Decoder(list[LegEvent] | LegEvent)


def parse(value: bytes) -> tuple[LegEvent, ...]:
    """Return the record's events as they stand: one object gives one, an array as many as it has."""
    decoded = _decode(value)
    events = tuple(decoded) if isinstance(decoded, list) else (decoded,)
    for event in events:
        _check(event)
    return events


def _decode(value: bytes) -> list[LegEvent] | LegEvent:
    try:
        return _DECODER.decode(value)
    except msgspec.ValidationError as error:
        raise BadRecord(_reason(str(error)), f"{error}: send LegEvents as the schema of calls.events says") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRecord("not_json", f"not one JSON document in UTF-8 ({error}): send one LegEvent, or an array of them") from None


def _reason(complaint: str) -> str:
    if "unknown field" in complaint:
        return "unknown_field"
    if "missing required field" in complaint:
        return "missing_field"
    return "wrong_type" if "got `" in complaint else "wrong_value"


def _check(event: LegEvent) -> None:
    choices = NEEDED.get(event.kind, ((),))
    if not any(all(getattr(event, name) is not None for name in names) for names in choices):
        wanted = ", or ".join(" and ".join(names) for names in choices)
        raise BadRecord("missing_field", f"{event.kind} of leg {event.leg_id} needs {wanted}: send it")
    if event.core_id is not None and not event.source:
        raise BadRecord("missing_field", f"core_id of leg {event.leg_id} needs source: name the switch that this run is one of")
    if event.leg_id in (event.parent_leg_id, event.peer_leg_id):
        raise BadRecord("self_link", f"leg {event.leg_id} names itself as its parent or peer: name the other leg, or leave the field out")
