"""What holds for any settings at all."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.core.model import Policy
from pipeline.errors import SettingsError
from pipeline.settings import Settings, load, policy
from pipeline.settings.hours import DAY_MINUTES, span, week
from pipeline.settings.reading import VARIABLES

NOWHERE = Path("/nonexistent")
WEEK_MINUTES = 7 * DAY_MINUTES


def clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


SPANS = (
    st.tuples(st.integers(0, DAY_MINUTES - 1), st.integers(0, DAY_MINUTES))
    .filter(lambda pair: pair[0] != pair[1])
    .map(lambda pair: f"{clock(pair[0])}-{clock(pair[1])}")
)
WEEKS = st.lists(st.lists(SPANS, max_size=3), min_size=7, max_size=7)


def open_minutes(days: list[list[str]]) -> set[int]:
    """Minutes since Monday, counted one by one."""
    minutes = set()
    for day, texts in enumerate(days):
        for opens, closes in map(span, texts):
            length = (closes - opens) % DAY_MINUTES or DAY_MINUTES
            minutes |= {(day * DAY_MINUTES + opens + minute) % WEEK_MINUTES for minute in range(length)}
    return minutes


@given(WEEKS)
def test_a_week_is_open_in_just_the_minutes_that_were_written(days: list[list[str]]) -> None:
    read = week(days)
    assert {day * DAY_MINUTES + minute for day, spans in enumerate(read) for pair in spans for minute in range(*pair)} == open_minutes(days)


@given(WEEKS)
def test_spans_of_a_day_are_in_order_and_do_not_touch(days: list[list[str]]) -> None:
    for spans in week(days):
        edges = [edge for pair in spans for edge in pair]
        assert edges == sorted(set(edges))
        assert all(0 <= edge <= DAY_MINUTES for edge in edges)


@pytest.mark.parametrize(
    "text", ["9:00-17:00", "09:00", "09:60-10:00", "24:00-01:00", "00:00-24:01", "09:00-09:00", "", "09:00-17:00-18:00"]
)
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match='give hours as "09:00-17:30"'):
        span(text)


ODD = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
JSONLIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["vendor", "topic", "numbers", "tz", "hours", "mon", "x"]) | ODD, inner, max_size=3),
).map(lambda value: msgspec.json.encode(value).decode())  # fmt: skip
NAMES = st.sampled_from([*VARIABLES, "CALLVERDICT_GRACE", "CALLVERDICT_CONFIG"]) | st.text(string.ascii_uppercase, max_size=9).map(
    "CALLVERDICT_{}".format
)


def loaded(environ: Mapping[str, str], directory: Path) -> Settings | tuple[str, ...]:
    """The settings, or the problems."""
    try:
        return load(environ, directory=directory)
    except SettingsError as error:
        return error.problems


@given(st.dictionaries(NAMES, ODD | JSONLIKE, max_size=4))
def test_any_environment_gives_settings_or_advice(environ: Mapping[str, str]) -> None:
    answer = loaded(environ, NOWHERE)
    if isinstance(answer, Settings):
        assert isinstance(policy(answer), Policy)
    else:
        assert answer
        assert all(": " in line for line in answer)


@given(st.text(string.printable, max_size=60))
@example("\r")
@example("\ufeffapp_id = 'marked'\r\n")
def test_any_file_gives_settings_or_advice(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    directory = tmp_path_factory.mktemp("settings")
    (directory / "callverdict.toml").write_text(text, encoding="utf-8")
    assert loaded({}, directory)


def test_every_part_of_the_policy_can_be_set() -> None:
    changed = {variable: "7" for variable, leaf in VARIABLES.items() if leaf.path[0] == "policy"}
    environ = {
        **changed,
        "CALLVERDICT_WINDOW_SIZES_S": "60",
        "CALLVERDICT_TZ": "Asia/Kolkata",
        "CALLVERDICT_TIMEOUT_ONLY_IN_AUTODIALER": "yes",
        "CALLVERDICT_QUEUES": '{"support": {"numbers": ["1"], "tz": "UTC", "hours": {}}}',
    }
    chosen, default = policy(load(environ, directory=NOWHERE)), Policy()
    assert [name for name in Policy.__struct_fields__ if getattr(chosen, name) == getattr(default, name)] == []
