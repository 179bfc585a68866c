"""Bytes and values: the records of our topics, their keys and headers, and the images of state.

Values are flat JSON with one field order, state is MessagePack with sorted sets and maps: the same value gives the same bytes.
Here is neither Faust nor a Kafka client: `replay` and `explain` read and write the same bytes.
"""

from __future__ import annotations

import struct
import zlib

import cramjam
import msgspec

from pipeline.app.topics import SCHEMA_VERSION
from pipeline.core.assembly import Standing
from pipeline.core.call import Call, call_of_stored, stored_call
from pipeline.core.inspection import began, is_open
from pipeline.core.model import AgentTallyRow, AuditRow, CallRow, LateRow, LegEvent, LegRow, TallyRow, WindowRow
from pipeline.core.routing import Control, Item
from pipeline.core.stored import Closed, Partial, Reached, StoredCall, Total
from pipeline.core.totals import TotalKey
from pipeline.errors import BadRecord
from pipeline.vendors import canonical

Row = LegRow | CallRow | TallyRow | AgentTallyRow | AuditRow | LateRow
HEADERS: tuple[tuple[str, bytes], ...] = (("content-type", b"application/json"), ("schema-version", b"%d" % SCHEMA_VERSION))
"""Of every record that a reader outside is meant to read."""
CONTROL_KEY = b"control"
"""Of records that are for a whole partition: watermarks, reviews."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on bytes that are not what they should be."""

encode = msgspec.json.Encoder().encode
"""A row, an event or a control record as JSON."""

_CONTROL = b'{"control":'
_control = msgspec.json.Decoder(Control)
_event = msgspec.json.Decoder(LegEvent)
_tally_item: msgspec.json.Decoder[Partial | Reached] = msgspec.json.Decoder(Partial | Reached)


def key_bytes(*parts: str) -> bytes:
    """Return a record's key: the parts joined by `|`; a `|` or `%` inside a part is percent-encoded."""
    plain = "|".join(parts)
    if "%" not in plain and plain.count("|") == len(parts) - 1:
        return plain.encode()
    return "|".join(part.replace("%", "%25").replace("|", "%7C") if "|" in part or "%" in part else part for part in parts).encode()


def key_of(row: Row) -> bytes:
    """Return the primary key of a row, as the key of its record."""
    if isinstance(row, LegRow):
        return key_bytes(row.tenant, row.call_id, row.leg_id)
    if isinstance(row, TallyRow):
        return window_key(row, row.queue)
    if isinstance(row, AgentTallyRow):
        return window_key(row, row.agent)
    if isinstance(row, AuditRow):
        return window_key(row, row.agent if row.queue is None else row.queue)
    return key_bytes(row.tenant, row.call_id)


def window_key(row: WindowRow | AuditRow, name: str | None) -> bytes:
    """Return the key of a record about a window of this queue or agent."""
    return key_bytes(row.tenant, name or "", row.attribution, str(row.window_size_s), str(row.window_start_ms))


def decode_item(value: bytes | None) -> tuple[Item, ...]:
    """Return what a record of calls.events says. Raises BadRecord for what no producer of ours wrote."""
    if value is None:
        raise BadRecord("empty", "a record of calls.events has no value: write a LegEvent")
    if value.startswith(_CONTROL):
        try:
            return (_control.decode(value),)
        except UNREADABLE as error:
            raise BadRecord("not_a_control_record", f"{error}: only callverdict writes control records") from None
    try:
        event = _event.decode(value)
    except UNREADABLE:
        return canonical.parse(value)  # which says what is wrong, or reads an array
    return (event,) if event.origin else canonical.parse(value)


def decode_tally_item(value: bytes | None) -> Partial | Reached:
    """Return what a record of calls.tallies.partial says. Raises BadRecord."""
    try:
        return _tally_item.decode(value or b"")
    except UNREADABLE as error:
        raise BadRecord("not_a_partial", f"{error}: only callverdict writes to this topic") from None


# State. A key begins with what it is the key of; a value begins with the version of its layout.

_PLAIN, _PACKED = b"\x01", b"\x02"
_PACK_FROM_BYTES = 200_000
_SHORT_CALL, _LARGE_CALL = b"\x03", b"\x04"
_STANDING = struct.Struct(">c?qq")  # which of these two; is_dirty, due_ms, began_ms; -1: None
HOME = b"h"
"""Begins the key of a call, or of what is left of it."""
_CLOSED, _TOTAL, _CLOCK = b"z", b"t", b"w"
_pack = msgspec.msgpack.Encoder(order="deterministic").encode
_total_key = msgspec.json.Decoder(TotalKey)
_call, _closed = msgspec.msgpack.Decoder(StoredCall), msgspec.msgpack.Decoder(Closed)
_total = msgspec.msgpack.Decoder(Total)
_clock: msgspec.msgpack.Decoder[tuple[int, dict[str, int]]] = msgspec.msgpack.Decoder(tuple[int, dict[str, int]])
_cores: msgspec.msgpack.Decoder[dict[str, dict[str, dict[str, int]]]] = msgspec.msgpack.Decoder(dict[str, dict[str, dict[str, int]]])
_reached: msgspec.msgpack.Decoder[dict[str, int]] = msgspec.msgpack.Decoder(dict[str, int])
CLOCK_KEY = _CLOCK
SIZES_KEY = b"p"
CORES_KEY = b"r"


