"""Compares what was published with what the oracle says, column by column, and checks the laws of every record ever published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from pipeline.core.model import CallRow, Counts, LegRow, TallyRow
from pipeline.workbench.offline import Row, last_rows
from tests.support.oracle import CallAnswer, LegAnswer, OracleAnswer, TallyKey

K = TypeVar("K", bound=tuple[str, ...])
LEG_COLUMNS = [name for name in LegAnswer.__dataclass_fields__ if name in LegRow.__struct_fields__]
CALL_COLUMNS = [name for name in CallAnswer.__dataclass_fields__ if name in CallRow.__struct_fields__]
WORDS = ("answered", "lose_race", "busy", "cancel", "failed", "timeout", "pending")


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
    ours: dict[TallyKey, dict[str, int]] = {
        (row.tenant, row.queue, row.window_size_s * 1000, row.window_start_ms): _counted(row) for row in rows if isinstance(row, TallyRow)
    }
    theirs = {key: _counted(counts) for key, counts in answer.tallies.items()}
    keys = sorted({key for key, counts in (*ours.items(), *theirs.items()) if counts})
    return [f"window {key}: ours {ours.get(key)}, oracle {theirs.get(key)}" for key in keys if ours.get(key, {}) != theirs.get(key, {})]


def _counted(counts: Counts) -> dict[str, int]:
    return {name: getattr(counts, name) for name in Counts.__struct_fields__ if getattr(counts, name)}


def unbalanced(rows: Iterable[Row]) -> list[TallyRow]:
    """Return the rows, of all ever published, whose offered is not the sum of the other columns, or that count below zero."""
    return [row for row in rows if isinstance(row, TallyRow) and not all(_is_balanced(row, unit) for unit in ("legs", "calls"))]


def _is_balanced(row: TallyRow, unit: str) -> bool:
    offered: int = getattr(row, f"{unit}_offered")
    parts: list[int] = [getattr(row, f"{unit}_{word}") for word in WORDS]
    return offered == sum(parts) and min(offered, *parts) >= 0


def is_in_order(rows: Iterable[tuple[object, int]]) -> bool:
    """Tell whether, of (key, revision) in order, no revision of a key comes twice or goes back."""
    seen: dict[object, int] = {}
    for key, revision in rows:
        if revision <= seen.get(key, 0):
            return False
        seen[key] = revision
    return True
