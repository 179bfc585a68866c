"""Was a queue open at a moment: weekly hours and holidays in the queue's own time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from pipeline.core.model import WeekHours


def is_open(hours: WeekHours, at_ms: int) -> bool:
    """Tell whether the queue takes calls at this moment. The local day of the moment decides, holidays included."""
    local = datetime.fromtimestamp(at_ms / 1000, tz=UTC).astimezone(ZoneInfo(hours.tz))
    if local.date().isoformat() in hours.holidays:
        return False
    minute = local.hour * 60 + local.minute
    return any(opens <= minute < closes for opens, closes in hours.week[local.weekday()])
