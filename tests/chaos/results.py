"""The table of runs in RESULTS.md."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.run import Outcome

FILE = Path(__file__).with_name("RESULTS.md")


def append(outcome: Outcome, file: Path = FILE) -> None:
    """Add one row."""
    with file.open("a") as table:
        table.write(row(outcome, datetime.now(UTC)) + "\n")


def row(outcome: Outcome, at: datetime) -> str:
    run, counts = outcome.run, outcome.findings.counts
    steps = sum(name.startswith("die ") for name in outcome.harms)
    others = Counter(name for name in outcome.harms if not name.startswith("die "))
    harms = ", ".join([f"die at {steps} steps", *(f"{name}{f' x{times}' if times > 1 else ''}" for name, times in sorted(others.items()))])
    cells = (
        f"{at:%Y-%m-%d %H:%M}", run.seed, f"{run.events:,}", f"{outcome.records:,}", run.brokers, harms, outcome.kills, outcome.broker_kills,
        len(outcome.own_ends), f"{outcome.seconds:.0f}", counts["lost"], counts["double"], counts["wrong"],
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"
