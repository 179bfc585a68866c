"""The tallies of all queues as a person watches them: one line a queue, all its windows added up.

What is drawn is a function of the counts, the width and the height; the board itself only remembers the last row of every window and
which numbers have just changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec
from rich.text import Text

from pipeline.core.model import TallyRow
from pipeline.core.units import NO_QUEUE

Unit = Literal["calls", "legs"]
UNITS: tuple[Unit, ...] = ("calls", "legs")


class Column(NamedTuple):
    """What a number counts: the fields of a tally that are added up, its heading, its colour. It goes by the name of the first field."""

    fields: tuple[str, ...]
    heading: str
    style: str


COLUMNS: Mapping[Unit, Sequence[Column]] = {
    "calls": (
        Column(("calls_pending",), "open", "bold"),
        Column(("calls_answered",), "Answered", "green"),
        Column(("calls_abandoned",), "Abandoned", "cyan"),
        Column(("calls_flow_out",), "Flow-out", "yellow"),
        Column(("calls_outside_working_hours",), "Closed", "blue"),
        Column(("calls_busy",), "Busy", "magenta"),
        Column(("calls_failed", "calls_timeout", "calls_lose_race"), "Other", "red"),
    ),
    "legs": (
        Column(("legs_pending",), "open", "bold"),
        Column(("legs_answered",), "Answered", "green"),
        Column(("legs_lose_race",), "Lose-race", "yellow"),
        Column(("legs_busy",), "Busy", "magenta"),
        Column(("legs_cancel",), "Cancel", "cyan"),
        Column(("legs_failed",), "Failed", "red"),
        Column(("legs_timeout",), "Timeout", "blue"),
    ),
}
CELLS = tuple(column for unit in UNITS for column in COLUMNS[unit])
FIELDS = tuple(column.fields[0] for column in CELLS)
OFFERED = tuple(f"{unit}_offered" for unit in UNITS)
STYLES = tuple(column.style for column in CELLS)

LEGEND = "open: no result yet; a call waits or talks, a leg rings or talks"
TOTAL = "all queues"
FRESH_S = 0.7
WIDEST = 130
NARROWEST_CELL = 5
NARROWEST_NAME, WIDEST_NAME = 10, 16
AROUND_ROWS = 5
"""Lines of `drawn` that are no queue: three of headings, a rule, the total."""

Numbers = dict[str, int]
"""Field -> count, of FIELDS and OFFERED."""


class Board:
    """Takes rows of calls.tallies in any order of keys; of one key the later row counts."""

    def __init__(self) -> None:
        self._windows: dict[bytes, TallyRow] = {}
        self._size_s: int | None = None
        self._shown: dict[tuple[str, str], int] = {}
        self._changed_s: dict[tuple[str, str], float] = {}

    def take(self, key: bytes, value: bytes) -> None:
        """Take the value of one record. Only windows of the smallest size that was seen are counted, by the time of the offers."""
        row = msgspec.json.decode(value, type=TallyRow)
        if row.attribution != "cohort" or (self._size_s is not None and row.window_size_s > self._size_s):
            return
        if row.window_size_s != self._size_s:
            self._size_s = row.window_size_s
            self._windows.clear()
        self._windows[key] = row

    @property
    def windows(self) -> Iterable[TallyRow]:
        """Return the last row of every window."""
        return self._windows.values()

    @property
    def is_final(self) -> bool:
        """Tell whether there are windows and all of them are final: nothing in them is pending."""
        return bool(self._windows) and all(row.window_state == "final" for row in self.windows)

    def queues(self) -> dict[str, Numbers]:
        """Return the sums by queue, sorted by name, what has no queue last."""
        found: defaultdict[str, Numbers] = defaultdict(lambda: dict.fromkeys((*FIELDS, *OFFERED), 0))
        for row in self.windows:
            numbers = found[row.queue]
            for column in CELLS:
                numbers[column.fields[0]] += sum(getattr(row, field) for field in column.fields)
            for field in OFFERED:
                numbers[field] += getattr(row, field)
        return {queue: found[queue] for queue in sorted(found, key=lambda queue: (queue == NO_QUEUE, queue))}

    def fresh(self, queues: Mapping[str, Numbers], now_s: float) -> frozenset[tuple[str, str]]:
        """Return the (queue, field) whose number changed within the last moment. `now_s` comes from any clock that goes on."""
        for queue, numbers in queues.items():
            for field in FIELDS:
                if self._shown.get((queue, field), 0) != numbers[field]:
                    self._shown[queue, field] = numbers[field]
                    self._changed_s[queue, field] = now_s
        return frozenset(place for place, at_s in self._changed_s.items() if now_s - at_s < FRESH_S)


def total_of(queues: Iterable[Numbers]) -> Numbers:
    """Return the sum of all queues."""
    total = dict.fromkeys((*FIELDS, *OFFERED), 0)
    for numbers in queues:
        for field, count in numbers.items():
            total[field] += count
    return total


def folded(queues: Mapping[str, Numbers], most: int) -> dict[str, Numbers]:
    """Return at most so many lines: the queues with the most legs, and one line for all others together."""
    if len(queues) <= most:
        return dict(queues)
    kept = sorted(queues, key=lambda queue: (-queues[queue]["legs_offered"], queue))[: max(0, most - 1)]
    others = [numbers for queue, numbers in queues.items() if queue not in kept]
    return {queue: numbers for queue, numbers in queues.items() if queue in kept} | {f"{len(others)} others": total_of(others)}


def drawn(
    queues: Mapping[str, Numbers],
    *,
    width: int,
    most_queues: int,
    fresh: frozenset[tuple[str, str]] = frozenset(),
    line: str = "─",
    nothing: str = "·",
) -> Text:
    """Draw the board in `width` columns, at least 80. `line` and `nothing` (for 0) can be what a poorer terminal shows."""
    cell = max(NARROWEST_CELL, (min(width, WIDEST) - NARROWEST_NAME) // len(FIELDS))
    name = max(NARROWEST_NAME, min(WIDEST_NAME, width - cell * len(FIELDS)))
    lines = [*_headings(name, cell, line)]
    for queue, numbers in folded(queues, most_queues).items():
        lines.append(_row(queue, numbers, name, cell, fresh=fresh, nothing=nothing))
    lines.append(Text(line * (name + cell * len(FIELDS)), "dim"))
    lines.append(_row(TOTAL, total_of(queues.values()), name, cell, fresh=frozenset(), nothing=nothing, style="bold"))
    return Text("\n").join(lines)


def _headings(name: int, cell: int, line: str) -> Sequence[Text]:
    """A group's name over its columns, then the columns' names on two lines in turn, so that words find room over narrow columns."""
    group = Text(" " * name)
    upper, lower = Text(" " * name), Text("queue".ljust(name), "dim")
    for unit in UNITS:
        columns = COLUMNS[unit]
        group.append(f" {unit} ".center(cell * len(columns) - 2, line).rjust(cell * len(columns)), "bold")
        for index, column in enumerate(columns):
            _right(upper if index % 2 else lower, column.heading, len(group) - cell * (len(columns) - 1 - index), column.style)
    return group, upper, lower


def _right(text: Text, word: str, edge: int, style: str) -> None:
    text.append(" " * (edge - len(text) - len(word)))
    text.append(word, style)


def _row(queue: str, numbers: Numbers, name: int, cell: int, *, fresh: frozenset[tuple[str, str]], nothing: str, style: str = "") -> Text:
    text = Text(short(queue, name).ljust(name), style)
    for field, colour in zip(FIELDS, STYLES, strict=True):
        count = numbers[field]
        look = "bright_black" if count == 0 else f"{colour} {style} {'reverse' if (queue, field) in fresh else ''}"
        text.append(" " * (cell - len(word := f"{count}" if count else nothing)))
        text.append(word, look.strip())
    return text


def short(queue: str, width: int) -> str:
    """Return a queue's name without the domain that all queues of a switch share, cut to the width."""
    name = queue.partition("@")[0]
    return name if len(name) <= width else name[: width - 1] + "~"
