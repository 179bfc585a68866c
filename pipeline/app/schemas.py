"""JSON Schemas of the topics' values, made from the types: one file a topic in schemas/, committed and reviewed.

A type's own descriptions come first; what it leaves open is in GLOSSARY. Each time, duration and count says its unit under `x-unit`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from pipeline.app.topics import SCHEMA_VERSION
from pipeline.core.model import BANDS_S, AgentTallyRow, AuditRow, CallRow, LateRow, LegEvent, LegRow, TallyRow

DIALECT = "https://json-schema.org/draft/2020-12/schema"

TYPES: Mapping[str, type[msgspec.Struct]] = {
    "calls.events": LegEvent,
    "calls.legs": LegRow,
    "calls.results": CallRow,
    "calls.tallies": TallyRow,
    "calls.tallies.agents": AgentTallyRow,
    "calls.audit": AuditRow,
    "calls.late": LateRow,
}

RESULTS = {
    "answered": "that ended Answered",
    "lose_race": "that ended Lose-race: another leg was faster",
    "busy": "that ended Busy",
    "cancel": "that ended Cancel",
    "failed": "that ended Failed",
    "timeout": "that ended Timeout",
}
DISTRIBUTIONS = {"wait": "the waits of answered and abandoned calls", "ring": "the ring times of legs with a result"}
GLOSSARY = {
    "agent": "who was offered the call; null if unknown",
    "calls.late.agent": "the agent of the window; null if the record stands for a fact, or a queue's window",
    "calls.late.attribution": "of the window; null if the record stands for a fact",
    "calls.late.window_size_s": "length of the window; null if the record stands for a fact",
    "calls.tallies.agents.agent": "the agent",
    "calls.audit.agent": "the agent that was counted; null where a queue was",
    "calls.audit.call_id": "the call that changed",
    "calls.audit.reason": "why: a call or leg of which nothing was known, a time to live that was over, or a correction",
    "attribution": "cohort: all in the window of the offer; activity: each happening in its own window",
    "answered_ms": "when it was answered; null if it was not",
    "at_ms": "when it happened; null if the record stands for a window",
    "call_id": "the call: the root's leg_id, or the group_id of its legs",
    "context": "what kind of call this is; null until it is known",
    "decided_by_leg_id": "the leg whose verdict is the call's",
    "direction": "seen from the switch; null if the source did not say",
    "ended_by": "who ended it: the far end with a final status, the far end by hanging up, or the switch; null if unknown",
    "ended_ms": "when it ended; null while it has not, or if only its time to live is over",
    "final": "the call is complete and settled",
    "is_deleted": "this row was withdrawn: what it told of moved to another call",
    "is_winner": "this leg won the race of its call",
    "kind": "what happened; null if the record stands for a window",
    "leg_id": "the vendor's own id of the dialog between switch and endpoint",
    "calls.late.leg_id": "the leg that the fact is about; null if the record stands for a window",
    "calls.late.queue": "the queue of the window; null if the record stands for a fact",
    "calls.late.reason": "what was gone, or full: the call, its window, or the number of legs that a call may have",
    "moved_to_call_id": "where what it told of went",
    "needs_review": "decided on missing or unknown evidence",
    "offered_ms": "earliest event of the leg",
    "parent_leg_id": "the leg that caused this offer; null for a root",
    "queue": "the queue; null if none is known",
    "calls.tallies.queue": "the queue; (none) where none is known",
    "rang_ms": "when it rang; null if it did not, or the source cannot tell",
    "reason": "a word that refines the result",
    "result": "one of the six results",
    "revision": "number of the corrected record under this key, from 1",
    "role": "what this leg is in the call; null until it is known",
    "sip_status": "final status that the far end sent",
    "source": "vendor and switch instance",
    "tenant": "from the source's settings; empty if there is only one",
    "winner_leg_id": "the leg that won the race; null if none did",
    "window_end_ms": "end of the window, not part of it",
    "window_size_s": "length of the window",
    "window_start_ms": "start of the window",
    "calls.late.window_start_ms": "start of the window; null if the record stands for a fact",
    "legs_offered": "offered legs: the sum of the seven legs_ fields of results and pending",
    "calls_offered": "calls, or visits of a queue: the sum of the nine calls_ fields of outcomes and pending",
    "calls_abandoned": "calls whose caller gave up, or waited in vain",
    "calls_outside_working_hours": "calls outside working hours",
    "calls_answered_wait_ms": "sum of the waits of answered calls",
    "calls_abandoned_wait_ms": "sum of the waits of abandoned calls",
    "legs_pending": "offered legs without a result yet",
    "calls_pending": "calls without an outcome yet",
    **{f"legs_{word}": f"offered legs {rest}" for word, rest in RESULTS.items()},
    **{f"calls_{word}": f"calls {rest}" for word, rest in RESULTS.items() if word != "cancel"},
    **{f"legs_ring_{word}_ms": f"sum of ring time of legs {rest}" for word, rest in RESULTS.items()},
    **{f"ring_{word}_max_ms": f"greatest ring time of a leg {rest}" for word, rest in RESULTS.items()},
    **{
        f"{what}_p{percent}_ms": f"the {percent}th percentile of {rest}"
        for what, rest in DISTRIBUTIONS.items()
        for percent in (50, 90, 95, 99)
    },
    **{f"{what}_max_ms": f"the greatest of {rest}" for what, rest in DISTRIBUTIONS.items()},
    "race_legs_max": "the widest race",
    **{
        f"{outcome}_le_{seconds}_s": f"calls {outcome} after a wait of at most {seconds} s"
        for outcome in ("answered", "abandoned")
        for seconds in BANDS_S
    },
}

MOMENTS = {
    "at_ms", "joined_ms", "offered_ms", "rang_ms", "answered_ms", "bridged_ms", "ended_ms", "started_ms", "window_start_ms", "window_end_ms"
}  # fmt: skip


def unit(name: str) -> str | None:
    """The unit that a field's name ends (or, for counts, begins) with."""
    if name in MOMENTS:
        return "ms since 1970-01-01T00:00:00Z"
    if "_le_" in name:
        return "calls"
    for end, word in (("_ms", "ms"), ("_s", "s")):
        if name.endswith(end):
            return word
    return next((what for what in ("legs", "calls") if name.startswith(f"{what}_")), None)


