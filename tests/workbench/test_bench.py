"""The bench at its smallest: does it measure, and does it notice a wrong output. How fast it is, no test can say."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli.bench import bench
from pipeline.core.model import LegRow, Policy, Result
from pipeline.workbench.bench import Row, markdown
from pipeline.workbench.gauge import GaugeError, Sample, Span, span, used
from pipeline.workbench.latency import at
from pipeline.workbench.loading import WATERMARK_EVERY
from pipeline.workbench.offline import Offline, last_rows
from pipeline.workbench.ringall import AGENTS, EVENTS_PER_CALL, Load, stream
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


SAMPLES = [
    Sample(0.0, 1.0, {}),
    Sample(1.0, 1.5, {"assemble": 50}),
    Sample(2.0, 2.0, {"assemble": 200, "tally": 9}),
    Sample(3.0, 3.0, {"assemble": 1_000, "tally": 90}),
    Sample(4.0, 3.1, {"assemble": 1_000, "tally": 100}),
]


def test_what_is_measured_begins_warm_and_ends_with_the_last_record() -> None:
    assert span(SAMPLES, "assemble", warm=0.1) == Span(seconds=1.0, cpu_s=1.0, records=800)
    assert span(SAMPLES, "assemble", warm=0.01) == Span(seconds=2.0, cpu_s=1.5, records=950)
    with pytest.raises(GaugeError, match="give more --events"):
        span(SAMPLES[:2], "assemble", warm=0.1)
    with pytest.raises(GaugeError, match="took 0 records"):
        span(SAMPLES, "normalize", warm=0.1)


def test_the_table_has_a_dash_where_nothing_was_measured() -> None:
    row = Row(name="replay", what="a file", events=20_000, events_per_s=15_000.0, cpu_us_per_event=44.4, checked="all of it")
    assert markdown([row]).splitlines()[2] == "| replay | 20,000 | 15,000 | 44.4 | - | - | - | - | - |"


@pytest.mark.kafka
@pytest.mark.timeout(240)
def test_the_bench_measures_and_checks_every_row(kafka: Broker, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    answer = CliRunner().invoke(bench, ["--quick", "--bootstrap", kafka.bootstrap, "--json", str(path)], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    rows = json.loads(path.read_bytes())
    assert [row["name"] for row in rows] == ["assemble and tally", "assemble alone", "normalize", "latency", "replay"]
    assert Counter(row["machine"] for row in rows) == {rows[0]["machine"]: 5}
    for row in rows:
        assert row["peak_mb"] > 20
        assert row["cpu_us_per_event"] > 1
        assert row["checked"]
    assert rows[3]["p99_ms"] >= rows[3]["p50_ms"] > 1
    assert answer.output.count("| ") > 5 * 8