class UnknownStateError(Exception):
    """The changelog was written by another version of the program."""

    def __init__(self, key: bytes) -> None:
        super().__init__(f"changelog record {key!r} has a layout that this version does not know: start on new topics and replay")


def home_record(key: str, home: Call | Closed | None) -> tuple[bytes, bytes | None]:
    """Return the changelog record of a key of calls."""
    if home is None:
        return HOME + key.encode(), None
    return HOME + key.encode(), call_image(home) if isinstance(home, Call) else _image(_CLOSED + _pack(home))


def call_image(call: Call) -> bytes:
    """Return a call as the changelog holds it: how it stands, then its facts, a third as long as they are."""
    facts = _pack(stored_call(call))
    is_large = len(facts) >= _PACK_FROM_BYTES
    layout = _LARGE_CALL if is_large else _SHORT_CALL
    due_ms, began_ms = -1 if call.due_ms is None else call.due_ms, began(call) if call.legs and is_open(call) else -1
    return _STANDING.pack(layout, call.is_dirty, due_ms, began_ms) + (
        zlib.compress(facts, 1) if is_large else bytes(cramjam.lz4.compress_block(facts))
    )


def standing(image: bytes) -> Standing:
    """Return how a call stands, read off its image."""
    _, is_dirty, due_ms, began_ms = _STANDING.unpack_from(image)
    return Standing(is_dirty, None if due_ms < 0 else due_ms, None if began_ms < 0 else began_ms)


def opened_call(image: bytes) -> Call:
    """Return the call that `call_image` was given."""
    facts = image[_STANDING.size :]
    plain = zlib.decompress(facts) if image[:1] == _LARGE_CALL else bytes(cramjam.lz4.decompress_block(facts))
    return call_of_stored(_call.decode(plain))


def total_record(key: TotalKey, total: Total | None) -> tuple[bytes, bytes | None]:
    """Return the changelog record of a window."""
    return _TOTAL + msgspec.json.encode(key), None if total is None else _image(_TOTAL + _pack(total))


def clock_record(state: tuple[int, dict[str, int]] | dict[str, int]) -> tuple[bytes, bytes]:
    """Return the changelog record of a partition's stream time."""
    return _CLOCK, _image(_CLOCK + _pack(state))


def cores_record(cores: dict[str, dict[str, dict[str, int]]]) -> tuple[bytes, bytes]:
    """Return the changelog record of the switches' runs."""
    return CORES_KEY, _image(CORES_KEY + _pack(cores))


def cores_of_record(value: bytes) -> dict[str, dict[str, dict[str, int]]]:
    """Return what `cores_record` was given."""
    return _cores.decode(_opened(CORES_KEY, value)[1])


def sizes_record(sizes_ms: tuple[int, ...]) -> tuple[bytes, bytes]:
    """Return the changelog record of the window sizes that are counted."""
    return SIZES_KEY, _image(SIZES_KEY + _pack(sizes_ms))


def sizes_of_record(value: bytes | None) -> tuple[int, ...] | None:
    """Return what `sizes_record` was given."""
    return None if value is None else msgspec.msgpack.decode(_opened(SIZES_KEY, value)[1], type=tuple[int, ...])


def _image(image: bytes) -> bytes:
    return _PLAIN + image if len(image) < _PACK_FROM_BYTES else _PACKED + zlib.compress(image, 1)


def _opened(key: bytes, value: bytes) -> tuple[bytes, bytes]:
    if value[:1] not in (_PLAIN, _PACKED):
        raise UnknownStateError(key)
    image = value[1:] if value[:1] == _PLAIN else zlib.decompress(value[1:])
    return image[:1], image[1:]


def home_of_record(key: bytes, value: bytes | None) -> tuple[str, bytes | Closed | None]:
    """Return what `home_record` was given, a call as its image."""
    name = key[1:].decode()
    if value is None or value[:1] in (_SHORT_CALL, _LARGE_CALL):
        return name, value
    what, image = _opened(key, value)
    if what != _CLOSED:
        raise UnknownStateError(key)
    return name, _closed.decode(image)


def total_of_record(key: bytes, value: bytes | None) -> tuple[TotalKey, Total | None]:
    """Return what `total_record` was given."""
    return _total_key.decode(key[1:]), None if value is None else _total.decode(_opened(key, value)[1])


def clock_of_record(value: bytes) -> tuple[int, dict[str, int]]:
    """Return stream time and the origins' watermarks."""
    return _clock.decode(_opened(CLOCK_KEY, value)[1])


def reached_of_record(value: bytes) -> dict[str, int]:
    """Return how far each partition of calls.events is."""
    return _reached.decode(_opened(CLOCK_KEY, value)[1])