def schema(topic: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the topic's values."""
    kind = TYPES[topic]
    _, components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    body: dict[str, Any] = components.pop(kind.__name__)
    body["properties"] = {name: described(topic, name, field) for name, field in body["properties"].items()}
    if not kind.__struct_config__.omit_defaults:
        body = always_whole(body)
    head: dict[str, Any] = {"$schema": DIALECT, "$id": f"urn:callverdict:{topic}:{SCHEMA_VERSION}"}
    return head | body | ({"$defs": components} if components else {})


def described(topic: str, name: str, field: Mapping[str, Any]) -> dict[str, Any]:
    words = {"description": field.get("description") or GLOSSARY.get(f"{topic}.{name}") or GLOSSARY[name]}
    if name_unit := unit(name):
        words["x-unit"] = name_unit
    return words | {key: value for key, value in field.items() if key != "description"}


def always_whole(body: dict[str, Any]) -> dict[str, Any]:
    """We write every field of these rows, so a reader may rely on each."""
    fields = {name: {key: value for key, value in field.items() if key != "default"} for name, field in body["properties"].items()}
    return body | {"properties": fields, "required": list(fields)}


def file_name(topic: str) -> str:
    return f"{topic}.schema.json"


def text(topic: str) -> str:
    return json.dumps(schema(topic), indent=2, ensure_ascii=False) + "\n"


def write(directory: Path) -> list[Path]:
    """Write what differs from the types, and say what that was."""
    changed = [topic for topic in TYPES if stale(directory, topic)]
    for topic in changed:
        (directory / file_name(topic)).write_text(text(topic), encoding="utf-8")
    return [directory / file_name(topic) for topic in changed]


def differences(directory: Path) -> list[str]:
    """One sentence for each file that is not what the types say."""
    return [
        f"{directory / file_name(topic)} {'differs from the types' if (directory / file_name(topic)).exists() else 'is missing'}: "
        "write it with `callverdict schemas`"
        for topic in TYPES
        if stale(directory, topic)
    ]


def stale(directory: Path, topic: str) -> bool:
    path = directory / file_name(topic)
    return not path.exists() or path.read_text(encoding="utf-8") != text(topic)
