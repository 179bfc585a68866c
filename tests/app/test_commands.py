"""The commands settings, topics, play, lag and schemas as a person meets them: output, talk and exit codes."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.cli import main as entry
from tests.support.broker import Broker

S01 = Path(__file__).parents[1] / "recordings" / "freeswitch" / "s01_ringall_one_answers.cdr.jsonl.gz"
SCHEMAS = Path(__file__).parents[2] / "schemas"


class Answer(NamedTuple):
    code: int
    out: str
    err: str


class Shell:
    """Calls `callverdict` in this process, in an empty folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: str, **environ: str) -> Answer:
        for name, value in environ.items():
            self.monkeypatch.setenv(name, value)
        self.monkeypatch.setattr(sys, "argv", ["callverdict", *arguments])
        code = self._code()
        out, err = self.capsys.readouterr()
        return Answer(code, out, err)

    def _code(self) -> int:
        try:
            entry.main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CALLVERDICT_")]:
        monkeypatch.delenv(name)
    return Shell(monkeypatch, capsys)


def test_settings_say_what_is_in_force_and_who_said_so(shell: Shell) -> None:
    answer = shell("settings", "--changed", "--json", "--bootstrap", "k:1", CALLVERDICT_GRACE_S="40", CALLVERDICT_BOOTSTRAP="ignored:1")
    rows = {row["key"]: (row["value"], row["origin"], row["name"]) for row in json.loads(answer.out)}
    assert answer.code == 0
    assert rows == {
        "bootstrap": ("k:1", "command line", "--bootstrap"),
        "policy.grace_s": (40, "environment", "CALLVERDICT_GRACE_S"),
    }


def test_settings_that_cannot_be_used_are_exit_2_with_every_line(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "callverdict.toml").write_text("[policy]\nsettle = 5\n", encoding="utf-8")
    answer = shell("settings", "--check", CALLVERDICT_GRACE_S="5m")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.removeprefix("callverdict: ").splitlines() == [
        "CALLVERDICT_GRACE_S='5m': give a whole number of seconds, at least 0",
        "callverdict.toml, policy.settle: no such key: did you mean settle_s?",
    ]
    assert shell("settings", "--check").code == 2
    (tmp_path / "callverdict.toml").unlink()
    answer = shell("settings", "--check", CALLVERDICT_GRACE_S="5")
    assert (answer.code, answer.out, answer.err) == (0, "", "all settings can be used\n")


def test_a_clash_of_topics_is_a_problem_of_the_settings(shell: Shell) -> None:
    answer = shell("settings", "--check", CALLVERDICT_SOURCES='[{"vendor": "canonical", "topic": "calls.events"}]')
    assert answer.code == 2
    assert "a source reads calls.events, which callverdict writes: give it another topic" in answer.err


@pytest.mark.parametrize("command", [["topics", "create"], ["topics", "check"], ["lag"], ["play", str(S01), "--topic", "x"]])
def test_without_a_broker_one_sentence_and_exit_2(shell: Shell, command: Sequence[str]) -> None:
    answer = shell(*command, "--bootstrap", "localhost:1")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("callverdict: no Kafka answers")
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["play", str(S01)], "give --topic to send, --out to write, or both"),
        (["play", str(S01), "--out", "x", "--speed", "0"], "0: give a factor from 0.001 to 1000000, or max to wait for nothing"),
        (["play", str(S01), "--out", "x", "--speed", "nan"], "nan: give a factor"),
        (["play", "gone.gz", "--out", "x"], "'gone.gz' does not exist"),
        (["schemas", "--topic", "calls.legz"], "no schema for calls.legz: give one of calls.events, calls.legs"),
        (["schemas", "--check"], "no folder schemas here: make it, or give another --directory"),
        (["explain", str(S01), "--source", "freeswitch-json-cdr", "--call", "x", "--bootstrap", "k:1"], "leave it out with recordings"),
        (["worker", "--processes", "2"], "instance_id is one for each of 2 processes: put {number} into it"),
        (["show", "calls"], "'calls' is not one of 'legs', 'results', 'tallies', 'agents', 'audit', 'late', 'dead-letters'"),
        (["topics", "check", "--bootstrap", "nowhere"], "--bootstrap='nowhere': give host:port, several with commas"),
    ],
)
def test_bad_input_is_exit_2_with_advice(shell: Shell, arguments: Sequence[str], advice: str) -> None:
    answer = shell(*arguments, CALLVERDICT_INSTANCE_ID="one")
    assert (answer.code, answer.out) == (2, "")
    assert advice in answer.err
    assert "Traceback" not in answer.err


