"""Fixtures of the vendors: tests/vendors/<vendor>/*.json, each a few records and what comes of them.

about      what a telephony engineer should check here
records    the inputs: an object or array is sent as JSON, a string as it stands
expected   the LegEvents of all records, in order; or
refused    the reason of the BadRecord that every record gives
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from pipeline.core.model import LegEvent
from pipeline.vendors import REASONS, VENDORS

HERE = Path(__file__).parent
RECORDINGS = HERE.parent / "recordings" / "freeswitch"


class Fixture(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file."""

    about: str
    records: list[Any]
    expected: list[LegEvent] | None = None
    refused: str | None = None

    def inputs(self) -> list[bytes]:
        return [record.encode() if isinstance(record, str) else msgspec.json.encode(record) for record in self.records]


@cache
def fixtures() -> dict[tuple[str, str], Fixture]:
    """Return every fixture by (vendor, name)."""
    return {(path.parent.name, path.stem): _load(path) for vendor in VENDORS for path in sorted((HERE / vendor).glob("*.json"))}


def _load(path: Path) -> Fixture:
    fixture = msgspec.json.decode(path.read_bytes(), type=Fixture)
    assert (fixture.expected is None) != (fixture.refused is None), f"{path.name}: give `expected` or `refused`"
    assert fixture.refused is None or fixture.refused in REASONS, f"{path.name}: {fixture.refused} is no reason"
    return fixture
