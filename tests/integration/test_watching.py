"""What a person sees of a running worker: its pages while it works, shares, loses its broker and loses its supervisor."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.app.telemetry import METRICS, RESULTS
from pipeline.workbench.kafka import LocalKafka
from tests.integration.conftest import Install
from tests.integration.installation import Installation, Worker, source

pytestmark = pytest.mark.kafka

S01 = Path(__file__).parents[1] / "recordings" / "freeswitch" / "s01_ringall_one_answers.events.lite.jsonl.gz"
SAMPLE = re.compile(r"^(callverdict_\w+)(\{[^}]*\})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')
OF_FAUST = ("/", "/stats/", "/graph/", "/table/", "/router/", "/agents/", "/production/index/")


class Page(NamedTuple):
    code: int
    text: str


def page(worker: Worker, path: str) -> Page:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{worker.port}{path}", timeout=3) as answer:
            return Page(answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        return Page(error.code, error.read().decode())
    except OSError as error:
        return Page(0, str(error))


def samples(worker: Worker, name: str) -> dict[tuple[str, ...], float]:
    """Label values -> value, of one metric."""
    found = SAMPLE.findall(page(worker, "/metrics").text)
    return {tuple(value for _, value in LABEL.findall(labels)): float(value) for metric, labels, value in found if metric == name}


async def until(holds: Callable[[], Any], *, within_s: float = 40.0) -> Any:
    until_s = time.monotonic() + within_s
    while not (found := await asyncio.to_thread(holds)):
        assert time.monotonic() < until_s, f"not within {within_s} s"
        await asyncio.sleep(0.2)
    return found


async def test_the_pages_of_a_worker_that_did_its_work(install: Install) -> None:
    installation = install(source("freeswitch-esl"), partitions=2)
    await installation.create()
    worker = installation.worker()
    await worker.ready()
    await installation.play(S01, installation.raw[0])
    await installation.settle()

    families = re.findall(r"^# TYPE (callverdict_\w+) (counter|histogram|gauge)$", page(worker, "/metrics").text, re.MULTILINE)
    told = [(name, kind) for name, kind in families if not name.endswith("_created")]
    assert sorted(told) == sorted((metric.name, metric.kind) for metric in METRICS)
    assert set(samples(worker, "callverdict_legs_out_total")) == {(word,) for word in RESULTS}
    legs = await installation.read(installation.topics.legs)
    assert sum(samples(worker, "callverdict_legs_out_total").values()) == len(legs)
    revised = [record for record in legs if json.loads(record.value)["revision"] > 1]
    assert samples(worker, "callverdict_revisions_total")[("leg",)] == len(revised) > 0
    assert samples(worker, "callverdict_conservation_errors_total") == {(): 0}
    assert samples(worker, "callverdict_worker_ready") == {(): 1}
    assert samples(worker, "callverdict_partitions_owned") == {("normalize",): 2, ("assemble",): 2, ("tally",): 2}

    await until(lambda: set(samples(worker, "callverdict_lag_records").values()) == {0.0})
    assert set(samples(worker, "callverdict_lag_seconds").values()) == {0.0}
    offsets = await installation.offsets([*installation.raw, installation.topics.events, installation.topics.partials])
    status = {(row["topic"], row["partition"]): row for row in json.loads(page(worker, "/status").text)}
    assert {place: (row["next_offset"], row["end_offset"]) for place, row in status.items()} == {
        tuple(place): both for place, both in offsets.items()
    }
    answer = json.loads(installation.command("lag", "--json").stdout)
    assert {(row["topic"], row["partition"], row["records"], row["seconds"]) for row in answer["partitions"]} == {
        (*place, 0, 0.0) for place in offsets
    }
    assert {(row["topic"], row["partition"]): row["committed_offset"] for row in answer["partitions"]} == {
        tuple(place): committed for place, (committed, _) in offsets.items()
    }
    assert [page(worker, path).code for path in OF_FAUST] == [404] * len(OF_FAUST)
    assert await worker.stop() == 0
    assert re.search(r"worker\.stopping .*by=SIGTERM", worker.log)
    assert re.search(r"worker\.ended .*exit_code=0", worker.log)


async def test_open_calls_are_counted_and_aged_in_stream_time(install: Install) -> None:
    installation = install(source("canonical"), partitions=1, tick_s=1)
    await installation.create()
    now_ms = time.time_ns() // 1_000_000
    offered = {"leg_id": "ann", "kind": "offered", "at_ms": now_ms - 60_000}
    answered = {"leg_id": "bob", "kind": "answered", "at_ms": now_ms}
    await installation.write(installation.raw[0], [(None, json.dumps(event).encode()) for event in (offered, answered)])
    worker = installation.worker()
    await worker.ready()
    await until(lambda: samples(worker, "callverdict_open_calls") == {("0",): 2})
    assert 60 <= samples(worker, "callverdict_oldest_open_call_seconds")[("0",)] < 120
    assert abs(samples(worker, "callverdict_watermark_timestamp_seconds")[("0",)] - time.time()) < 30
    (row,) = [row for row in json.loads(page(worker, "/status").text) if row["stage"] == "assemble"]
    assert (row["open_calls"], row["kept_keys"]) == (2, 2)


async def test_what_a_worker_says_of_a_partition_goes_with_the_partition(install: Install) -> None:
    installation = install(source("freeswitch-esl"), partitions=2)
    await installation.create()
    first = installation.worker()
    await first.ready()
    whole = set(await until(lambda: samples(first, "callverdict_lag_records")))
    assert len(whole) == 6
    second = installation.worker()
    await second.ready()
    await first.ready()
    mine, yours = [await until(partial(samples, one, "callverdict_lag_records")) for one in (first, second)]
    assert mine.keys() | yours.keys() == whole
    assert not mine.keys() & yours.keys()
    for name in ("callverdict_lag_seconds", "callverdict_stalled_seconds"):
        assert samples(first, name).keys() == mine.keys()
    calls = [samples(one, "callverdict_kept_keys") for one in (first, second)]
    assert sorted([*calls[0], *calls[1]]) == [("0",), ("1",)]


@pytest.fixture
def own_kafka() -> Any:
    with LocalKafka() as kafka:
        yield kafka


async def test_a_broker_that_is_away_is_noticed_and_holds_up_no_end(own_kafka: LocalKafka, topic_prefix: str, tmp_path: Path) -> None:
    installation = Installation(own_kafka.bootstrap, topic_prefix, tmp_path, [source("freeswitch-esl")], partitions=1)
    try:
        await installation.create()
        worker = installation.worker()
        await worker.ready()
        own_kafka.signal_broker(1, signal.SIGSTOP)
        away = await until(lambda: (answer := page(worker, "/readyz")).code == 503 and answer.text, within_s=30)
        assert away.startswith("not ready: no broker has answered ")
        assert page(worker, "/livez") == (200, "ok\n")
        assert samples(worker, "callverdict_worker_ready") == {(): 0}
        own_kafka.signal_broker(1, signal.SIGCONT)
        await worker.ready(within_s=60)
        await installation.play(S01, installation.raw[0])
        await installation.worked_off()

        own_kafka.stop_broker(1, signal.SIGKILL)
        begin_s = time.monotonic()
        assert await worker.stop() in (0, 1)
        assert time.monotonic() - begin_s < 10
    finally:
        installation.end()


async def test_a_worker_does_not_outlive_its_supervisor(install: Install) -> None:
    installation = install(source("freeswitch-esl"), partitions=1)
    await installation.create()
    worker = installation.worker()
    await worker.ready()
    (pid,) = worker.pids
    worker.process.kill()
    await until(lambda: not Path(f"/proc/{pid}").exists(), within_s=12)
    assert re.search(r"supervisor\.gone .*advice=", worker.log)
    assert re.search(r"worker\.ended .*exit_code=0", worker.log)
