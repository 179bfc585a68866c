"""The notation of the scenario files, read into events and expectations.

A file is blocks divided by blank lines; lines that begin with `#` are comments. A block:

    S04 [Cancel] caller gives up while agents ring (seed: Cancel, ORIGINATOR_CANCEL)
    policy timeout_only_in_autodialer
    ann caller | 0 offer, 8 end ORIGINATOR_CANCEL far_hung_up => Cancel abandoned C3
    bob of ann limit=20 | 1 offer, 2 ring, 8 end ORIGINATOR_CANCEL platform => Cancel caller_cancelled X2
    visit Q1 => Cancel abandoned 14

The word in brackets is the result of the call of the first leg (`pending` and `-`: none). `caller` came in to the switch, `root`
was placed by it, `of X` was offered by X. Times are seconds. `won 9` stands for a caller ann and her agent bob, connected from 9 s to
30 s. `until 9` gives the closing watermark (without it everything is over). A leg expects result, reason, rule, or `-` for no verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from pipeline.core.model import LegEvent, Policy

SCENARIOS = Path(__file__).parents[1] / "core" / "scenarios"
BASE_MS = 1_700_000_000_000
CALLER, WINNER = "ann", "bob"
KINDS = {
    "offer": "offered",
    "ring": "ringing",
    "answer": "answered",
    "bridge": "bridged",
    "unbridge": "unbridged",
    "join": "queue_joined",
    "leave": "queue_left",
    "end": "ended",
    "hold": "held",
    "unhold": "unheld",
    "note": "noted",
}
WHO = frozenset({"far_refused", "far_hung_up", "platform"})
HEADER = re.compile(r"(?P<id>S\d+\w*) \[(?P<result>[\w-]+)\] (?P<title>.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What one line expects. `words` is (result, reason, rule), or empty for no verdict."""

    leg_id: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedVisit:
    queue: str
    result: str
    reason: str
    wait_ms: int


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One block: what is told, and what must come of it."""

    id: str
    title: str
    call_result: str | None
    policy: Policy = field(default_factory=Policy)
    until_ms: int | None = None
    events: tuple[LegEvent, ...] = ()
    expected: tuple[Expected, ...] = ()
    visits: tuple[ExpectedVisit, ...] = ()

    def __str__(self) -> str:
        return self.id


def load(folder: Path = SCENARIOS) -> list[Scenario]:
    """Every scenario of the folder, by id."""
    found = [scenario for path in sorted(folder.glob("*.txt")) for scenario in parse(path.read_text(encoding="utf-8"))]
    return sorted(found, key=lambda scenario: scenario.id)


def parse(text: str) -> Iterator[Scenario]:
    """Raises ValueError with the line for anything that the notation does not know."""
    told = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for block in re.split(r"\n\s*\n", told.strip("\n")):
        header, *lines = block.strip("\n").splitlines()
        yield _scenario(header, lines)


def _scenario(header: str, lines: Iterable[str]) -> Scenario:
    match = HEADER.fullmatch(header)
    if match is None:
        raise ValueError(f"{header!r}: a scenario begins with `S63 [Result] title`")
    result = None if match["result"] in {"pending", "-"} else match["result"]
    scenario = Scenario(id=match["id"], title=match["title"], call_result=result)
    for line in lines:
        scenario = _told(scenario, line)
    return scenario


def _told(scenario: Scenario, line: str) -> Scenario:
    word, _, rest = line.partition(" ")
    if word == "policy":
        return replace(scenario, policy=msgspec.structs.replace(Policy(), **dict(map(_setting, rest.split()))))
    if word == "until":
        return replace(scenario, until_ms=at_ms(rest))
    if word == "won":
        return _told(_told(scenario, f"{CALLER} caller | {_won(rest, WINNER)} => Answered connected A3"), _winner(rest))
    if word == "visit":
        return replace(scenario, visits=(*scenario.visits, _visit(line)))
    events, expected = _leg(line)
    return replace(scenario, events=scenario.events + events, expected=(*scenario.expected, expected))


def _setting(word: str) -> tuple[str, bool | int]:
    name, _, value = word.partition("=")
    return name, int(value) if value else True


def _won(seconds: str, peer: str) -> str:
    return f"0 offer, {seconds} answer, {seconds} bridge {peer}, 30 end NORMAL_CLEARING far_hung_up"


def _winner(seconds: str) -> str:
    told = f"1 offer, 2 ring, {seconds} answer, {seconds} bridge {CALLER}, 30 end NORMAL_CLEARING platform"
    return f"{WINNER} of {CALLER} | {told} => Answered answered A1"


def _visit(line: str) -> ExpectedVisit:
    match = re.fullmatch(r"visit (\S+) => (\S+) (\S+) (\S+)", line)
    if match is None:
        raise ValueError(f"{line!r}: a visit reads `visit QUEUE => Result reason seconds`")
    return ExpectedVisit(queue=match[1], result=match[2], reason=match[3], wait_ms=_ms(match[4]))


def _leg(line: str) -> tuple[tuple[LegEvent, ...], Expected]:
    match = re.fullmatch(r"(?P<hints>[^|]+) \| (?P<events>.+) => (?P<words>.+)", line)
    if match is None:
        raise ValueError(f"{line!r}: a leg reads `id hints | events => result reason rule`")
    leg_id, *hints = match["hints"].split()
    everywhere, at_end = _hints(line, hints)
    events = [_event(leg_id, told.split(), line) for told in match["events"].split(", ")]
    words = () if match["words"] == "-" else tuple(match["words"].split())
    return tuple(_hinted(events, everywhere, at_end)), Expected(leg_id=leg_id, words=words)


def _hinted(events: list[dict[str, Any]], everywhere: dict[str, Any], at_end: dict[str, Any]) -> Iterator[LegEvent]:
    """Links and hints come with every event, as switches send them; exits, flags and silences with the last event."""
    for event in events:
        yield LegEvent(**everywhere, **event, **(at_end if event is events[-1] else {}))


def _hints(line: str, hints: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    everywhere: dict[str, Any] = {}
    at_end: dict[str, Any] = {}
    words = iter(hints)
    for word in words:
        if word == "of":
            everywhere |= {"parent_leg_id": next(words), "direction": "outbound"}
        elif word.startswith("+"):
            at_end["flags"] = (*at_end.get("flags", ()), word[1:])
        elif word.partition("=")[0] in {"exit", "cannot"}:
            at_end |= _last_hint(*word.split("="))
        else:
            everywhere |= _hint(line, word)
    return everywhere, at_end


def _last_hint(name: str, value: str) -> dict[str, Any]:
    if name == "cannot":
        return {"cannot_report": tuple(value.split(","))}
    return {} if value == "-" else {"queue_exit": value}


def _hint(line: str, word: str) -> dict[str, Any]:
    name, _, value = word.partition("=")
    plain = {"caller": {"direction": "inbound"}, "root": {"direction": "outbound"}, "pseudo": {"role": "pseudo"}}
    fields = {"ctx": "context", "role": "role", "group": "group_id", "queue": "queue", "agent": "agent", "dialed": "dialed"}
    if word in plain:
        return plain[word]
    if name == "limit":
        return {"ring_limit_ms": _ms(value)}
    if name == "core":
        return {"source": "switch", "core_id": value}
    if name not in fields:
        raise ValueError(f"{line!r}: the hint {word!r} is not known")
    return {fields[name]: value}


def _event(leg_id: str, told: list[str], line: str) -> dict[str, Any]:
    seconds, kind, *rest = told
    if kind not in KINDS:
        raise ValueError(f"{line!r}: {kind!r} is none of {', '.join(KINDS)}")
    event: dict[str, Any] = {"leg_id": leg_id, "kind": KINDS[kind], "at_ms": at_ms(seconds)}
    if kind in {"bridge", "unbridge"}:
        event["peer_leg_id"] = rest[0]
    if kind in {"join", "leave"}:
        event |= {"queue": rest[0], "visit_id": rest[0], "queue_exit": rest[1] if rest[1:] else None}
    return event | (_end(rest) if kind == "end" else {})


def _end(words: list[str]) -> dict[str, Any]:
    cause, *rest = words
    return {
        "cause": cause,
        "ended_by": next((word for word in rest if word in WHO), None),
        "sip_status": next((int(word[4:]) for word in rest if word.startswith("sip=")), None),
    }


def at_ms(seconds: str) -> int:
    """Seconds of a scenario as milliseconds since 1970."""
    return BASE_MS + _ms(seconds)


def _ms(seconds: str) -> int:
    return round(float(seconds) * 1000)
