"""Buckets of whole numbers: a distribution as counts, so that windows are merged by adding and a correction is subtracted exactly.

Below 128 every number is a bucket of its own; above that each doubling is cut into 64, so a bucket is at most 1/64 of its values wide.
(The layout of HdrHistogram.) A number is named by the greatest one of its bucket.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_EXACT_BITS = 7


def greatest(value: int) -> int:
    """Return the greatest number of the bucket that a number stands in; of a negative one 0."""
    if value < 1 << _EXACT_BITS:
        return max(value, 0)
    shift = value.bit_length() - _EXACT_BITS
    return (value >> shift << shift) + (1 << shift) - 1


def percentiles(counts: Mapping[int, int], wanted: Iterable[int]) -> list[int]:
    """Return for each p, in rising order, the bucket of the number at rank ceil(p/100 x n); 0 of nothing."""
    ordered = sorted((value, count) for value, count in counts.items() if count > 0)
    total = sum(count for _, count in ordered)
    found = []
    at, reached, value = iter(ordered), 0, 0
    for percent in wanted:
        rank = -(-percent * total // 100)
        while reached < rank:
            value, count = next(at)
            reached += count
        found.append(value)
    return found