def test_play_talks_on_stderr_and_says_its_seed(shell: Shell, tmp_path: Path) -> None:
    answer = shell("play", str(S01), "--out", "out.jsonl", "--times", "keep", "--seed", "again")
    assert (answer.code, answer.out) == (0, "")
    assert "times kept, new ids by seed again" in answer.err
    shell("play", str(S01), "--out", "same.jsonl", "--times", "keep", "--seed", "again")
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "same.jsonl").read_bytes()


def test_schemas_are_checked_where_they_are(shell: Shell, tmp_path: Path) -> None:
    assert shell("schemas", "--check", "--directory", str(SCHEMAS)).code == 0
    (tmp_path / "schemas").mkdir()
    answer = shell("schemas", "--check")
    assert answer.code == 1
    assert answer.out.splitlines()[0] == "schemas/calls.events.schema.json is missing: write it with `callverdict schemas`"
    assert len(shell("schemas").out.splitlines()) == 7
    assert shell("schemas", "--check").code == 0


@pytest.mark.parametrize("command", [["topics", "list"], ["settings"]])
def test_what_is_listed_fits_80_columns_and_breaks_no_name(shell: Shell, command: Sequence[str]) -> None:
    answer = shell(*command, CALLVERDICT_SOURCES='[{"vendor": "canonical"}]', COLUMNS="80")
    assert answer.code == 0
    assert [line for line in answer.out.splitlines() if len(line) > 80 and line.startswith(" ")] == []  # a value may be copied whole
    assert re.search(r"^(calls\.tallies\.partial  4 partitions, delete|policy\.tally_retention_s = 172800)$", answer.out, re.MULTILINE)


def test_topics_are_listed_without_a_broker(shell: Shell) -> None:
    answer = shell("topics", "list", "--json", CALLVERDICT_TOPIC_PREFIX="eu.")
    assert [row["name"] for row in json.loads(answer.out) if row["role"] == "legs"] == ["eu.calls.legs"]


@pytest.mark.kafka
def test_topics_and_lag_on_a_broker(shell: Shell, kafka: Broker, topic_prefix: str) -> None:
    environ = {"CALLVERDICT_TOPIC_PREFIX": topic_prefix, "CALLVERDICT_PARTITIONS": "1", "CALLVERDICT_BOOTSTRAP": kafka.bootstrap}
    missing = shell("topics", "check", **environ)
    assert (missing.code, len(missing.out.splitlines())) == (1, 14)
    assert len(shell("topics", "create").out.splitlines()) == 14
    assert shell("topics", "check").code == 0
    shell("play", str(S01), "--topic", f"{topic_prefix}calls.raw.freeswitch-json-cdr", "--speed", "max")
    answer = shell("lag", "--json", CALLVERDICT_APP_ID=f"{topic_prefix}app")
    behind = {row["topic"].removeprefix(topic_prefix): row["records"] for row in json.loads(answer.out)["partitions"]}
    assert answer.code == 0
    assert behind.pop("calls.raw.freeswitch-json-cdr") == json.loads(answer.out)["records"] > 300
    assert set(behind.values()) == {0}
    assert "calls.raw.freeswitch-json-cdr" in shell("lag").out
