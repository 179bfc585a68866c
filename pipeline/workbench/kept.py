"""What a reader of the output topics holds at last: the last row of every key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

from pipeline.app.codec import encode, key_bytes, key_of
from pipeline.core.model import AgentTallyRow, AuditRow, CallRow, LateRow, LegRow, Retired, TallyRow
from pipeline.workbench.offline import Row

Rows = Literal["legs", "results", "tallies", "tallies_agents", "audit", "late"]


class Kept:
    """What a reader of the output topics holds at last. A tombstone takes a withdrawn row away; late facts and audits are kept all."""

    def __init__(self) -> None:
        self.legs: dict[bytes, LegRow] = {}
        self.results: dict[bytes, CallRow] = {}
        self.tallies: dict[bytes, TallyRow] = {}
        self.tallies_agents: dict[bytes, AgentTallyRow] = {}
        self.audit: list[AuditRow] = []
        self.late: list[LateRow] = []

    def take(self, rows: Iterable[Row], retired: Iterable[Retired]) -> None:
        """Take what was put out since the last call, in its order."""
        for row in rows:
            if isinstance(row, LegRow):
                self.legs[key_of(row)] = row
            elif isinstance(row, CallRow):
                self.results[key_of(row)] = row
            elif isinstance(row, TallyRow):
                self.tallies[key_of(row)] = row
            elif isinstance(row, AgentTallyRow):
                self.tallies_agents[key_of(row)] = row
            elif isinstance(row, AuditRow):
                self.audit.append(row)
            else:
                self.late.append(row)
        for gone in retired:
            if gone.leg_id is None:
                self._retire(self.results, key_bytes(gone.tenant, gone.call_id))
            else:
                self._retire(self.legs, key_bytes(gone.tenant, gone.call_id, gone.leg_id))

    @staticmethod
    def _retire(kept: dict[bytes, LegRow] | dict[bytes, CallRow], key: bytes) -> None:
        if key in kept and kept[key].is_deleted:
            del kept[key]

    def lines(self, rows: Rows) -> Iterator[bytes]:
        """Yield the values of one output topic, sorted by key; the same rows give the same bytes."""
        if rows in ("late", "audit"):
            logged: list[LateRow] | list[AuditRow] = getattr(self, rows)
            yield from (value for _, value in sorted((key_of(row), encode(row)) for row in logged))
        else:
            kept: dict[bytes, Row] = getattr(self, rows)
            yield from (encode(kept[key]) for key in sorted(kept))

    def results_of(self, rows: Literal["legs", "results"]) -> Counter[str]:
        """Return how many legs or calls have each result; withdrawn rows do not count."""
        kept: dict[bytes, LegRow] | dict[bytes, CallRow] = getattr(self, rows)
        return Counter(row.result for row in kept.values() if row.result is not None)
