"""The commands replay, explain and rules as a person meets them: output, talk and exit codes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.core.model import Result
from tests.app.test_commands import Shell, shell
from tests.support.broker import Broker

__all__ = ["shell"]  # the fixture

ROOT = Path(__file__).parents[2]
RECORDINGS = ROOT / "tests" / "recordings" / "freeswitch"
S10 = next(RECORDINGS.glob("s10*.events.lite.jsonl.gz"))
CDR = next(RECORDINGS.glob("s10*.cdr.jsonl.gz"))
ESL = ("--source", "freeswitch-esl")


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["replay"], "give recordings, or a topic with --from-topic"),
        (["replay", str(S10), "--from-topic", "calls.events"], "give recordings, or a topic with --from-topic"),
        (["replay", str(S10)], "give --source, who wrote the records: freeswitch-esl, freeswitch-json-cdr, canonical"),
        (["replay", str(S10), "--source", "asterisk"], "no source asterisk: give one of freeswitch-esl, freeswitch-json-cdr, canonical"),
        (["replay", str(S10), "--source", "canonical"], "can be read as canonical: Object contains unknown field `Event-Name`"),
        (["replay", str(S10), *ESL, "--out", "a", "--results", "./a"], "two outputs go to the same place"),
        (["replay", str(S10), *ESL, "--out", str(S10)], "would overwrite a recording that is read"),
        (["replay", str(S10), *ESL, "--out", "gone/legs.jsonl"], "gone/legs.jsonl: No such file or directory"),
        (["replay", str(S10), *ESL, "--end", "soon"], "'soon' is not one of 'settle', 'ttl', 'none'"),
        (["replay", "gone.gz", *ESL], "'gone.gz' does not exist"),
        (["replay", "empty.jsonl", *ESL], "empty.jsonl: no records: give recordings with one record a line"),
        (["replay", "torn.gz", *ESL], "torn.gz: damaged gzip"),
        (["replay", "--from-topic", "calls.events", *ESL], "leave --source out"),
        (["replay", "--from-topic", "calls.raw.pbx"], "give --source"),
        (["explain", str(S10), *ESL], "give --call with a call's id, or --leg with a leg's"),
        (["explain", str(S10), *ESL, "--call", "a", "--leg", "b"], "give --call with a call's id, or --leg with a leg's"),
        (["explain", str(S10), "--call", "a"], "give --source"),
        (["explain", "--call", "a", *ESL], "--source says who wrote recordings"),
        (["explain", str(S10), *ESL, "--call", "a", "--width", "9"], "9 is not in the range 60<=x<=300"),
        (["rules", "--check", "--write"], "give --check or --write, not both"),
        (["rules", "--check"], "docs/rules.md: No such file or directory"),
    ],
)
def test_bad_input_is_exit_2_with_one_sentence(shell: Shell, tmp_path: Path, arguments: Sequence[str], advice: str) -> None:
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "torn.gz").write_bytes(S10.read_bytes()[:1000])
    answer = shell(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert advice in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("command", [["replay", "--from-topic", "calls.events"], ["explain", "--call", "x"]])
def test_without_a_broker_one_sentence_and_exit_2(shell: Shell, command: Sequence[str]) -> None:
    answer = shell(*command, "--bootstrap", "localhost:1")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("callverdict: no Kafka answers")
    assert len(answer.err.splitlines()) == 1


def test_replay_writes_rows_and_talks_on_stderr(shell: Shell, tmp_path: Path) -> None:
    outputs = ("--out", "legs.jsonl", "--results", "calls.jsonl.gz", "--tallies", "tallies.jsonl", "--late", "late.jsonl")
    answer = shell("replay", str(S10), *ESL, *outputs)
    assert (answer.code, answer.out) == (0, "")
    legs = [json.loads(line) for line in (tmp_path / "legs.jsonl").read_bytes().splitlines()]
    calls = [json.loads(line) for line in gzip.decompress((tmp_path / "calls.jsonl.gz").read_bytes()).splitlines()]
    counted = {str(result): sum(row["result"] == result for row in legs) for result in Result}
    told = {line.split()[0]: int(line.split()[1]) for line in answer.err.splitlines() if line.split()[0] in counted}
    assert told == counted
    assert sum(counted.values()) > 50
    assert f"all {sum(counted.values())} {sum(row['result'] is not None for row in calls)}" in " ".join(answer.err.split())
    assert "records/s" in answer.err
    assert (tmp_path / "late.jsonl").read_bytes() == b""
    windows = [json.loads(line) for line in (tmp_path / "tallies.jsonl").read_bytes().splitlines()]
    assert {row["window_size_s"] for row in windows} == {60, 900, 3_600, 86_400}


def test_replay_to_stdout_is_rows_and_nothing_else(shell: Shell) -> None:
    answer = shell("replay", str(CDR), "--source", "freeswitch-json-cdr", "--out", "-")
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert answer.code == 0
    assert len(rows) > 50
    assert [row["leg_id"] for row in rows] == [row["leg_id"] for row in sorted(rows, key=lambda row: (row["call_id"], row["leg_id"]))]


def test_bad_records_are_said_and_strict_is_exit_1(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(b"garbage\n" + gzip.decompress(S10.read_bytes()))
    answer = shell("replay", str(path), *ESL)
    assert answer.code == 0
    assert "1 records not read, not_json: " in answer.err
    assert f"(the first: number 1 of {path})" in answer.err
    assert shell("replay", str(path), *ESL, "--strict").code == 1
    assert shell("replay", str(S10), *ESL, "--strict").code == 0


def test_the_settings_count_in_a_replay(shell: Shell) -> None:
    sources = json.dumps([{"vendor": "freeswitch-esl", "name": "berlin", "tenant": "acme"}])
    answer = shell(
        "replay", str(S10), "--source", "berlin", "--tallies", "-", CALLVERDICT_SOURCES=sources, CALLVERDICT_WINDOW_SIZES_S="300"
    )
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert {(row["tenant"], row["window_size_s"]) for row in rows} == {("acme", 300)}


def test_explain_draws_in_80_columns(shell: Shell) -> None:
    calls = shell("replay", str(S10), *ESL, "--results", "-").out.splitlines()
    row = max(map(json.loads, calls), key=lambda row: row["legs_offered"])
    answer = shell("explain", str(S10), *ESL, "--call", row["call_id"])
    assert answer.code == 0
    assert answer.out.startswith(f"Call {row['call_id']}\n")
    assert max(map(len, answer.out.splitlines())) <= 80
    assert f"{row['result']}, {row['reason']}: rule {row['rule']}" in " ".join(answer.out.split())
    assert shell("explain", str(S10), *ESL, "--leg", row["decided_by_leg_id"], "--width", "132").out.startswith(f"Call {row['call_id']}\n")


def test_an_unknown_call_is_exit_1_with_the_nearest(shell: Shell) -> None:
    calls = [json.loads(line)["call_id"] for line in shell("replay", str(S10), *ESL, "--results", "-").out.splitlines()]
    answer = shell("explain", str(S10), *ESL, "--call", calls[0][:-1])
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"callverdict: no call {calls[0][:-1]}: the nearest are {calls[0]}\n"


def test_rules_are_printed_written_and_checked(shell: Shell, tmp_path: Path) -> None:
    printed = shell("rules").out
    assert (ROOT / "docs" / "rules.md").read_text(encoding="utf-8") == printed
    assert shell("rules", "--write").code == 0
    assert (tmp_path / "docs" / "rules.md").read_text(encoding="utf-8") == printed
    assert shell("rules", "--check").code == 0
    (tmp_path / "docs" / "rules.md").write_text(printed.replace("USER_BUSY", "USER_LAZY"), encoding="utf-8")
    answer = shell("rules", "--check")
    assert (answer.code, answer.out) == (1, "docs/rules.md differs from the code: write it with `callverdict rules --write`\n")


@pytest.mark.kafka
def test_replay_and_explain_from_topics(shell: Shell, kafka: Broker, topic_prefix: str) -> None:
    environ = {"CALLVERDICT_TOPIC_PREFIX": topic_prefix, "CALLVERDICT_PARTITIONS": "2", "CALLVERDICT_BOOTSTRAP": kafka.bootstrap}
    raw = f"{topic_prefix}calls.raw.freeswitch-esl"
    assert shell("topics", "create", **environ).code == 0
    assert shell("play", str(S10), "--topic", raw, "--speed", "max", "--ids", "keep").code == 0
    legs = [json.loads(line) for line in shell("replay", "--from-topic", raw, *ESL, "--out", "-").out.splitlines()]
    wanted = [json.loads(line) for line in shell("replay", str(S10), *ESL, "--out", "-").out.splitlines()]
    assert results(legs) == results(wanted)
    empty = shell("replay", "--from-topic", f"{topic_prefix}calls.events")
    assert (empty.code, empty.out) == (2, "")
    assert "calls.events: no records" in empty.err
    answer = shell("explain", "--call", "x")
    assert (answer.code, answer.err) == (1, f"callverdict: {topic_prefix}calls.events knows no call or leg x: no id there is like it\n")


def results(rows: Sequence[dict[str, object]]) -> dict[object, object]:
    return {row["leg_id"]: (row["result"], row["reason"], row["rule"]) for row in rows if not row["is_deleted"]}
