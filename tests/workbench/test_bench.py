"""The bench at its smallest: does it measure, and does it notice a wrong output. How fast it is, no test can say."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli.bench import bench
from pipeline.core.model import LegRow, Policy, Result
from pipeline.workbench import benchcost, benchown, benchpeers
from pipeline.workbench.bench import ROWS, UnknownRowError, chosen, rounds
from pipeline.workbench.benchgoals import GOALS, judged
from pipeline.workbench.benchrow import Bench, Plan, Row, middle
from pipeline.workbench.benchtable import markdown
from pipeline.workbench.following import Course, Sample, Span, Standstill, span
from pipeline.workbench.gauge import GaugeError, used
from pipeline.workbench.latency import at
from pipeline.workbench.loading import WATERMARK_EVERY
from pipeline.workbench.offline import Offline, last_rows
from pipeline.workbench.programme import recordings
from pipeline.workbench.ringall import AGENTS, BEGINNING, EVENTS_PER_CALL, Load, going_on, ringing, stream
from tests.support.broker import Broker

BEGIN_MS = 1_795_449_700_000


def test_the_load_is_in_order_and_as_large_as_it_says() -> None:
    results: dict[str, Result] = {}
    events = list(stream(Load(calls=400, begin_ms=BEGIN_MS), results))
    assert [event.at_ms for event in events] == sorted(event.at_ms for event in events)
    assert 400 * EVENTS_PER_CALL <= len(events) < 400 * (EVENTS_PER_CALL + 1)
    assert len(results) == 400 * (1 + AGENTS)
    assert set(results.values()) == {Result.ANSWERED, Result.LOSE_RACE, Result.BUSY, Result.CANCEL, Result.TIMEOUT}
    assert list(stream(Load(calls=400, begin_ms=BEGIN_MS), {})) == events


def test_about_two_hundred_calls_are_open_at_once() -> None:
    spans: dict[str, list[int]] = {}
    for event in stream(Load(calls=2_000, begin_ms=BEGIN_MS), {}):
        spans.setdefault(event.parent_leg_id or event.leg_id, []).append(event.at_ms)
    middle_ms = BEGIN_MS + 200_000
    assert 120 < sum(min(times) <= middle_ms <= max(times) for times in spans.values()) < 280


def test_the_plan_is_what_the_core_says() -> None:
    results: dict[str, Result] = {}
    flow = Offline(Policy(), partitions=2)
    for number, event in enumerate(stream(Load(calls=300, begin_ms=BEGIN_MS), results), 1):
        flow.send(event)
        if number % WATERMARK_EVERY == 0:
            flow.send_watermark(event.at_ms)
            flow.run()
    flow.send_watermark(BEGIN_MS + 3_600_000)
    flow.run()
    told = {row.leg_id: row.result for row in last_rows(flow.rows).values() if isinstance(row, LegRow) and not row.is_deleted}
    assert told == results


def test_a_process_that_has_ended_cannot_be_measured() -> None:
    with pytest.raises(GaugeError, match="has ended"):
        used(2**22 + 1)  # above the highest process id


def test_a_percentile_is_a_value_that_was_measured() -> None:
    took = [float(ms) for ms in range(1, 101)]
    assert (at(took, 0.5), at(took, 0.99), at([7.0], 0.99)) == (51.0, 100.0, 7.0)


COURSE = Course(
    samples=[
        Sample(1.0, 1.5, 0, taken=0),
        Sample(2.0, 2.0, 0, taken=50),
        Sample(3.0, 3.0, 0, taken=200),
        Sample(4.0, 3.5, 0, taken=1_000),
        Sample(4.1, 4.0, 0, taken=1_000),
    ],
    total=1_000,
    first_output_s=2.0,
)


def test_what_is_measured_begins_warm_and_ends_with_the_work() -> None:
    assert span(COURSE, begin=0.1) == pytest.approx(Span(share=0.8, seconds=1.1, cpu_s=1.0))
    assert span(COURSE, begin=0.01) == pytest.approx(Span(share=0.95, seconds=2.1, cpu_s=2.0))
    assert span(COURSE, begin=0.9) == span(COURSE, begin=0.2)
    with pytest.raises(GaugeError, match="give more --events"):
        span(COURSE._replace(samples=COURSE.samples[3:]), begin=0.1)


def test_a_work_that_comes_no_further_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=iter([0.0, 10.0, 200.0, 309.0, 311.0]).__next__)
    monkeypatch.setattr("pipeline.workbench.following.time", clock)
    standstill = Standstill("faust")
    for left in (7, 7, 7):
        standstill.look(left)
    with pytest.raises(GaugeError, match="faust committed nothing for 300 s"):
        standstill.look(7)


def test_the_calls_that_go_on_are_some_of_those_that_ring() -> None:
    load = Load(calls=300, begin_ms=BEGIN_MS, calls_per_s=50.0)
    results: dict[str, Result] = {}
    begun = list(ringing(load))
    ended = list(going_on(load, 100, results))
    assert len(begun) == 300 * BEGINNING
    assert {event.kind for event in begun} == {"offered", "ringing"}
    assert {event.kind for event in ended} == {"answered", "bridged", "ended"}
    assert begun[-1].at_ms < ended[0].at_ms
    assert {event.leg_id for event in ended} == set(results) < {event.leg_id for event in begun}
    whole: dict[str, Result] = {}
    list(stream(load, whole))
    assert results.items() < whole.items()


def row(name: str, **figures: Any) -> Row:
    return Row(name=name, what="a load", events=20_000, checked="all of it", **figures)


def test_a_row_is_the_round_in_the_middle_and_tells_of_all() -> None:
    rounds = [row("assemble", cpu_us_per_event=cost, peak_mb=cost) for cost in (31.0, 29.0, 40.0)]
    assert middle(rounds) == row("assemble", cpu_us_per_event=31.0, peak_mb=31.0, rounds=(31.0, 29.0, 40.0))
    absent = Row(name="kafka-streams", what="a peer", missing="no Maven here")
    assert middle([absent, absent]) == absent


def test_the_table_has_a_dash_where_nothing_was_measured() -> None:
    lines = markdown([row("replay", cpu_us_per_event=44.4), row("latency", p99_ms=1_500.0)]).splitlines()
    assert lines[0] == "| measured | events | CPU us/event | p99 ms |"
    assert lines[2:4] == ["| replay | 20,000 | 44.4 | - |", "| latency | 20,000 | - | 1,500 |"]


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        (9.0, 4.0, "goal: CPU per event at most 1 x the CPU of Kafka Streams: 2.25 x MISSED"),
        (3.6, 4.0, "goal: CPU per event at most 1 x the CPU of Kafka Streams: 0.9 x met"),
        (3.6, None, "goal: CPU per event at most 1 x the CPU of Kafka Streams: what it compares was not measured in this run"),
    ],
)
def test_a_goal_is_a_ratio_to_what_the_same_run_measured(ours: float, theirs: float | None, told: str) -> None:
    peer = row("kafka-streams", cpu_us_per_event=theirs) if theirs else Row(name="kafka-streams", what="a peer", missing="no Maven here")
    table = markdown([row("assemble", cpu_us_per_event=ours), peer])
    assert f"  - {told}" in table.splitlines()
    assert ("* kafka-streams: not measured: no Maven here." in table.splitlines()) is (theirs is None)


def test_a_goal_may_be_a_least() -> None:
    rows = {"faust": row("faust", cpu_us_per_event=300.0), "whole-way": row("whole-way", cpu_us_per_event=10.0)}
    assert [(one.goal.what, one.found, one.is_met) for one in judged(rows)] == [("events per CPU second", 30.0, True)]


def test_every_goal_belongs_to_a_row() -> None:
    assert {goal.row for goal in GOALS} <= ROWS.keys()


def test_rounds_go_there_and_back() -> None:
    assert list(rounds(["a", "b"], 3)) == ["a", "b", "b", "a", "a", "b"]


def test_rows_are_chosen_by_name() -> None:
    assert chosen(["kafka-streams", "assemble"]) == ["assemble", "kafka-streams"]
    assert "open-1000000" not in chosen([])
    with pytest.raises(UnknownRowError, match="no row is called fast: give some of assemble"):
        chosen(["fast"])


def test_a_peer_without_its_tools_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchpeers, "SOURCES", Path("nowhere"))
    bench = Bench(Plan(), "localhost:1", Path(), 0, (), print)
    for measure in (ROWS["kafka-streams"], ROWS["aiokafka"], ROWS["latency-kafka-streams"], ROWS["open-100000-kafka-streams"]):
        assert "run in a clone of the repository" in measure(bench).missing


@pytest.mark.slow
def test_the_step_is_measured_beside_the_decoders_that_are_here() -> None:
    bench = Bench(Plan(), "localhost:1", recordings(None), max(os.sched_getaffinity(0)), (), print)
    measured = benchcost.step(bench)
    assert {"json", "orjson", "msgspec"} <= measured.decoder_us.keys()
    assert min(measured.decoder_us.values()) > 0.5
    assert measured.cpu_us_per_event is not None
    assert measured.mb_per_s == pytest.approx(benchown.mean_size(benchown.full_recordings(bench)) / measured.cpu_us_per_event, rel=0.01)


OWN = ["assemble", "assemble-tally", "normalize", "whole-way", "whole-way-freeswitch", "latency", "open-100000"]
PEERS = ["assemble", "kafka-streams", "aiokafka", "faust"]


def run_bench(kafka: Broker, path: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    arguments = ["--quick", "--bootstrap", kafka.bootstrap, "--json", str(path), "--only", ",".join(names)]
    answer = CliRunner().invoke(bench, arguments, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    assert answer.output.count("\n| ") == 1 + len(names)
    rows = json.loads(path.read_bytes())
    assert len({row["machine"] for row in rows}) == 1
    return {row["name"]: row for row in rows}


@pytest.mark.kafka
@pytest.mark.timeout(400)
def test_the_bench_measures_and_checks_the_pipeline(kafka: Broker, tmp_path: Path) -> None:
    rows = run_bench(kafka, tmp_path / "bench.json", OWN)
    assert sorted(rows) == sorted(OWN)
    for row in rows.values():
        assert row["peak_mb"] > 20
        assert row["cpu_us_per_event"] > 1
        assert row["checked"]
    assert rows["latency"]["p99_ms"] >= rows["latency"]["p50_ms"] > 1
    assert rows["open-100000"]["restore_s"] > 0.5
    assert rows["open-100000"]["bytes_per_open_call"] > 100


@pytest.mark.kafka
@pytest.mark.timeout(400)
def test_the_bench_measures_and_checks_the_peers(kafka: Broker, tmp_path: Path) -> None:
    rows = run_bench(kafka, tmp_path / "bench.json", PEERS)
    assert sorted(rows) == sorted(PEERS)
    here = [row for row in rows.values() if "missing" not in row]
    assert {row["name"] for row in here} >= {"assemble", "aiokafka", "faust"}
    assert all(row["cpu_us_per_event"] > 1 and row["checked"] for row in here)
    assert rows["kafka-streams"].get("missing", "").startswith("no ") or rows["kafka-streams"]["checked"]
    ratio = rows["assemble"]["goals"][0]
    assert ratio["found"] is None or ratio["found"] == pytest.approx(
        rows["assemble"]["cpu_us_per_event"] / rows["kafka-streams"]["cpu_us_per_event"], abs=0.01
    )
