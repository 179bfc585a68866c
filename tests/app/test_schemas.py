"""The schemas are what the types say, their examples are what the pipeline says, and a foreign validator agrees."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from pipeline.app import schemas
from pipeline.core.model import AgentTallyRow, AuditRow, CallRow, LateRow, LegRow, TallyRow
from tests.app import story

DIRECTORY = Path(__file__).parents[2] / "schemas"
TOPIC_OF = {
    LegRow: "calls.legs",
    CallRow: "calls.results",
    TallyRow: "calls.tallies",
    AgentTallyRow: "calls.tallies.agents",
    AuditRow: "calls.audit",
    LateRow: "calls.late",
}


@cache
def validator(topic: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((DIRECTORY / schemas.file_name(topic)).read_text(encoding="utf-8")))


def topic_of(example: Path) -> str:
    return next(topic for topic in sorted(schemas.TYPES, key=len, reverse=True) if example.name.startswith(f"{topic}."))


def plain(value: msgspec.Struct) -> dict[str, Any]:
    return dict(msgspec.json.decode(msgspec.json.encode(value)))


def test_files_and_types_agree() -> None:
    assert schemas.differences(DIRECTORY) == [], "write them with `callverdict schemas`, and read what changed"


def test_no_file_is_left_over() -> None:
    assert {path.name for path in DIRECTORY.glob("*.json")} == {schemas.file_name(topic) for topic in schemas.TYPES}


@pytest.mark.parametrize("topic", schemas.TYPES)
def test_a_schema_is_one_by_the_standard(topic: str) -> None:
    Draft202012Validator.check_schema(validator(topic).schema)
    assert schemas.schema(topic)["$id"] == f"urn:callverdict:{topic}:1"


@pytest.mark.parametrize("topic", schemas.TYPES)
def test_every_field_says_what_it_is_and_every_time_its_unit(topic: str) -> None:
    fields = schemas.schema(topic)["properties"]
    assert [name for name, field in fields.items() if not field["description"]] == []
    with_unit = {name for name, field in fields.items() if "x-unit" in field}
    assert {name for name in fields if name.endswith(("_ms", "_s"))} <= with_unit


def test_the_glossary_explains_nothing_that_is_not_there() -> None:
    used = {name for topic in schemas.TYPES for name in schemas.schema(topic)["properties"]}
    assert {word.rsplit(".", 1)[-1] for word in schemas.GLOSSARY} <= used
    assert used >= schemas.MOMENTS


@pytest.mark.parametrize("name", sorted(story.examples()))
def test_examples_are_what_the_pipeline_says(name: str) -> None:
    assert (story.EXAMPLES / name).read_text(encoding="utf-8") == story.examples()[name], "write with `python -m tests.app.story`"


@pytest.mark.parametrize("path", sorted(story.EXAMPLES.glob("*.json")), ids=lambda path: path.name)
def test_examples_are_valid_by_schema_and_by_type(path: Path) -> None:
    text = path.read_bytes()
    validator(topic_of(path)).validate(json.loads(text))
    assert msgspec.json.decode(text, type=schemas.TYPES[topic_of(path)], strict=True) is not None


def test_every_topic_has_an_example() -> None:
    assert {topic_of(path) for path in story.EXAMPLES.glob("*.json")} == set(schemas.TYPES)


def test_everything_published_is_valid() -> None:
    published = story.rows()
    assert {type(row) for row in published} == set(TOPIC_OF)
    for row in published:
        validator(TOPIC_OF[type(row)]).validate(plain(row))


WRONG = [
    ("calls.legs", "result", "answered"),
    ("calls.legs", "result", 1),
    ("calls.legs", "revision", 0),
    ("calls.legs", "offered_ms", "1795449901000"),
    ("calls.results", "legs_offered", None),
    ("calls.tallies", "window_state", "closed"),
    ("calls.late", "reason", "too_late"),
    ("calls.events", "at_ms", 1_795_449_901_000_000),
    ("calls.events", "kind", "hungup"),
    ("calls.events", "surprise", 1),
]


@pytest.mark.parametrize(("topic", "field", "value"), WRONG)
def test_what_is_wrong_is_refused(topic: str, field: str, value: object) -> None:
    example = next(path for path in story.EXAMPLES.glob(f"{topic}.*.json") if topic_of(path) == topic)
    assert not validator(topic).is_valid(json.loads(example.read_bytes()) | {field: value})


@pytest.mark.parametrize("topic", sorted(set(schemas.TYPES) - {"calls.events"}))
def test_a_row_that_lacks_a_field_is_refused(topic: str) -> None:
    example = json.loads(next(path for path in story.EXAMPLES.glob(f"{topic}.*.json") if topic_of(path) == topic).read_bytes())
    assert [name for name in example if validator(topic).is_valid({key: value for key, value in example.items() if key != name})] == []


def test_a_stale_and_a_missing_file_are_said_and_mended(tmp_path: Path) -> None:
    schemas.write(tmp_path)
    (tmp_path / "calls.legs.schema.json").write_text("{}", encoding="utf-8")
    (tmp_path / "calls.late.schema.json").unlink()
    assert schemas.differences(tmp_path) == [
        f"{tmp_path}/calls.legs.schema.json differs from the types: write it with `callverdict schemas`",
        f"{tmp_path}/calls.late.schema.json is missing: write it with `callverdict schemas`",
    ]
    assert [path.name for path in schemas.write(tmp_path)] == ["calls.legs.schema.json", "calls.late.schema.json"]
    assert schemas.differences(tmp_path) == []
