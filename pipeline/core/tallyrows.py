"""A window's counts as a record: one row of a queue, one of an agent."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from pipeline.core.model import BANDS_S, AgentTallyRow, Attribution, ChangeReason, LegTally, TallyRow, WindowState
from pipeline.core.sketch import percentiles
from pipeline.core.stored import Kind, Sum
from pipeline.core.units import WORDS
from pipeline.core.window import Window, local_start, offset_ms

PERCENTS = (50, 90, 95, 99)
LEG_COLUMNS = tuple(name for name in LegTally.__struct_fields__ if name.startswith(("legs_", "race")))
CALL_COLUMNS = tuple(name for name in TallyRow.__struct_fields__ if name.startswith("calls_"))
_RESULTS = tuple(WORDS.values())


def row_of(
    tenant: str, kind: Kind, name: str, attribution: Attribution, window: Window, size_ms: int, zone: str, counts: Sum,
    *, state: WindowState, revision: int, reason: ChangeReason | None,
) -> TallyRow | AgentTallyRow:  # fmt: skip
    """Return the record of one window. `counts`: see tally.Sum."""
    local = local_start(window.start_ms, zone)
    told: dict[str, Any] = {
        "tenant": tenant,
        "attribution": attribution,
        "window_size_s": size_ms // 1000,
        "window_start_ms": window.start_ms,
        "window_end_ms": window.end_ms,
        "tz": zone,
        "utc_offset_s": offset_ms(window.start_ms, zone) // 1000,
        "local_date": local[:10],
        "local_start": local,
        "window_state": state,
        "completeness": _completeness(counts, "calls" if kind == "queue" else "legs"),
        "revision": revision,
        "revision_reason": reason,
        "leg_reasons": _part(counts, "leg_reasons:"),
    }
    told |= {column: counts.get(column, 0) for column in LEG_COLUMNS}
    if kind == "agent":
        return AgentTallyRow(agent=name, **told)
    told |= {column: counts.get(column, 0) for column in CALL_COLUMNS}
    told |= _bands(counts) | _distributions(counts)
    return TallyRow(queue=name, call_reasons=_part(counts, "call_reasons:"), **told)


def _completeness(counts: Sum, unit: str) -> float:
    offered, pending = counts.get(f"{unit}_offered", 0), counts.get(f"{unit}_pending", 0)
    return round(min(1.0, max(0.0, 1 - pending / offered)), 4) if offered > 0 else 1.0


def _part(counts: Sum, prefix: str) -> dict[str, int]:
    """Return the counts whose names begin so, without that, by name."""
    return {name[len(prefix) :]: counts[name] for name in sorted(counts) if name.startswith(prefix)}


def _bands(counts: Sum) -> dict[str, int]:
    return {
        f"{outcome}_le_{seconds}_s": count
        for outcome in ("answered", "abandoned")
        for seconds, count in zip(BANDS_S, accumulate(counts.get(f"{outcome}_le:{seconds}", 0) for seconds in BANDS_S), strict=True)
    }


def _distributions(counts: Sum) -> dict[str, Any]:
    waits = _buckets(counts, "waits:")
    by_result = {result: _buckets(counts, f"rings:{result}:") for result in _RESULTS}
    rings: dict[int, int] = {}
    for buckets in by_result.values():
        for value, count in buckets.items():
            rings[value] = rings.get(value, 0) + count
    return {
        **{f"wait_p{percent}_ms": value for percent, value in zip(PERCENTS, percentiles(waits, PERCENTS), strict=True)},
        "wait_max_ms": _greatest(waits),
        **{f"ring_p{percent}_ms": value for percent, value in zip(PERCENTS, percentiles(rings, PERCENTS), strict=True)},
        "ring_max_ms": _greatest(rings),
        **{f"ring_{result}_max_ms": _greatest(buckets) for result, buckets in by_result.items()},
        "race_legs_max": _greatest(_buckets(counts, "race_legs:")),
        "waits": {str(value): waits[value] for value in sorted(waits)},
        "rings": {str(value): rings[value] for value in sorted(rings)},
    }


def _buckets(counts: Sum, prefix: str) -> dict[int, int]:
    return {int(name): count for name, count in _part(counts, prefix).items()}


def _greatest(buckets: dict[int, int]) -> int:
    return max((value for value, count in buckets.items() if count > 0), default=0)
