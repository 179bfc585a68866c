"""The measurements as a person reads them, and the machine and the settings that they belong to."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from importlib import metadata

import msgspec

from pipeline.compiled import core_form
from pipeline.settings import Settings
from pipeline.workbench.benchgoals import Judged, judged, sentence
from pipeline.workbench.benchrow import Row
from pipeline.workbench.gauge import machine

COLUMNS = (
    ("events", "events"),
    ("cpu_us_per_event", "CPU us/event"),
    ("whole_us_per_event", "start included"),
    ("events_per_s", "events/s"),
    ("mb_per_s", "MB/s"),
    ("peak_mb", "peak MB"),
    ("first_output_s", "first output s"),
    ("cores", "cores"),
    ("p50_ms", "p50 ms"),
    ("p90_ms", "p90 ms"),
    ("p99_ms", "p99 ms"),
    ("worst_ms", "worst ms"),
    ("bytes_per_open_call", "bytes/open call"),
    ("restored_bytes_per_open_call", "when restored"),
    ("restore_s", "restart s"),
    ("restore_cpu_s", "restart CPU s"),
    ("load", "load"),
)
"""A column is shown if any row has it."""


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a table; below it what was measured and checked, and how far it is from its goals."""
    columns = [(field, title) for field, title in COLUMNS if any(getattr(row, field) for row in rows)]
    lines = ["| " + " | ".join(["measured", *(title for _, title in columns)]) + " |", "|---|" + "---:|" * len(columns)]
    lines += ["| " + " | ".join([row.name, *(shown(getattr(row, field)) for field, _ in columns)]) + " |" for row in rows]
    goals = judged({row.name: row for row in rows})
    return "\n".join([*lines, "", *(line for row in rows for line in explained(row, goals))])


def explained(row: Row, goals: Sequence[Judged]) -> Iterator[str]:
    if row.missing:
        yield f"* {row.name}: not measured: {row.missing}."
    else:
        yield f"* {row.name}: {row.what}. Checked: {row.checked}."
        if len(row.rounds) > 1:
            yield f"  - CPU us/event of each round: {', '.join(map(shown, row.rounds))}"
        if row.decoder_us:
            yield "  - CPU us/event of decoders: " + ", ".join(f"{name} {shown(cost)}" for name, cost in row.decoder_us.items())
        yield from (f"  - {sentence(goal)}" for goal in goals if goal.goal.row == row.name)


def shown(number: float | None) -> str:
    if not number:
        return "-"
    return f"{number:,.0f}" if number >= 1000 or number == int(number) else f"{number:.3g}"


def as_json(rows: Sequence[Row], around: dict[str, str]) -> bytes:
    """Return one object a row, with its goals and what it was measured on."""
    goals = judged({row.name: row for row in rows})
    told = [
        {
            **msgspec.to_builtins(row),
            "goals": [
                {"goal": one.goal.what, "unit": one.goal.unit, "limit": one.goal.limit, "found": one.found, "is_met": one.is_met}
                for one in goals
                if one.goal.row == row.name
            ],
            **around,
        }
        for row in rows
    ]
    return msgspec.json.format(msgspec.json.encode(told)) + b"\n"


def surroundings(settings: Settings, bootstrap: str | None) -> dict[str, str]:
    """Return the machine and the settings that matter, in words."""
    engine = settings.engine
    return {
        "version": metadata.version("callverdict"),
        "machine": machine(),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "core": core_form(),
        "kafka": f"the one at {bootstrap}"
        if bootstrap
        else "one broker of its own on this machine, not on the worker's core where there is another",
        "settings": f"{settings.topics.partitions} partitions, chunks of {engine.chunk_records} records, linger {engine.linger_s} s, exactly once",
    }
