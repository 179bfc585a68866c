"""The simple verdict that the peers give: the winner, else the cause. State: the legs of a call that have not ended, and who won."""

from __future__ import annotations

import msgspec

CONTROL = b'{"control":'
RESULTS = {"USER_BUSY": "Busy", "ORIGINATOR_CANCEL": "Cancel", "NORMAL_CLEARING": "Cancel", "NO_ANSWER": "Timeout"}


class LegEvent(msgspec.Struct, gc=False):
    """What of a canonical event this job needs."""

    leg_id: str
    kind: str
    at_ms: int
    role: str = ""
    cause: str = ""
    authority: int = 0


class Call(msgspec.Struct, array_like=True):
    """`legs`: leg -> when it was offered, and answered."""

    winner: str | None = None
    legs: dict[str, tuple[int, int | None]] = {}


read_event = msgspec.json.Decoder(LegEvent).decode
encode = msgspec.json.Encoder().encode
read_call = msgspec.json.Decoder(Call).decode


def offered(call: Call, event: LegEvent) -> None:
    call.legs[event.leg_id] = (event.at_ms, None)


def answered(call: Call, event: LegEvent) -> None:
    call.legs[event.leg_id] = (call.legs[event.leg_id][0], event.at_ms)
    if call.winner is None and event.role == "agent":
        call.winner = event.leg_id


def ended(call: Call, event: LegEvent, value: bytes) -> bytes:
    """Take the leg out of the call. Return the event's own bytes with four more fields before the closing brace."""
    offered_ms, answered_ms = call.legs.pop(event.leg_id)
    return b'%b,"offered_ms":%d,"answered_ms":%b,"result":"%b","winner":%b}' % (
        value[:-1], offered_ms, encode(answered_ms), result(call, event, answered_ms).encode(), encode(call.winner)
    )  # fmt: skip


def result(call: Call, event: LegEvent, answered_ms: int | None) -> str:
    if answered_ms is not None:
        return "Answered"
    if call.winner is not None and event.role == "agent":
        return "Lose-race"
    return RESULTS.get(event.cause, "Failed")


def is_full(event: LegEvent) -> bool:
    """Tell whether an end is the full record; the notice before it says less."""
    return event.authority == 0
