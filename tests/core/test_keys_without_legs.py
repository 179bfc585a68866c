"""A key whose legs have all been passed on may get them back: until retention is over it is not closed."""

from __future__ import annotations

from pipeline.core.assemble import step
from pipeline.core.assembly import Assembly
from pipeline.core.model import LateRow, LegEvent, Policy
from pipeline.core.routing import EVERY_ORIGIN, Facts, Linked, Review, Watermark

POLICY = Policy()
T = 1_700_000_000_000


def test_a_group_gets_its_leg_back_after_a_detour() -> None:
    """A link sends the only leg of the group away to the key above it, which turns out to hang under the group."""
    state, below = Assembly(), Assembly()
    told = LegEvent(leg_id="ann", kind="offered", at_ms=T, origin="raw/0", group_id="group", parent_leg_id="bob")
    (sent,) = [output for output in step(below, told, POLICY) if isinstance(output, Facts)]
    assert sent.to == "group"
    step(state, Watermark(origin=EVERY_ORIGIN, at_ms=T), POLICY)
    step(state, sent, POLICY)
    step(state, Review(), POLICY)
    detour = step(state, Linked(tenant="", to="group", leg_id="bob", parent="unseen", rank=0, at_ms=T), POLICY)
    (away,) = [output for output in detour if isinstance(output, Facts)]
    assert away.to == "bob"
    step(state, Review(), POLICY)
    step(state, Watermark(origin=EVERY_ORIGIN, at_ms=T + 1_000), POLICY)
    back = [*step(state, sent, POLICY), *step(state, Review(), POLICY)]
    assert not [output for output in back if isinstance(output, LateRow)]
    step(state, Watermark(origin=EVERY_ORIGIN, at_ms=T + POLICY.ttl_ms + POLICY.retention_ms + 3_600_000), POLICY)
    assert not state.calls
