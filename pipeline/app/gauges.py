"""How a worker's partitions stand: for a scrape and for /status, read when asked, so that nothing stays of a partition that is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from pipeline.app.assemble import AssembleStep
from pipeline.app.codec import standing
from pipeline.app.telemetry import NAMED
from pipeline.core.assembly import Assembly
from pipeline.core.call import Call
from pipeline.core.inspection import Open, open_calls
from pipeline.engine import clock
from pipeline.engine.engine import Engine
from pipeline.engine.watch import Watch

FRESH_S = 10.0
SHARE = 200
"""A count of open calls is told again for `FRESH_S`, or `SHARE` times as long as it took: a million of them take a second."""


class Counted(NamedTuple):
    """The open calls of one partition, and until when that is good enough."""

    open: Open
    until_s: float


def counted(calls: Sequence[Call], images: Sequence[bytes]) -> Counted:
    """Not in the event loop: it looks at every call, at those that are put away by what stands on their images."""
    begin_s = clock.elapsed_s()
    found = open_calls(calls)
    begun_ms = [began_ms for began_ms in (standing(image).began_ms for image in images) if began_ms is not None]
    if begun_ms:
        oldest_ms = min(begun_ms)
        found = Open(found.calls + len(begun_ms), oldest_ms if found.oldest_ms is None else min(found.oldest_ms, oldest_ms))
    end_s = clock.elapsed_s()
    return Counted(found, end_s + max(FRESH_S, SHARE * (end_s - begin_s)))


class Gauges(Collector):
    """`refresh` before each scrape, `collect` and `status` then."""

    def __init__(self, engine: Engine, watch: Watch) -> None:
        self._engine = engine
        self._watch = watch
        self._counted: dict[int, Counted] = {}

    async def refresh(self) -> None:
        states = self._states()
        self._counted = {partition: known for partition, known in self._counted.items() if partition in states}
        for partition, state in states.items():
            known = self._counted.get(partition)
            if known is None or clock.elapsed_s() > known.until_s:
                self._counted[partition] = await asyncio.to_thread(counted, [*state.calls.warm.values()], [*state.calls.images.values()])

    def _states(self) -> dict[int, Assembly]:
        return {place.partition: step.state for place, step in self._engine.steps() if isinstance(step, AssembleStep)}

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing: what there is depends on what is owned."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield _family("callverdict_worker_ready", {(): float(self._watch.trouble() is None)})
        outlook = self._watch.outlook()
        owned = Counter(one.status.stage for one in outlook)
        yield _family("callverdict_partitions_owned", {(stage,): owned[stage] for stage in self._engine.stages})
        places = {(one.status.topic, str(one.status.partition)): one for one in outlook}
        yield _family("callverdict_lag_records", {place: one.lag_records for place, one in places.items()})
        yield _family("callverdict_lag_seconds", {place: one.lag_s for place, one in places.items()})
        yield _family("callverdict_stalled_seconds", {place: one.still_s for place, one in places.items()})
        yield from self._of_calls({(str(partition),): self._figures(partition, state) for partition, state in self._states().items()})

    def _of_calls(self, figures: Mapping[tuple[str, ...], Mapping[str, Any]]) -> Iterator[GaugeMetricFamily]:
        for name, figure in (
            ("callverdict_watermark_timestamp_seconds", "watermark_s"),
            ("callverdict_open_calls", "open_calls"),
            ("callverdict_oldest_open_call_seconds", "oldest_open_call_s"),
            ("callverdict_kept_keys", "kept_keys"),
        ):
            yield _family(name, {labels: found[figure] for labels, found in figures.items()})

    def _figures(self, partition: int, state: Assembly) -> dict[str, float | None]:
        """None: not known yet."""
        known, has_time = self._counted.get(partition), state.now_ms >= 0
        if known is None:
            return {"watermark_s": None, "open_calls": None, "oldest_open_call_s": None, "kept_keys": len(state.calls)}
        oldest_ms = known.open.oldest_ms
        return {
            "watermark_s": state.now_ms / 1000 if has_time else None,
            "open_calls": known.open.calls,
            "oldest_open_call_s": 0.0 if oldest_ms is None else max(0, state.now_ms - oldest_ms) / 1000,
            "kept_keys": len(state.calls),
        }

    def status(self) -> list[dict[str, Any]]:
        """One row per owned partition, with what `assemble` says of its calls."""
        figures = {partition: self._figures(partition, state) for partition, state in self._states().items()}
        rows = []
        for one in self._watch.outlook():
            row = msgspec.structs.asdict(one)
            known = figures.get(one.status.partition, {}) if one.status.stage == "assemble" else {}
            rows.append({**msgspec.structs.asdict(row.pop("status")), **row, **known})
        return rows


def _family(name: str, values: Mapping[tuple[str, ...], float | None]) -> GaugeMetricFamily:
    metric = NAMED[name]
    family = GaugeMetricFamily(name, metric.doc, labels=metric.label_names)
    for labels, value in values.items():
        if value is not None:
            family.add_metric(labels, value)
    return family
