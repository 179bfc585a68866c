"""Records that no source may send: one of every kind that a reader refuses."""

from __future__ import annotations

from random import Random

KINDS: tuple[bytes | None, ...] = (
    b"<event>no JSON</event>",
    b'{"leg_id": "cut off", "kind": "offe',
    b"\x80\x81\x00\xff" * 20,
    None,
    b"",
    b"17",
    b'{"kind": "offered", "at_ms": 1700000000000}',
    b'{"leg_id": "x", "kind": "sneezed", "at_ms": 1700000000000}',
    b'{"leg_id": "x", "kind": "bridged", "at_ms": 1700000000000}',
    b'{"leg_id": "x", "kind": "offered", "at_ms": 1700000000000, "surprise": true}',
    b'{"leg_id": "x", "kind": "offered", "at_ms": 200000000000000}',
)
KEYS = (b"", b"poison", b"\xff\xfe")


def burst(dice: Random, count: int) -> list[tuple[bytes | None, bytes | None]]:
    """Keys and values of bad records."""
    return [(dice.choice(KEYS), dice.choice(KINDS)) for _ in range(count)]
