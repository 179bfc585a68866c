"""What can be measured of the pipeline: its metrics, and what the steps report.

Names are `callverdict_<noun>_<unit>[_total]`; labels come from closed sets and partitions; never a call id or a phone number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import prometheus_client as prometheus

from pipeline.core.model import LegRow

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Telemetry:
    """The worker's metrics. Steps and the engine's observer report to it."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        self._records_in = prometheus.Counter(
            "callverdict_records_in", "Input records that were processed.", ["stage"], registry=self.registry
        )
        self._legs = prometheus.Counter(
            "callverdict_legs_out", "Published leg rows, revisions included.", ["result"], registry=self.registry
        )
        self._dead = prometheus.Counter("callverdict_dead_letters", "Records that could not be read.", ["reason"], registry=self.registry)
        self._late = prometheus.Counter(
            "callverdict_late_facts", "Facts whose call or window was gone.", ["reason"], registry=self.registry
        )
        self._calls_kept = prometheus.Gauge("callverdict_calls_kept", "Keys of calls in state.", ["partition"], registry=self.registry)
        self._watermark = prometheus.Gauge(
            "callverdict_watermark_seconds", "Stream time, Unix seconds.", ["partition"], registry=self.registry
        )
        self._transactions = prometheus.Histogram(
            "callverdict_transaction_seconds", "One Kafka transaction.", ["stage"], buckets=_SECONDS, registry=self.registry
        )
        self._restores = prometheus.Histogram(
            "callverdict_restore_seconds", "Reading one partition's changelog.", ["stage"], buckets=_SECONDS, registry=self.registry
        )

    # What the steps report.

    def records_in(self, stage: str, records: int) -> None:
        """Count input records."""
        self._records_in.labels(stage).inc(records)

    def legs(self, rows: Iterable[LegRow]) -> None:
        """Count published leg rows."""
        for result, count in Counter(row.result for row in rows).items():
            self._legs.labels("withdrawn" if result is None else result).inc(count)

    def dead_letter(self, reason: str) -> None:
        """Count a dead letter."""
        self._dead.labels(reason).inc()

    def late(self, reason: str) -> None:
        """Count a late fact."""
        self._late.labels(reason).inc()

    def calls_kept(self, partition: int, keys: int) -> None:
        """Set how many keys one partition keeps as calls or signposts."""
        self._calls_kept.labels(str(partition)).set(keys)

    def watermark(self, partition: int, at_ms: int) -> None:
        """Set one partition's stream time."""
        self._watermark.labels(str(partition)).set(at_ms / 1000)

    # What the engine reports (engine.observer.Observer).

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
