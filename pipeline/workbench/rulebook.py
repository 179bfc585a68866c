"""The rule and cause tables as Markdown, from the code that decides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pipeline.core.causes import CAUSES, CUT_SHORT, GENERIC, SIP, SIP_OTHERWISE, TIMER
from pipeline.core.classify import CALL_RULES, NO_VERDICT, RULES
from pipeline.core.model import Result
from pipeline.core.rules import STRENGTH

WHO = {"any": "any leg", "offered": "offered leg", "caller": "caller"}
HEAD = """\
# The rules

Written by `callverdict rules` from the tables that decide; a test holds this page to them.

Every leg that ended has exactly one result. The first row whose condition holds decides; `callverdict explain` shows for a leg which row
that was and which rows would have spoken after it. A **rival** is another leg's win that this leg could have lost against: not before its
offer, and by a leg offered before it was answered or ended. A **pick** is the same of a leg that somebody outside picked up."""
CALLS = """\
## Calls

Which legs speak for a call. Of several results the first of these counts: {strongest}."""
CAUSE_HEAD = """\
## Causes

By name; a number counts only if its numbering is declared. The class decides when no earlier row did (B2, T2, X2, F1)."""
SETS = """\
Sets that rows use: **timer** {timer}; **generic** {generic}; **cut-short** {cut_short}, and PROGRESS_TIMEOUT on a leg that rang."""
SIP_HEAD = """\
## SIP final statuses

Row S1: the far end refused with a final status and the cause is generic, or unknown to the table above."""


def markdown() -> str:
    """Return the whole page."""
    return "\n\n".join(_parts()) + "\n"


def _parts() -> Iterator[str]:
    yield HEAD
    yield table(("rule", "of", "condition", "result and reason", "why"), _rules())
    yield CALLS.format(strongest=", ".join(result for result, _ in sorted(STRENGTH.items(), key=lambda entry: entry[1])))
    yield table(("rule", "condition", "result of the call"), ((f"**{row.rule}**", row.condition, row.result) for row in CALL_RULES))
    yield CAUSE_HEAD
    yield table(("class", "reason", "causes", "named by"), _causes())
    yield SETS.format(timer=names(TIMER), generic=names(GENERIC), cut_short=names(CUT_SHORT))
    yield SIP_HEAD
    yield table(("status", "result", "reason"), _statuses())


def _rules() -> Iterator[tuple[str, ...]]:
    for rule, who, condition, result, why in NO_VERDICT:
        yield f"**{rule}**", WHO[who], condition, result, why
    for row in RULES:
        yield f"**{row.rule}**", WHO[row.who], row.condition.removeprefix("caller; "), row.result, row.why


def _causes() -> Iterator[tuple[str, ...]]:
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for cause in CAUSES:
        grouped.setdefault((cause.result, cause.reason, cause.source), []).append(cause.name)
    for (result, reason, source), causes in grouped.items():
        yield result, reason, ", ".join(causes), source
    yield "none", "unknown_cause", "every other name: row U1, Failed, needs review", ""


def _statuses() -> Iterator[tuple[str, ...]]:
    grouped: dict[tuple[Result, str], list[str]] = {}
    for status, decided in SIP.items():
        grouped.setdefault(decided, []).append(str(status))
    for (result, reason), statuses in grouped.items():
        yield ", ".join(statuses), result, reason
    yield "every other 3xx to 6xx, but 401 and 407", *SIP_OTHERWISE


def names(causes: Iterable[str]) -> str:
    """Return a set in one order."""
    return ", ".join(sorted(causes))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table. A bar inside a cell would end it, so it is written as its entity."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "&#124;") for cell in line) + " |" for line in lines)
