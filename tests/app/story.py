"""One ring-all call, told as events and as the rows that the pipeline makes of them: the examples beside the schemas.

`python -m tests.app.story` writes them anew; a test compares.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from pipeline.core.model import AgentTallyRow, AuditRow, CallRow, LateRow, LegEvent, LegRow, Policy, TallyRow
from pipeline.workbench.offline import Offline, Row

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"
BEGIN_MS = 1_795_449_900_000


def told(leg: str, kind: str, at_s: float, **more: Any) -> LegEvent:
    return LegEvent(leg_id=leg, kind=kind, at_ms=BEGIN_MS + int(at_s * 1000), tenant="acme", source="freeswitch:pbx1", **more)  # type: ignore[arg-type]


def ended(leg: str, at_s: float, cause: str, ended_by: str) -> LegEvent:
    return told(leg, "ended", at_s, cause=cause, cause_space="freeswitch", ended_by=ended_by)


def offered(agent: str) -> LegEvent:
    return told(agent, "offered", 1, parent_leg_id="ann", direction="outbound", queue="support", agent=agent)


EVENTS = (
    told("ann", "offered", 0, direction="inbound", dialed="20220", queue="support"),
    offered("bob"),
    offered("cat"),
    told("bob", "ringing", 2),
    told("cat", "ringing", 2),
    told("bob", "answered", 5.98),
    ended("cat", 6, "LOSE_RACE", "platform"),
    told("ann", "answered", 6),
    told("bob", "bridged", 6, peer_leg_id="ann"),
    ended("ann", 40, "NORMAL_CLEARING", "far_hung_up"),
    ended("bob", 40, "NORMAL_CLEARING", "platform"),
)


def rows() -> list[Row]:
    """Everything published, in order: the call, its end, a leg that nobody had told of in time, and a fact that comes when the call is forgotten."""
    offline = Offline(Policy())
    for event in EVENTS:
        offline.send(event)
    offline.run()
    offline.send_watermark(BEGIN_MS + 200_000)
    offline.run()
    offline.send(offered("dan"))
    offline.send(ended("dan", 3, "USER_BUSY", "far_refused"))
    offline.run()
    offline.send_watermark(BEGIN_MS + 40_000_000)
    offline.run()
    offline.send(msgspec.structs.replace(EVENTS[-1], parent_leg_id="ann"))
    offline.run()
    return offline.rows


def examples() -> dict[str, str]:
    """File name -> what it says."""
    published = rows()
    legs = [row for row in published if isinstance(row, LegRow)]
    tallies = [row for row in published if isinstance(row, TallyRow) and row.queue == "support"]
    values = {
        "calls.events.offered": EVENTS[1],
        "calls.events.bridged": EVENTS[8],
        "calls.events.ended": EVENTS[6],
        "calls.legs.winner": [row for row in legs if row.is_winner and row.final][-1],
        "calls.legs.loser": [row for row in legs if row.result == "Lose-race" and row.final][-1],
        "calls.legs.withdrawn": [row for row in legs if row.is_deleted][-1],
        "calls.results.answered": [row for row in published if isinstance(row, CallRow) and row.final and row.call_id == "ann"][-1],
        "calls.tallies.open": tallies[0],
        "calls.tallies.final": [row for row in tallies if (row.window_state, row.window_size_s) == ("final", 60)][-1],
        "calls.tallies.agents.final": [row for row in published if isinstance(row, AgentTallyRow) and row.agent == "bob"][-1],
        "calls.audit.late-leg": next(row for row in published if isinstance(row, AuditRow) and row.reason == "late_leg"),
        "calls.late.call-closed": [row for row in published if isinstance(row, LateRow)][-1],
    }
    return {f"{name}.json": pretty(value) for name, value in values.items()}


def pretty(value: msgspec.Struct) -> str:
    return json.dumps(msgspec.json.decode(msgspec.json.encode(value)), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, text in examples().items():
        (EXAMPLES / name).write_text(text, encoding="utf-8")
