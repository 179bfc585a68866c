"""How FreeSWITCH writes a value: text, numbers as text, lists, microseconds, seconds, truth.

Times are microseconds since 1970 UTC as text, or whole seconds for what mod_callcenter counts; "0" means never. They become
milliseconds by flooring, everywhere, so one moment reads the same from an event and from a CDR.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from pipeline.core.model import LATEST_MS, MAX_ID_LENGTH
from pipeline.errors import BadRecord

Scalar = str | int | float | bool | None
Value = Scalar | list[Scalar]
"""A header or variable: text as a rule, a list where a name was set more than once, a number where somebody rewrote the record."""

Document = TypeVar("Document")
_MAX_TIME_DIGITS = 18
_MAX_SECONDS_DIGITS = 10
_TRUE_WORDS = frozenset({"yes", "on", "true", "t", "enabled", "active", "allow"})  # switch_utils.h, switch_true
_REPLACEMENT = "\ufffd"


def decode(decoder: msgspec.json.Decoder[Document], value: bytes) -> Document:
    """Return the document. Text that is not UTF-8 is read with replacement characters: a caller may choose it, a fact must not be lost."""
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        raise BadRecord("wrong_type", f"{error}: send the record as FreeSWITCH's own JSON writes it, one object a record") from None
    except UnicodeDecodeError:
        return decode(decoder, value.decode(errors="replace").encode())
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRecord("not_json", f"not one JSON document ({error}): send whole records, one JSON object each") from None


def text(value: Value) -> str | None:
    """Return the value as text; of a list the first that is not empty; None for what is absent or empty."""
    if isinstance(value, str):
        return value or None
    if value is None:
        return None
    if isinstance(value, list):
        return next(filter(None, map(text, value)), None)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _number_text(value)


def _number_text(value: float) -> str:
    try:
        return str(value)
    except ValueError:  # more digits than Python converts
        return "a number without end"


def word(value: Value) -> str | None:
    """Return a hint's text, or None if it is absent or too long to be a name: a hint must not cost the record."""
    if value is None:
        return None
    shown = text(value)
    return shown if shown is not None and len(shown) <= MAX_ID_LENGTH else None


def identity(value: Value, header: str) -> str | None:
    """Return the id of a leg, a visit or a contact, or None if absent."""
    if value is None:
        return None
    shown = text(value)
    if shown is not None and (len(shown) > MAX_ID_LENGTH or _REPLACEMENT in shown):
        raise BadRecord("bad_id", f"{header} is longer than {MAX_ID_LENGTH} characters or not UTF-8: send the channel's own UUID")
    return shown


def moment_ms(value: Value, header: str) -> int | None:
    """Return a time given in microseconds as milliseconds, rounded down; None for never."""
    shown = text(value)
    if shown is None or shown == "0":
        return None
    if not (shown.isascii() and shown.isdecimal() and len(shown) <= _MAX_TIME_DIGITS) or int(shown) // 1000 > LATEST_MS:
        raise BadRecord("bad_time", f"{header}={shown[:40]!r}: send microseconds since 1970 UTC as FreeSWITCH writes them, or 0 for never")
    return int(shown) // 1000 or None


def seconds_ms(value: Value) -> int | None:
    """Return a time or a span given in whole seconds as milliseconds; None for never, or for what is no such number."""
    shown = text(value)
    if shown is None or not (shown.isascii() and shown.isdecimal() and len(shown.lstrip("0")) <= _MAX_SECONDS_DIGITS):
        return None
    return int(shown) * 1000 or None


def is_true(value: Value) -> bool:
    """Return what FreeSWITCH's own switch_true says of the value."""
    shown = text(value)
    if shown is None:
        return False
    return shown.lower() in _TRUE_WORDS or (shown.isascii() and shown.isdecimal() and shown.strip("0") != "")


def least(*times_ms: int | None) -> int | None:
    """Return the earliest of the known times."""
    return min((time_ms for time_ms in times_ms if time_ms is not None), default=None)
