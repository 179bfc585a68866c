"""Compares what was published with what the oracle says, column by column, and checks the laws of every record ever published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from pipeline.core.model import AgentTallyRow, CallRow, LegRow, TallyRow, WindowRow
from pipeline.workbench.offline import Row, last_rows
from tests.support.oracle import CallAnswer, LegAnswer, OracleAnswer, TallyKey
from tests.support.oracle.tallies import Tally

K = TypeVar("K", bound=tuple[str, ...])
LEG_COLUMNS = [name for name in LegAnswer.__dataclass_fields__ if name in LegRow.__struct_fields__]
CALL_COLUMNS = [name for name in CallAnswer.__dataclass_fields__ if name in CallRow.__struct_fields__]
RESULT_WORDS = ("answered", "lose_race", "busy", "cancel", "failed", "timeout")
OUTCOME_WORDS = ("answered", "abandoned", "flow_out", "outside_working_hours", "busy", "timeout", "lose_race", "failed")
OF_ITSELF = frozenset({*WindowRow.__struct_fields__, "queue", "agent"})


def differences(rows: Sequence[Row], answer: OracleAnswer) -> list[str]:
    """Say where the last rows of every key and the oracle's answer differ."""
    last = last_rows(rows).values()
    legs = {(row.tenant, row.call_id, row.leg_id): row for row in last if isinstance(row, LegRow) and not row.is_deleted}
    calls = {(row.tenant, row.call_id): row for row in last if isinstance(row, CallRow) and not row.is_deleted}
    return [
        *_compared("leg", legs, {key: leg for key, leg in answer.legs.items() if leg.result is not None}, LEG_COLUMNS),
        *_compared("call", calls, {key: call for key, call in answer.calls.items() if call.result is not None}, CALL_COLUMNS),
        *_compared_windows(last, answer),
    ]


def _compared(what: str, ours: Mapping[K, object], theirs: Mapping[K, object], names: list[str]) -> list[str]:
    found = [f"{what} {key}: ours {key in ours}, oracle {key in theirs}" for key in sorted({*ours} ^ {*theirs})]
    for key in sorted({*ours} & {*theirs}):
        for name in names:
            one, other = getattr(ours[key], name), getattr(theirs[key], name)
            if one != other:
                found.append(f"{what} {key}.{name}: ours {one!r}, oracle {other!r}")
    return found


def _compared_windows(rows: Iterable[Row], answer: OracleAnswer) -> list[str]:
    ours = {_tally_key(row): _told(row) for row in rows if isinstance(row, TallyRow | AgentTallyRow)}
    theirs = {key: _recounted(key.kind, tally) for key, tally in answer.tallies.items()}
    found = []
    for key in sorted({*ours, *theirs}):
        one, other = ours.get(key, {}), theirs.get(key, {})
        found += [
            f"window {key}.{name}: ours {one.get(name)}, oracle {other.get(name)}"
            for name in sorted({*one, *other})
            if one.get(name) != other.get(name)
        ]
    return found


def _tally_key(row: TallyRow | AgentTallyRow) -> TallyKey:
    size_ms, start_ms = row.window_size_s * 1000, row.window_start_ms
    if isinstance(row, TallyRow):
        return TallyKey(row.tenant, "queue", row.queue, row.attribution, size_ms, start_ms)
    return TallyKey(row.tenant, "agent", row.agent, row.attribution, size_ms, start_ms)


def _told(row: TallyRow | AgentTallyRow) -> dict[str, object]:
    """What a row says, without what is 0 or empty and without what it says of itself."""
    said = {name: getattr(row, name) for name in row.__struct_fields__ if name not in OF_ITSELF}
    return {name: value for name, value in said.items() if value}


def _recounted(kind: str, tally: Tally) -> dict[str, object]:
    said: dict[str, object] = {**tally.counts, "leg_reasons": tally.leg_reasons}
    if kind == "queue":
        rings = [value for values in tally.rings.values() for value in values]
        said |= {
            "call_reasons": tally.call_reasons,
            "waits": _buckets(tally.waits),
            "rings": _buckets(rings),
            "race_legs_max": max(tally.races, default=0),
        }
        for name, values in (("wait", tally.waits), ("ring", rings)):
            said |= {f"{name}_p{percent}_ms": _rank(values, percent) for percent in (50, 90, 95, 99)} | {
                f"{name}_max_ms": _rank(values, 100)
            }
        said |= {f"ring_{word}_max_ms": _rank(tally.rings.get(word, ()), 100) for word in RESULT_WORDS}
    return {name: value for name, value in said.items() if value}


def _rank(values: Sequence[int], percent: int) -> int:
    """The value at rank ceil(p/100 x n), as its bucket shows it."""
    return _bucket(sorted(values)[-(-percent * len(values) // 100) - 1]) if values else 0


def _buckets(values: Iterable[int]) -> dict[str, int]:
    return {str(value): count for value, count in Counter(map(_bucket, values)).items()}


def _bucket(value: int) -> int:
    """The greatest number of the bucket: exact below 128, above that 64 buckets to each doubling."""
    width = 1
    while value // width >= 128:
        width *= 2
    return value // width * width + width - 1


def unbalanced(rows: Iterable[Row]) -> list[TallyRow | AgentTallyRow]:
    """Return the rows, of all ever published, whose offered is not the sum of the outcomes, or that count below zero."""
    return [row for row in rows if isinstance(row, TallyRow | AgentTallyRow) and not _is_balanced(row)]


def _is_balanced(row: TallyRow | AgentTallyRow) -> bool:
    units = {"legs": (*RESULT_WORDS, "pending")} | ({"calls": (*OUTCOME_WORDS, "pending")} if isinstance(row, TallyRow) else {})
    for unit, words in units.items():
        offered: int = getattr(row, f"{unit}_offered")
        parts: list[int] = [getattr(row, f"{unit}_{word}") for word in words]
        if offered != sum(parts) or min(offered, *parts[:-1]) < 0 or (row.attribution == "cohort" and parts[-1] < 0):
            return False
    return True


def is_in_order(rows: Iterable[tuple[object, int]]) -> bool:
    """Tell whether, of (key, revision) in order, no revision of a key comes twice or goes back."""
    seen: dict[object, int] = {}
    for key, revision in rows:
        if revision <= seen.get(key, 0):
            return False
        seen[key] = revision
    return True
