"""How the demo looks: a living board on a terminal, plain lines in a log. It draws what it is given and knows no Kafka."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from pipeline.workbench.board import AROUND_ROWS, COLUMNS, LEGEND, UNITS, Numbers, drawn, total_of

NARROWEST = 80
FRAME_ROWS = 3  # the heading, the footing, the legend
LINE_EVERY_S = 5.0
BAR = 24
EVERY_QUEUE = 1_000

Fresh = frozenset[tuple[str, str]]


class Moment(NamedTuple):
    """What is known now. `lag`: records that the worker has not processed; the two last: from a hangup to its verdict."""

    phase: str
    elapsed_s: float
    planned_s: float
    sent: int
    per_s: float
    lag: int | None
    median_ms: int | None
    p99_ms: int | None
    queues: Mapping[str, Numbers]
    fresh: Fresh = frozenset()


class Stage:
    """Where the show takes place. `is_live`: on a terminal that can be drawn upon again and again."""

    def __init__(self, console: Console, *, is_live: bool) -> None:
        self.console = console
        self._is_live = is_live
        self._is_plain = not console.encoding.lower().startswith("utf")
        self._live: Live | None = None
        self._said: tuple[str, float] = ("", 0.0)

    def say(self, what: RenderableType = "") -> None:
        self.console.print(what)

    def title(self, words: str) -> None:
        self.say()
        self.say(Rule(Text(words, "bold"), align="left", style="dim"))

    @contextmanager
    def step(self, doing: str) -> Iterator[Callable[[str], None]]:
        """Say what is being done; the yielded function says what was done instead, and how long it took."""
        start_s = time.monotonic()

        def done(words: str) -> None:
            self.console.print(_line((f"{time.monotonic() - start_s:5.1f} s  ", "dim"), words), soft_wrap=not self._is_live)

        if not self._is_live:
            yield done
            return
        with self.console.status(Text(f"{doing} ..."), spinner="line" if self._is_plain else "dots"):
            yield done

    @contextmanager
    def live(self) -> Iterator[None]:
        """Within this block `show` draws upon one place; the last drawing stays."""
        if not self._is_live:
            yield
            return
        with Live(console=self.console, auto_refresh=False, vertical_overflow="crop") as self._live:
            yield
        self._live = None

    def show(self, moment: Moment) -> None:
        if self._live is not None:
            self._live.update(self.frame(moment), refresh=True)
        elif self._is_due(moment):
            self._said = (moment.phase, moment.elapsed_s)
            self.console.print(in_words(moment), soft_wrap=True)

    def settle(self, queues: Mapping[str, Numbers]) -> None:
        """Leave the board as it is at last, where it was not drawn all along."""
        if not self._is_live:
            self.console.print(self.board(queues), soft_wrap=True)

    def _is_due(self, moment: Moment) -> bool:
        phase, at_s = self._said
        return phase != moment.phase or moment.elapsed_s - at_s >= LINE_EVERY_S

    def frame(self, moment: Moment) -> RenderableType:
        most = self.console.height - FRAME_ROWS - AROUND_ROWS
        board = self.board(moment.queues, most=most, fresh=moment.fresh)
        return Group(self._heading(moment), board, _footing(moment), _line((LEGEND, "dim")))

    def board(self, queues: Mapping[str, Numbers], *, most: int = EVERY_QUEUE, fresh: Fresh = frozenset()) -> Text:
        line, nothing = ("-", ".") if self._is_plain else ("─", "·")
        width = max(NARROWEST, self.console.width)
        return drawn(queues, width=width, most_queues=most, fresh=fresh, line=line, nothing=nothing)

    def _heading(self, moment: Moment) -> Text:
        full, rest = ("#", "-") if self._is_plain else ("━", "─")
        filled = int(BAR * min(1.0, moment.elapsed_s / moment.planned_s))
        clock = f" {moment.elapsed_s:.0f} s  "
        return _line((full * filled, "green"), (rest * (BAR - filled), "dim"), clock, (moment.phase, "bold"))


def _line(*parts: str | tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _footing(moment: Moment) -> Text:
    return _line("   ".join((f"{moment.sent:,} events, {moment.per_s:,.0f}/s", *_behind(moment))))


def _behind(moment: Moment) -> Iterator[str]:
    if moment.lag is not None:
        yield f"lag {moment.lag:,}"
    if moment.median_ms is not None:
        yield f"hangup to verdict {moment.median_ms} ms (p99 {moment.p99_ms} ms)"


def in_words(moment: Moment) -> Text:
    """Return one line for a log."""
    total = total_of(moment.queues.values())
    counts = (f"{total[f'{unit}_offered']:,} {unit} ({total[f'{unit}_pending']:,} open)" for unit in UNITS)
    words = ", ".join((f"{moment.sent:,} events", *counts, *_behind(moment)))
    return Text(f"{moment.elapsed_s:5.1f} s  {moment.phase}: {words}")


def totals(queues: Mapping[str, Numbers]) -> Table:
    """Return legs by result and calls by outcome, their sum, and what was offered beside it."""
    total = total_of(queues.values())
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    for unit in reversed(UNITS):
        columns = COLUMNS[unit]
        counts = [total[column.fields[0]] for column in columns]
        headings = [Text(column.heading, column.style, justify="right") for column in columns]
        table.add_row("", *headings, *(Text(word, justify="right") for word in ("sum", "offered")))
        row = (*counts, sum(counts), total[f"{unit}_offered"])
        table.add_row(Text(unit, "bold"), *(Text(f"{count:,}", justify="right") for count in row))
    return table
