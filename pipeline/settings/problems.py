"""From what is wrong to one line of advice: where it stands, what stands there, what to give instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.settings.shape import VENDOR_NAMES, Queue, Settings, Source, Week

Path: TypeAlias = tuple[int | str, ...]

ADVICE = {
    "missing": "add this key",
    "model_type": "give a table",
    "model_attributes_type": "give a table",
    "dict_type": "give a table",
    "mapping_type": "give a table",
    "tuple_type": "give a list",
    "string_type": "give a text, in quotes",
    "string_too_short": "give at least one character",
    "too_short": "give at least one",
}
MISSING = {"vendor": f"add vendor, one of {', '.join(VENDOR_NAMES)}"}
LONGEST_QUOTE = 80
SECRET = ("_key", "_password")
"""Ends of the names of settings that are never quoted."""


Origin = Literal["default", "file", "environment", "command line"]


class Place(NamedTuple):
    """Who gave a setting. `raw` is the text of an environment variable."""

    origin: Origin
    name: str
    raw: str | None = None


Origins: TypeAlias = Callable[[tuple[str, ...]], Place]


def problems_of(error: ValidationError, origins: Origins) -> list[str]:
    """One line for each error, in the order of the tables."""
    return [problem(detail, origins) for detail in error.errors(include_url=False) if not is_echo(detail)]


def is_echo(detail: ErrorDetails) -> bool:
    """A list whose parts are all refused counts as empty: the parts' own lines say enough."""
    return detail["type"] == "too_short" and bool(detail["input"])


def problem(detail: ErrorDetails, origins: Origins) -> str:
    path = detail["loc"]
    place = origins(leaf_path(path))
    return f"{where(path, place)}{quoted(detail, place)}: {advice(detail)}"


def leaf_path(path: Path) -> tuple[str, ...]:
    """The setting that the error is in: lists and tables inside `sources` and `queues` are part of their one setting."""
    words = [str(part) for part in path]
    return tuple(words[:1] if words[:1] in (["sources"], ["queues"]) else words[:2])


def where(path: Path, place: Place) -> str:
    if place.origin not in {"environment", "command line"}:
        return f"{place.name or 'callverdict.toml'}, {dotted(path)}"
    return place.name + dotted(path[len(leaf_path(path)) :], inside=True)


def dotted(path: Path, *, inside: bool = False) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path if part != "[key]")
    return text if inside else text.removeprefix(".")


def quoted(detail: ErrorDetails, place: Place) -> str:
    """What stands there, unless it is missing, secret, a table or long."""
    value, path = detail["input"], detail["loc"]
    if str(path[-1]).endswith(SECRET) or isinstance(value, Mapping | BaseModel) or detail["type"] in {"missing", "extra_forbidden"}:
        return ""
    if place.raw is not None and len(leaf_path(path)) == len(path):
        return f"={cut(place.raw)}"
    return "" if holds_tables(value) else f" = {cut(value)}"


def holds_tables(value: Any) -> bool:  # noqa: ANN401 - whatever was given
    return isinstance(value, Sequence) and any(isinstance(part, Mapping | BaseModel) for part in value)


def cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}..."


def advice(detail: ErrorDetails) -> str:
    key = str(detail["loc"][-1])
    if detail["type"] == "extra_forbidden":
        return unknown_key(detail["loc"])
    if detail["type"] == "missing" and key in MISSING:
        return MISSING[key]
    return ADVICE.get(detail["type"], detail["msg"])


def unknown_key(path: Path) -> str:
    key, known = str(path[-1]), tuple(table_at(path[:-1]).model_fields)
    for name, table in tables().items():
        if key in table.model_fields and len(path) == 1:
            return f"no such key here: move it to [{name}]"
    return f"no such key: {nearest(key, known)}"


def nearest(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"the known ones are {', '.join(known)}"


def tables() -> dict[str, type[BaseModel]]:
    fields = Settings.model_fields.items()
    return {
        name: field.annotation for name, field in fields if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def table_at(path: Path) -> type[BaseModel]:
    match path:
        case ("sources", _):
            return Source
        case ("queues", _):
            return Queue
        case ("queues", _, "hours"):
            return Week
        case (str(name),) if name in tables():
            return tables()[name]
        case _:
            return Settings


def unknown_variable(name: str, value: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"{name}={cut(value)}: no such setting: {f'did you mean {close[0]}?' if close else '`callverdict settings` lists them all'}"
