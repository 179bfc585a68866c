"""What must hold of the records in the output topics, whatever was done to the workers.

"Equal" compares the last record of every key, keys sorted, without `revision` and `revision_reason`, byte for byte. Rows that were withdrawn depend on the
order in which links came, so of them only this is asked: the leg or call is really elsewhere. A tally row that counts nothing is such
a withdrawn row too: a caller stood in the window of no queue until the visit to one was known.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pipeline.app.codec import encode, key_of
from pipeline.core.inspection import CALL_PARTS, LEG_PARTS
from pipeline.core.model import CallRow, LegRow, TallyRow
from pipeline.workbench.kept import Kept

PARTS = {"legs": LEG_PARTS, "calls": CALL_PARTS}


def without_revision(value: bytes) -> bytes:
    row = json.loads(value)
    del row["revision"]
    row.pop("revision_reason", None)  # like the revision it tells when facts came
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()


def last_values(records: Iterable[Any]) -> dict[bytes, bytes]:
    """The last value of every key, keys sorted; a tombstone takes its key away."""
    last: dict[bytes, bytes | None] = {record.key: record.value for record in records}
    return {key: value for key, value in sorted(last.items()) if value is not None}


def is_withdrawn(value: bytes) -> bool:
    row = json.loads(value)
    if "window_size_s" in row:
        return not any(row[part] for parts in PARTS.values() for part in parts)
    return bool(row["is_deleted"])


def standing(records: Iterable[Any]) -> dict[bytes, bytes]:
    """The last value of every key that is not withdrawn, without its revision."""
    return {key: without_revision(value) for key, value in last_values(records).items() if not is_withdrawn(value)}


def replayed(rows: Iterable[LegRow | CallRow | TallyRow]) -> dict[bytes, bytes]:
    """The same of what a replay has kept."""
    told = {key_of(row): encode(row) for row in rows}
    return {key: without_revision(value) for key, value in sorted(told.items()) if not is_withdrawn(value)}


def assert_equal(told: dict[bytes, bytes], expected: dict[bytes, bytes]) -> None:
    """As dictionaries of bytes, with a readable message for the first difference."""
    assert told.keys() == expected.keys(), f"only told {sorted(told.keys() - expected)}, only expected {sorted(expected.keys() - told)}"
    differing = [(key, told[key], expected[key]) for key in expected if told[key] != expected[key]]
    assert not differing, f"{len(differing)} of {len(expected)} differ, the first: {differing[0]}"
    assert expected, "nothing was expected: the comparison would prove nothing"


def assert_as_replayed(legs: Sequence[Any], results: Sequence[Any], tallies: Sequence[Any], kept: Kept) -> None:
    assert_equal(standing(legs), replayed(kept.legs.values()))
    assert_equal(standing(results), replayed(kept.results.values()))
    assert_equal(standing(tallies), replayed(kept.tallies.values()))


def assert_revisions_grow(records: Sequence[Any]) -> None:
    """No (key, revision) twice, and never back, in the order of the log."""
    reached: dict[bytes, int] = {}
    for record in records:
        if record.value is None:
            continue
        revision = json.loads(record.value)["revision"]
        assert revision > reached.get(record.key, 0), f"{record.key!r} has revision {revision} after {reached[record.key]}"
        reached[record.key] = revision


def assert_balanced(tallies: Sequence[Any]) -> None:
    """In every record that was ever published: offered is the sum of the others, and nothing is negative."""
    for record in tallies:
        row = json.loads(record.value)
        for unit, parts in PARTS.items():
            assert row[f"{unit}_offered"] == sum(row[part] for part in parts), row
        below = {"legs_pending", "calls_pending"} if row["attribution"] == "activity" else set()  # by how much it changed
        assert not [name for name, value in row.items() if isinstance(value, int) and value < 0 and name not in {*below, "utc_offset_s"}], (
            row
        )


def assert_withdrawn_are_elsewhere(legs: Sequence[Any]) -> None:
    """A withdrawn leg that names its new call has a row there; one that names none is nobody's leg and has no row at all."""
    rows = [json.loads(value) for value in last_values(legs).values()]
    homes = defaultdict(set)
    for row in rows:
        if not row["is_deleted"]:
            homes[row["leg_id"]].add(row["call_id"])
    for leg_id, calls in homes.items():
        assert len(calls) == 1, f"leg {leg_id} stands in the calls {sorted(calls)}"
    for row in rows:
        if row["is_deleted"]:
            assert row["result"] is None, row
            assert row["call_id"] not in homes[row["leg_id"]], row
            assert bool(homes[row["leg_id"]]) == (row["moved_to_call_id"] is not None), row


def results_of(legs: Iterable[Any]) -> dict[str, str]:
    """leg_id -> result, of the rows that stand."""
    rows = (json.loads(value) for value in standing(legs).values())
    return {row["leg_id"]: row["result"] for row in rows}


def facts(records: Iterable[Any]) -> Iterator[tuple[str, bytes, bytes | None]]:
    """Topic, key and value: two readings of a topic are compared by them."""
    for record in records:
        yield record.topic, record.key, record.value


def counted(records: Iterable[Any]) -> Counter[tuple[str, bytes, bytes | None]]:
    return Counter(facts(records))
