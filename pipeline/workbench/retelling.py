"""A recording told anew: the same story at another time with other ids, byte for byte the same elsewhere.

Works on bytes, so that what a parser would lose stays: repeated keys, spelling of numbers, order, percent-encoding.

Moved by a whole number of seconds are, under a key that speaks of time (`time`, `epoch`, `stamp`, `date`, `hold`, `..._ms`):
    numbers of 16, 13 or 10 digits (microseconds, milliseconds, seconds since 1970), as numbers or text
    2026-11-23 16:05:00, also with T or percent-encoded: the wall clock moves, its zone is not asked
and wherever they stand:
    Mon, 23 Nov 2026 16:05:00 GMT
    the seconds before an id in a transfer history (1795449906:f9199443-...)
Not moved: session numbers in SDP, times inside JSON that is text inside JSON, and what lies a year or more from the recording's end,
which is a phone number rather than a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

YEAR_S = 366 * 86_400
PER_SECOND = {10: 1, 13: 1_000, 16: 1_000_000}

_UUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TIME_KEY = re.compile(rb"(?i)time|epoch|stamp|date|hold|_ms$|last_originated_call$")
_KEYED = re.compile(
    rb'"\s*:\s*\[?\s*"?'
    rb"(?:(?P<number>\d{10}(?:\d{3}(?:\d{3})?)?)(?![\d.])"
    rb"|(?P<stamp>(\d{4})-(\d\d)-(\d\d)( |T|\+|%20)(\d\d)(:|%3A)(\d\d)(:|%3A)(\d\d)))"
)
_HISTORY = re.compile(rb"([12](?<!\d[12])\d{9})(?=(?::|%3A)[0-9a-fA-F]{8}-)")
_GMT = re.compile(rb"[A-Z][a-z]{2}(,|%2C)( |%20)\d\d( |%20)[A-Z][a-z]{2}( |%20)\d{4}( |%20)\d\d(:|%3A)\d\d(:|%3A)\d\d(?= GMT|%20GMT)")
_GMT_FORM = "%a, %d %b %Y %H:%M:%S"
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Shift(NamedTuple):
    """By how many seconds times move; times a year or more from `around_s` stay."""

    seconds: int
    around_s: int


def moved(record: bytes, shift: Shift) -> bytes:
    """The record with all its times moved; the distances between them stay."""
    if shift.seconds == 0:
        return record
    record = _KEYED.sub(lambda match: moved_value(match, shift), record)
    record = _HISTORY.sub(lambda match: moved_number(match[1], shift), record)
    return _GMT.sub(lambda match: moved_gmt(match, shift), record) if b"GMT" in record else record


def moved_value(match: re.Match[bytes], shift: Shift) -> bytes:
    if not _TIME_KEY.search(key_before(match)):
        return match[0]
    if match["number"] is not None:
        return before(match, "number") + moved_number(match["number"], shift)
    return before(match, "stamp") + moved_stamp(match, shift)


def key_before(match: re.Match[bytes]) -> bytes:
    """The word between the quote that the match begins with and the quote before it; a quote after a backslash ends no key."""
    record, end = match.string, match.start()
    return b"" if record[end - 1 : end] == b"\\" else record[record.rfind(b'"', 0, end) + 1 : end]


def before(match: re.Match[bytes], group: str) -> bytes:
    return match[0][: match.start(group) - match.start()]


def moved_number(digits: bytes, shift: Shift) -> bytes:
    unit = PER_SECOND[len(digits)]
    if abs(int(digits) // unit - shift.around_s) >= YEAR_S:
        return digits
    return b"%d" % (int(digits) + shift.seconds * unit)


def moved_stamp(match: re.Match[bytes], shift: Shift) -> bytes:
    year, month, day, gap, hour, colon, minute, _, second = match.groups()[2:]
    there = moved_clock((int(year), int(month), int(day), int(hour), int(minute), int(second)), shift)
    if there is None:
        return match["stamp"]
    return b"%04d-%02d-%02d%b%02d%b%02d%b%02d" % (
        there.year, there.month, there.day, gap, there.hour, colon, there.minute, colon, there.second,
    )  # fmt: skip


def moved_clock(clock: tuple[int, int, int, int, int, int], shift: Shift) -> datetime | None:
    """None if it is no time, or none of this recording."""
    try:
        here = datetime(*clock, tzinfo=UTC)
    except ValueError:
        return None
    return here + timedelta(seconds=shift.seconds) if abs(here.timestamp() - shift.around_s) < YEAR_S else None


def moved_gmt(match: re.Match[bytes], shift: Shift) -> bytes:
    comma, *gaps, colon, _ = (part.decode() for part in match.groups())
    text = match[0].decode().replace("%2C", ",").replace("%20", " ").replace("%3A", ":")
    try:
        here = datetime.strptime(text, _GMT_FORM).replace(tzinfo=UTC)
    except ValueError:
        return match[0]
    there = moved_clock((here.year, here.month, here.day, here.hour, here.minute, here.second), shift)
    if there is None:
        return match[0]
    gap = gaps[0]
    words = (
        f"{_DAYS[there.weekday()]}{comma}", f"{there.day:02d}", _MONTHS[there.month - 1], f"{there.year:04d}",
        f"{there.hour:02d}{colon}{there.minute:02d}{colon}{there.second:02d}",
    )  # fmt: skip
    return gap.join(words).encode()


def namespace(seed: str) -> UUID:
    """A seed that is a UUID is the namespace itself; any other word names one."""
    try:
        return UUID(seed)
    except ValueError:
        return uuid5(NAMESPACE_URL, f"urn:callverdict:play:{seed}")


def renamer(seed: str) -> Callable[[bytes], bytes]:
    """A function that puts uuid5(seed, old) in the place of every UUID-shaped string of a record, in the old one's case.

    One function for a whole recording: it remembers the latest names, which come again and again.
    """
    space = namespace(seed)

    @lru_cache(maxsize=65_536)
    def renamed(old: bytes) -> bytes:
        text = old.decode()
        new = str(uuid5(space, text.lower()))
        return (new.upper() if text.isupper() else new).encode()

    return lambda record: _UUID.sub(lambda match: renamed(match[0]), record)
