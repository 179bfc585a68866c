"""A told call on paper: a timeline with one line a leg, each leg's facts, and the rules that decided, each in words once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from pipeline.core.classify import CALL_RULES
from pipeline.core.leg import Leg
from pipeline.core.model import Result
from pipeline.workbench.casefile import ToldCall, ToldLeg

STYLES = {
    Result.ANSWERED: "green", Result.LOSE_RACE: "yellow", Result.BUSY: "magenta",
    Result.CANCEL: "cyan", Result.FAILED: "red", Result.TIMEOUT: "blue",
}  # fmt: skip
PHASES = (("offered", "."), ("ringing", "-"), ("answered", "="), ("bridged", "#"), ("ended", "|"))
ENDED_BY = {
    "far_refused": "refused by the far end", "far_hung_up": "hung up by the far end", "platform": "ended by the switch",
    None: "ended by nobody known",
}  # fmt: skip
NAME_WIDTH = 14
LEAST_BAR = 20
BESIDE_BAR = 3 + 1 + NAME_WIDTH + 1 + 1 + 9 + 1 + 9  # number, name, result, margin
RACE_SHARE = 0.7
"""Where the talk is longer than the race, the race gets so much of the axis: it is what a reader looks for."""


Lines = Iterator[tuple[int, Text]]
"""Paragraphs, each with its indentation."""


class Scale(NamedTuple):
    """From a time after the call's begin to a column: even on each side of `bend_ms`."""

    bend_ms: int
    total_ms: int
    bend_column: int
    columns: int

    def column(self, at_ms: int) -> int:
        """Return a column from 0 to columns - 1."""
        last = self.columns - 1
        if at_ms <= self.bend_ms or self.bend_ms >= self.total_ms:
            return min(last, at_ms * self.bend_column // max(1, self.bend_ms))
        return min(last, self.bend_column + (at_ms - self.bend_ms) * (last - self.bend_column) // (self.total_ms - self.bend_ms))


def scale_of(call: ToldCall, columns: int) -> Scale:
    """Give the time in which legs rang most of the axis."""
    total_ms = max(1, call.end_ms - call.begin_ms)
    race_ms = max((_race_over_ms(leg.leg, total_ms, call.begin_ms) for leg in call.legs), default=total_ms)
    if race_ms >= total_ms * RACE_SHARE:
        return Scale(total_ms, total_ms, columns - 1, columns)
    return Scale(race_ms, total_ms, int(columns * RACE_SHARE), columns)


def _race_over_ms(leg: Leg, total_ms: int, begin_ms: int) -> int:
    """Return when a leg was connected, or over without having been, as ms after the call's begin."""
    bridged_ms = min((times[0] for times in leg.bridges.values()), default=None)
    over_ms = next((at_ms for at_ms in (bridged_ms, leg.answered_ms, leg.ended_ms) if at_ms is not None), None)
    return total_ms if over_ms is None else max(0, min(total_ms, over_ms - begin_ms))


def bar(told: ToldLeg, bridged_ms: int | None, begin_ms: int, scale: Scale) -> str:
    """Return one leg's line of the timeline; a later phase hides an earlier one in the same column."""
    leg = told.leg
    moments = (leg.offered_ms, leg.rang_ms, leg.answered_ms, bridged_ms, leg.ended_ms)
    line = [" "] * scale.columns
    until = scale.columns if leg.ended_ms is None else scale.column(leg.ended_ms - begin_ms) + 1
    for (_, mark), at_ms in zip(PHASES, moments, strict=True):
        if at_ms is not None:
            start = scale.column(max(0, at_ms - begin_ms))
            line[start:until] = mark * max(0, until - start)
    return "".join(line[: scale.columns])


class Drawing:
    """What `explain.draw` gives: rich asks it for lines that fit the console."""

    def __init__(self, call: ToldCall) -> None:
        self.call = call

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in (self._head(), self._timeline(options.max_width), self._legs(), self._why()):
            for indent, text in part:
                yield from wrapped(text, indent, console, options.max_width)
            yield Text()

    def _legs(self) -> Lines:
        for told in self.call.legs:
            yield from self._leg(told)

    def _head(self) -> Lines:
        call, row = self.call, self.call.row
        title = Text.assemble(("Call ", "bold"), (call.call_id, "bold"))
        if call.tenant:
            title.append(f" of {call.tenant}")
        yield 0, title
        begin = datetime.fromtimestamp(call.begin_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        words = [call.race.context.replace("_", " "), f"began {begin} UTC", f"lasted {seconds(call.end_ms - call.begin_ms)} s"]
        if row is not None and (queue := row.queues or row.queue):
            words.insert(1, f"queue {queue}")
        yield 0, Text(", ".join(words))
        yield 0, self._result()
        if not call.is_complete:
            yield 0, Text("Not final: a leg has not ended, or the call has not settled.", style="bold")
        if call.is_stuck:
            yield 0, Text("Needs review: its links lead through more keys than are followed.", style="bold")

    def _result(self) -> Text:
        row, spoken = self.call.row, self.call.spoken
        if row is None or spoken is None or row.result is None:
            return Text("No result yet: the leg that speaks for the call has none.", style="bold")
        speaker = self.call.number_of(spoken.leg_id)
        line = Text.assemble(
            (row.result, f"bold {STYLES[row.result]}"), f", {row.reason}: rule {spoken.rule}, leg {speaker} speaks for the call"
        )
        if row.answered_by:
            line.append(f"; answered by {row.answered_by}")
        if row.wait_ms is not None:
            line.append(f"; waited {seconds(row.wait_ms)} s")
        return line

    def _timeline(self, width: int) -> Lines:
        scale = scale_of(self.call, max(LEAST_BAR, width - BESIDE_BAR))
        yield 0, Text(f"{'':{4 + NAME_WIDTH}} {axis(scale)}", style="dim")
        for told in self.call.legs:
            yield 0, self._line(told, scale)
        legend = "  ".join(f"{mark} {phase}" for phase, mark in PHASES)
        bent = f"; the axis bends at {scale.bend_ms / 1000:.1f} s" if scale.bend_ms < scale.total_ms else ""
        yield 4, Text(f"{legend}  * winner{bent}", style="dim")

    def _line(self, told: ToldLeg, scale: Scale) -> Text:
        is_winner = told.row is not None and told.row.is_winner
        style = STYLES[told.verdict.result] if told.verdict else "dim"
        name = label(told)[:NAME_WIDTH]
        line = Text()
        line.append(f"{'*' if is_winner else ' '}{told.number:>2} {name:<{NAME_WIDTH}} ", style="bold" if is_winner else "")
        line.append(bar(told, self.call.race.bridged.get(told.leg.leg_id), self.call.begin_ms, scale), style=style)
        line.append(f" {told.verdict.result if told.verdict else '-':<9}", style=f"bold {style}")
        line.append(f" {margin(told):>8}")
        return line

    def _leg(self, told: ToldLeg) -> Lines:
        row, leg = told.row, told.leg
        head = Text(f"{told.number:>3} {label(told)}", style="bold")
        head.append(f"  {leg.leg_id}", style="not bold dim")
        if row is not None and row.is_winner:
            head.append("  winner", style="bold green")
        yield 0, head
        yield 4, Text(self._facts(told))
        if row is None or told.verdict is None or told.rule is None:
            words = "no verdict: no person behind it (P1)" if told.role == "pseudo" else "no verdict yet: it has not ended (P2)"
            yield 4, Text(words)
            return
        verdict = told.verdict
        line = Text.assemble((verdict.result, f"bold {STYLES[verdict.result]}"), f" {verdict.reason}, rule {verdict.rule}")
        if (against := self._against(told)) is not None:
            line.append(f"; {against}")
        if verdict.needs_review:
            line.append("; needs review")
        yield 4, line

    def _facts(self, told: ToldLeg) -> str:
        leg = told.leg
        moments = (leg.offered_ms, leg.rang_ms, leg.answered_ms, self.call.race.bridged.get(leg.leg_id), leg.ended_ms)
        names = ("offered", "rang", "answered", "bridged", "ended")
        words = [f"{name} {self._at(at_ms)}" for name, at_ms in zip(names, moments, strict=True) if at_ms is not None]
        if leg.end is not None:
            status = f" with {leg.end.sip_status}" if leg.end.sip_status else ""
            words[-1] += f" {leg.end.cause}, {ENDED_BY[leg.end.ended_by]}{status}"
        if leg.ring_limit_ms is not None:
            words.append(f"ring limit {seconds(leg.ring_limit_ms)}")
        if leg.flags:
            words.append("flags " + " ".join(sorted(leg.flags)))
        return "; ".join(words)

    def _at(self, at_ms: int) -> str:
        return seconds(at_ms - self.call.begin_ms)

    def _against(self, told: ToldLeg) -> str | None:
        moment = told.against
        if moment is None or told.row is None:
            return None
        number = self.call.number_of(moment.taker)
        who = f"leg {number}" if number is not None else f"{moment.taker} of another call"
        what = "was picked off" if moment in self.call.race.picks else "won"
        lost_ms = told.row.lost_by_ms
        if lost_ms is None:
            return f"measured against {who}, which {what} at {self._at(moment.at_ms)}"
        lost = f"lost by {milliseconds(lost_ms)}" if lost_ms >= 0 else f"ended {milliseconds(-lost_ms)} ahead"
        return f"{lost}, measured against {who}, which {what} at {self._at(moment.at_ms)}"

    def _why(self) -> Lines:
        yield 0, Text("Why", style="bold")
        groups: dict[tuple[str, str, str, str, tuple[tuple[str, str], ...]], list[int]] = {}
        for told in self.call.legs:
            if told.rule is not None and told.verdict is not None:
                said = f"{told.verdict.result} {told.verdict.reason}"
                groups.setdefault((told.verdict.rule, said, told.rule.condition, told.rule.why, told.also), []).append(told.number)
        for (rule, said, condition, why, also), numbers in groups.items():
            yield 1, Text(f"{rule:<3} {said}, {legs_text(numbers)}", style="bold")
            words = f"if {condition}. Why: {why}."
            words += f" Else: {'; '.join(f'{rule} {said}' for rule, said in also)}." if also else " No other row would have spoken."
            yield 5, Text(words)
        spoken = self.call.spoken
        for row in CALL_RULES:
            if spoken is not None and row.rule == spoken.rule:
                yield 1, Text(f"{row.rule:<3} the call's result", style="bold")
                yield 5, Text(f"if {row.condition}: {row.result}.")


def wrapped(text: Text, indent: int, console: Console, width: int) -> Iterator[Text]:
    """Yield the lines of a paragraph, indented, without spaces at their ends."""
    for line in text.wrap(console, width - indent):
        line.rstrip()
        yield Text(" " * indent) + line


def label(told: ToldLeg) -> str:
    """Return who a leg is for a reader: its agent, else its role."""
    return told.leg.agent or told.role


def margin(told: ToldLeg) -> str:
    """Return by how much a loser lost, else ""."""
    return "" if told.row is None or told.row.lost_by_ms is None else milliseconds(told.row.lost_by_ms, signed=True)


def milliseconds(ms: int, *, signed: bool = False) -> str:
    """Return a margin: ms below 10 s, else seconds."""
    sign = "+" if signed else ""
    return f"{ms:{sign}d} ms" if abs(ms) < 10_000 else f"{ms / 1000:{sign}.1f} s"


def seconds(ms: int) -> str:
    """Return a time or a length in seconds to the millisecond."""
    return f"{ms / 1000:.3f}"


def legs_text(numbers: list[int]) -> str:
    """Return `leg 2` or `legs 3, 4, 5`."""
    return f"leg{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def axis(scale: Scale) -> str:
    """Return the times of the axis: its begin, its end, and its bend where there is room."""
    end = f"{scale.total_ms / 1000:.1f} s"
    line = "0 s".ljust(scale.columns - len(end)) + end
    bend = f"'{scale.bend_ms / 1000:.1f} s"
    until = scale.bend_column + len(bend)
    has_room = scale.bend_ms < scale.total_ms and until < scale.columns - len(end) and scale.bend_column > len("0 s")
    return line[: scale.bend_column] + bend + line[until:] if has_room else line
