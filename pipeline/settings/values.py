"""Kinds of values in the settings, each with its one line of advice for whatever else stands there."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from pipeline.settings.hours import span

DAY_S = 86_400
YEAR_S = 366 * 86_400


class Table(BaseModel):
    """A table of settings: what it does not know is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def advice(text: str) -> PydanticCustomError:
    """The one error of a value: what to give instead."""
    return PydanticCustomError("advice", "{give}", {"give": text})


def give(text: str) -> WrapValidator:
    """Whatever is wrong with this value, say `text`."""

    def validate(value: Any, handler: Any) -> Any:  # noqa: ANN401 - pydantic's own signature
        try:
            return handler(value)
        except (ValidationError, ValueError) as error:
            raise advice(text) from error

    return WrapValidator(validate)


def checked_zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, OSError) as error:
        raise advice("give a name of the time zone database, such as Europe/Berlin or UTC") from error


def checked_span(text: str) -> str:
    try:
        span(text)
    except ValueError as error:
        raise advice(str(error)) from error
    return text


def checked_sizes(sizes: tuple[int, ...]) -> tuple[int, ...]:
    if odd := [size for size in sizes if DAY_S % size]:
        raise advice(f"{odd[0]} s do not divide a day, and windows do: give sizes such as 60, 900, 1800, 3600 or 86400")
    return tuple(sorted(set(sizes)))


Seconds = Annotated[int, Strict(), Field(ge=0, le=YEAR_S), give("give a whole number of seconds, at least 0")]
Milliseconds = Annotated[int, Strict(), Field(ge=0, le=60_000), give("give a whole number of milliseconds, from 0 to 60000")]
Count = Annotated[int, Strict(), Field(ge=1), give("give a whole number, at least 1")]
Switch = Annotated[bool, give("give true or false")]
Part = Annotated[
    str,
    Strict(),
    Field(pattern=r"^[^|]*$", max_length=256),
    give("give a text of at most 256 characters without `|` (it separates the parts of a key)"),
]
Zone = Annotated[str, Strict(), AfterValidator(checked_zone)]
Hours = tuple[Annotated[str, Strict(), AfterValidator(checked_span)], ...]
Day = Annotated[date, give('give a date as "2026-12-25"')]
