"""From a vendor's bytes to canonical events as they may leave: with tenant and origin, and with phone numbers as the operator wants.

`normalize` and `replay` share it, so both say the same of the same bytes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from pipeline.core.model import LegEvent, Policy
from pipeline.errors import BadRecord
from pipeline.settings import Settings, Source
from pipeline.vendors import VENDORS

HASH_LENGTH = 32
"""Hexadecimal digits that are kept of a keyed hash: 128 bits."""


class Intake:
    """Reads the records of one source."""

    def __init__(self, source: Source, settings: Settings, policy: Policy) -> None:
        self.vendor = source.vendor
        self._parse = VENDORS[source.vendor].parse
        self._tenant = source.tenant
        self._queue_of_number = policy.queue_of_number
        self._number = number_keeper(settings)

    def events(self, value: bytes | None, origin: str) -> tuple[LegEvent, ...]:
        """Return what one record says. Raises BadRecord for one that cannot be read."""
        if value is None:
            raise BadRecord("empty", "the record has no value: send the event itself, not a tombstone")
        events = self._parse(value)
        return tuple([self._marked(event, origin) for event in events]) if events else events

    def _marked(self, event: LegEvent, origin: str) -> LegEvent:
        if event.dialed is None:
            return replace(event, tenant=self._tenant, origin=origin)
        queue = event.queue or self._queue_of_number.get(event.dialed)
        return replace(event, tenant=self._tenant, origin=origin, queue=queue, dialed=self._number(event.dialed))


def latest_ms(events: Iterable[LegEvent], *, stamped_ms: int, clock_error_ms: int) -> int:
    """Return the latest time in a record's events, -1 if it has none. Raises BadRecord if it is later than the broker can have got it."""
    latest = -1
    for event in events:
        latest = max(latest, event.at_ms, event.joined_ms or 0)
    if latest > stamped_ms + clock_error_ms:
        raise BadRecord(
            "future_time",
            f"an event is {latest - stamped_ms} ms later than its record: mend the switch's clock, or raise the source's clock_error_s",
        )
    return latest


def number_keeper(settings: Settings) -> Callable[[str], str | None]:
    """Return what is done with a phone number before it reaches an output topic: kept, dropped, or hashed with the operator's key."""
    if settings.privacy.phone_numbers == "keep":
        return str
    if settings.privacy.phone_numbers == "drop":
        return lambda _number: None
    key = settings.privacy.phone_numbers_key.get_secret_value().encode()
    return lambda number: hmac.new(key, number.encode(), hashlib.sha256).hexdigest()[:HASH_LENGTH]
