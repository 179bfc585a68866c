"""What can be measured of the pipeline: the table of its metrics, and what the steps and the engine report to it.

Names are `callverdict_<noun>_<unit>[_total]`; labels come from closed sets and partitions; never a call id or a phone number.
What depends on the partitions that a worker owns is not kept here but read when asked (app.gauges), so it goes when they go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple, get_args

import prometheus_client as prometheus
from structlog.stdlib import get_logger

from pipeline.core.inspection import imbalance
from pipeline.core.model import AgentTallyRow, CallRow, LateReason, LegRow, Result, TallyRow

log = get_logger("callverdict.telemetry")

Kind = Literal["counter", "histogram", "gauge"]
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
RESTORE_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
STAGES = ("normalize", "assemble", "tally")
WITHDRAWN = "withdrawn"
RESULTS = (*(str(result) for result in Result), WITHDRAWN)
ROWS = ("leg", "call", "tally")
REASONS = (
    "bad_id", "bad_time", "empty", "future_time", "missing_event_name", "missing_field", "missing_leg_id", "missing_peer",
    "missing_time", "not_a_control_record", "not_a_partial", "not_json", "self_link", "unknown_field", "wrong_type", "wrong_value",
)  # fmt: skip
"""Why a record can be a dead letter."""


class Metric(NamedTuple):
    """`labels`: each with the words that it may have; none are named where partitions are."""

    name: str
    kind: Kind
    doc: str
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    buckets: tuple[float, ...] = SECONDS

    @property
    def label_names(self) -> list[str]:
        return [name for name, _ in self.labels]


STAGE, PARTITION, PLACE = (("stage", STAGES),), (("partition", ()),), (("topic", ()), ("partition", ()))
METRICS = (
    Metric("callverdict_records_in_total", "counter", "Input records that were processed.", STAGE),
    Metric("callverdict_legs_out_total", "counter", "Published leg rows, revisions included.", (("result", RESULTS),)),
    Metric("callverdict_revisions_total", "counter", "Published rows that correct an earlier one.", (("row", ROWS),)),
    Metric("callverdict_dead_letters_total", "counter", "Records that could not be read.", (("reason", REASONS),)),
    Metric("callverdict_late_facts_total", "counter", "Facts whose call or window was gone.", (("reason", get_args(LateReason)),)),
    Metric("callverdict_conservation_errors_total", "counter", "Published tallies whose parts are not what was offered: must be 0."),
    Metric("callverdict_chunk_seconds", "histogram", "From taking a chunk of records to its commit.", STAGE),
    Metric("callverdict_transaction_seconds", "histogram", "One Kafka transaction.", STAGE),
    Metric("callverdict_restore_seconds", "histogram", "Reading one partition's changelog.", STAGE, RESTORE_SECONDS),
    Metric("callverdict_worker_ready", "gauge", "1 if /readyz says yes, else 0."),
    Metric("callverdict_partitions_owned", "gauge", "Input partitions of this worker.", STAGE),
    Metric("callverdict_lag_records", "gauge", "Offsets between what is committed and the end, as last fetched.", PLACE),
    Metric("callverdict_lag_seconds", "gauge", "How long ago the broker got the first record that is not committed.", PLACE),
    Metric("callverdict_stalled_seconds", "gauge", "For how long a partition with work has committed nothing.", PLACE),
    Metric("callverdict_watermark_timestamp_seconds", "gauge", "Stream time of a partition of calls.events, Unix time.", PARTITION),
    Metric("callverdict_open_calls", "gauge", "Calls that are not complete.", PARTITION),
    Metric("callverdict_oldest_open_call_seconds", "gauge", "How long the oldest open call is under way, in stream time.", PARTITION),
    Metric("callverdict_kept_keys", "gauge", "Keys of calls and signposts in memory.", PARTITION),
)
"""All of them; docs/operations.md says what each means at night."""
NAMED = {metric.name: metric for metric in METRICS}


class Telemetry:
    """The worker's counters. Steps and the engine's observer report to it."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self.registry)
        self._records_in = self._counter("callverdict_records_in_total")
        self._legs = self._counter("callverdict_legs_out_total")
        self._revisions = self._counter("callverdict_revisions_total")
        self._dead = self._counter("callverdict_dead_letters_total")
        self._late = self._counter("callverdict_late_facts_total")
        self._errors = self._counter("callverdict_conservation_errors_total")
        self._chunks = self._histogram("callverdict_chunk_seconds")
        self._transactions = self._histogram("callverdict_transaction_seconds")
        self._restores = self._histogram("callverdict_restore_seconds")

    def _counter(self, name: str) -> prometheus.Counter:
        metric = NAMED[name]
        counter = prometheus.Counter(name, metric.doc, metric.label_names, registry=self.registry)
        for _, words in metric.labels:
            for word in words:
                counter.labels(word)  # from 0 on: a rise from nothing to 1 is none for a query
        return counter

    def _histogram(self, name: str) -> prometheus.Histogram:
        metric = NAMED[name]
        return prometheus.Histogram(name, metric.doc, metric.label_names, buckets=metric.buckets, registry=self.registry)

    # What the steps report.

    def records_in(self, stage: str, records: int) -> None:
        """Count input records."""
        self._records_in.labels(stage).inc(records)

    def rows(self, rows: Collection[LegRow | CallRow]) -> None:
        """Count published rows of legs and calls."""
        results, revised = Counter[str](), Counter[str]()
        for row in rows:
            kind = "call"
            if type(row) is LegRow:
                kind = "leg"
                results[WITHDRAWN if row.result is None else row.result] += 1
            if row.revision > 1:
                revised[kind] += 1
        for result, count in results.items():
            self._legs.labels(result).inc(count)
        self._revised(revised)

    def tallies(self, rows: Collection[TallyRow | AgentTallyRow]) -> None:
        """Count published rows of windows, and see that each balances."""
        self._revised({"tally": sum(row.revision > 1 for row in rows)})
        self._unbalanced(row for row in rows if imbalance(row))

    def _revised(self, counts: dict[str, int]) -> None:
        for kind, count in counts.items():
            self._revisions.labels(kind).inc(count)

    def _unbalanced(self, rows: Iterable[TallyRow | AgentTallyRow]) -> None:
        for row in rows:
            self._errors.inc()
            log.error(
                "tally.unbalanced", tenant=row.tenant, of=row.queue if isinstance(row, TallyRow) else row.agent, window_start_ms=row.window_start_ms, revision=row.revision,
                by=imbalance(row), advice="a count is wrong, which is a bug of ours: keep the topics, and report it with this line",
            )  # fmt: skip

    def dead_letter(self, reason: str) -> None:
        """Count a dead letter."""
        self._dead.labels(reason).inc()

    def late(self, reason: str) -> None:
        """Count a late fact."""
        self._late.labels(reason).inc()

    # What the engine reports (engine.observer.Observer).

    def chunk(self, stage: str, topic: str, partition: int, records: int, seconds: float) -> None:  # noqa: ARG002
        """Observe a chunk from its taking to its commit."""
        self._chunks.labels(stage).observe(seconds)

    def transaction(self, stage: str, topic: str, partition: int, records: int, seconds: float) -> None:  # noqa: ARG002
        """Observe a committed transaction."""
        self._transactions.labels(stage).observe(seconds)

    def restored(self, stage: str, topic: str, partition: int, records: int, seconds: float) -> None:  # noqa: ARG002
        """Observe a restore."""
        self._restores.labels(stage).observe(seconds)

    def stopped(self, reason: str) -> None:
        """Nothing to count: the process ends."""

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return prometheus.generate_latest(self.registry)
