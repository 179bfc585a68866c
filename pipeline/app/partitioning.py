"""Which partition a key belongs to: murmur2, as Kafka's Java clients choose."""

from __future__ import annotations

from functools import lru_cache
from struct import unpack

_SEED, _M, _R, _MASK = 0x9747B28C, 0x5BD1E995, 24, 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return Kafka's 32-bit murmur2 of some bytes, unsigned."""
    length = len(data)
    whole = length - length % 4
    value = (_SEED ^ length) & _MASK
    for block in unpack(f"<{whole // 4}I", data[:whole]):
        mixed = block * _M & _MASK
        value = (value * _M & _MASK) ^ ((mixed ^ mixed >> _R) * _M & _MASK)
    if whole < length:
        value = (value ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    value = (value ^ value >> 13) * _M & _MASK
    return value ^ value >> 15


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a record with this key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
