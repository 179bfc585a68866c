"""Facts and calls keep every field on the way to bytes and back, and legs without facts share what must then stay empty."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pipeline.core.call import Call, call_of_stored, stored_call
from pipeline.core.leg import Leg, fold, leg_of_stored, stored_leg
from pipeline.core.model import LegEvent
from pipeline.core.stored import CallUnit, LegUnit, StoredCall, StoredEnd, StoredLeg, StoredPublished, StoredTies, Visit

LEG = StoredLeg(
    "bob", "ann", 2, "contact", "outbound", 3, 1, "sales", "1021", "20220", "berlin", True, 1, 2, 3, StoredEnd(1, 9, "BUSY", "platform", 486),
    20_000, 9, True, {"ann": [3, 5]}, {"ann": [4]}, [6], [7], {"stay": Visit("sales", 1, 2, "abandoned")}, "queue_timeout",
    frozenset({"loser"}), frozenset({"ringing"}),
)  # fmt: skip
TIES = StoredTies({"eve": (1, "x")}, {"eve": "contact"}, {"key": "above"}, {"root": "lesser"}, {"zoe": ("hangs", 1, "own"), "dan": None})
CALL = StoredCall(
    "acme", "ann", {"bob": LEG}, (1, "own"), (1_000, "up"), True, True, TIES, {"eve": (2, "y")}, 9,
    {"bob": StoredPublished(3, "said", True, 77)}, StoredPublished(2, "call", True, 78), {"bob": LegUnit("sales", "1021", 1, True)},
    {"": CallUnit("sales", 1, False, "answered")}, 99, True,
)  # fmt: skip


@pytest.mark.parametrize("example", [LEG, TIES, CALL])
def test_the_examples_set_every_field_to_something_else_than_its_default(example: msgspec.Struct) -> None:
    empty: dict[str, Any] = {field.name: field.default for field in msgspec.structs.fields(example)}
    assert [name for name, value in msgspec.structs.asdict(example).items() if value in (empty[name], None, 0, "", {}, [])] == []


def test_a_leg_keeps_every_field() -> None:
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(stored_leg(leg_of_stored(LEG))), type=StoredLeg)
    assert again == LEG


def test_a_call_keeps_every_field() -> None:
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(stored_call(call_of_stored(CALL))), type=StoredCall)
    assert again == CALL


def test_an_empty_call_and_leg_keep_being_empty() -> None:
    call = Call("acme", "ann")
    call.legs["ann"] = Leg("ann")
    stored = stored_call(call)
    assert stored.legs == {"ann": StoredLeg("ann")}
    assert stored_call(call_of_stored(stored)) == stored


@pytest.mark.parametrize("kind", ["bridged", "unbridged", "held", "unheld", "queue_joined"])
def test_what_one_leg_is_told_no_other_leg_hears(kind: Any) -> None:
    """Legs without bridges, holds or visits share one empty map or list."""
    told, other = Leg("ann"), Leg("bob")
    again = leg_of_stored(StoredLeg("eve"))
    fold(told, LegEvent(leg_id="ann", kind=kind, at_ms=5, peer_leg_id="zed", visit_id="stay"))
    assert stored_leg(told) != StoredLeg("ann", is_real=kind in ("held", "unheld", "queue_joined"), offered_ms=5, last_ms=5)
    assert stored_leg(other) == StoredLeg("bob")
    assert stored_leg(again) == StoredLeg("eve")
    assert stored_leg(Leg("dan")) == StoredLeg("dan")
