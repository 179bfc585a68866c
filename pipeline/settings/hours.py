"""Working hours as a person writes them, "09:00-17:30", and as the core reads them: minutes of the local day."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]

DAY_MINUTES = 24 * 60
EXAMPLE = 'give hours as "09:00-17:30", from 00:00 to 24:00; a later start than end runs past midnight'

_SPAN = re.compile(r"([0-2]\d):([0-5]\d)-([0-2]\d):([0-5]\d)")


def span(text: str) -> Span:
    """Opening and closing minute; closing may lie before opening (over midnight). Raises ValueError with advice."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(EXAMPLE)
    open_hour, open_minute, close_hour, close_minute = map(int, match.groups())
    opens, closes = open_hour * 60 + open_minute, close_hour * 60 + close_minute
    if opens >= DAY_MINUTES or closes > DAY_MINUTES or opens == closes:
        raise ValueError(EXAMPLE)
    return opens, closes


def week(days: Sequence[Sequence[str]]) -> tuple[tuple[Span, ...], ...]:
    """The seven days from Monday, each with its spans in order, none touching: what runs past midnight is cut there."""
    spans: list[list[Span]] = [[] for _ in range(7)]
    for day, texts in enumerate(days):
        for opens, closes in map(span, texts):
            if opens < closes:
                spans[day].append((opens, closes))
                continue
            spans[day].append((opens, DAY_MINUTES))
            if closes:
                spans[(day + 1) % 7].append((0, closes))
    return tuple(joined(of_day) for of_day in spans)


def joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same minutes in the least number of spans, in order."""
    whole: list[Span] = []
    for opens, closes in sorted(spans):
        if whole and opens <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(closes, whole[-1][1]))
        else:
            whole.append((opens, closes))
    return tuple(whole)
