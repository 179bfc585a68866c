"""One call's events out of a long log: first who hangs together, then only those events, so that memory grows with legs, not events."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.core.model import LegEvent
from pipeline.core.routing import Item
from pipeline.workbench.casefile import UnknownCall, near
from pipeline.workbench.reading import LogReader, Told
from pipeline.workbench.topiclog import Logged, TopicLog


class Kin:
    """Which ids hang together by any link or group that any event names."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def add(self, event: LegEvent) -> None:
        """Take note of the ids in one event."""
        top = self._top(event.leg_id)
        for other in (event.parent_leg_id, event.group_id):
            if other is not None and (theirs := self._top(other)) != top:
                self._above[theirs] = top

    def _top(self, one: str) -> str:
        above = self._above
        above.setdefault(one, one)
        while above[one] != one:
            above[one] = one = above[above[one]]
        return one

    def has(self, wanted: str) -> bool:
        """Tell whether an id was named."""
        return wanted in self._above

    def are(self, one: str, other: str) -> bool:
        """Tell whether two ids hang together."""
        return self._top(one) == self._top(other)

    def near(self, wanted: str) -> list[str]:
        """Return the ids that look most like one."""
        return near(wanted, self._above)


async def kin_events(log: TopicLog, wanted: str, *, on_read: Callable[[int], None] = lambda _: None) -> list[LegEvent]:
    """Return the events of calls.events that hang together with a leg, a call or a group, and the first of each run of a switch, which may
    have ended a leg. Reads the log twice; `on_read` hears 1 for each record. Raises UnknownCall.
    """
    kin = Kin()
    async for record in log.records():
        for event in events(log, record):
            kin.add(event)
        on_read(1)
    if not kin.has(wanted):
        close = kin.near(wanted)
        advice = f"the nearest ids there are {', '.join(close)}" if close else "no id there is like it"
        raise UnknownCall(f"{log.topic} knows no call or leg {wanted}: {advice}")
    found = []
    runs: dict[tuple[str, str, str | None], LegEvent] = {}
    async for record in log.records():
        for event in events(log, record):
            if kin.are(event.leg_id, wanted):
                found.append(event)
            elif event.core_id is not None:
                run = (event.tenant, event.source, event.core_id)
                runs[run] = min(event, runs.get(run, event), key=lambda told: told.at_ms)
        on_read(1)
    return [*found, *runs.values()]


def events(log: TopicLog, record: Logged) -> list[LegEvent]:
    """Return the events in one record; what cannot be read is the worker's to say."""
    items: tuple[Item, ...] = LogReader().items(Told(log.topic, record.offset, record.value))
    return [item for item in items if isinstance(item, LegEvent)]
