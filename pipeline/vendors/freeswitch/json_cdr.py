"""Call detail records of mod_json_cdr, one per channel, percent-encoded or not (its setting `encode-values`).

A transfer starts a new caller profile: the times of what came before stand only in the older entries of `callflow`, and bridge_uepoch
is 0 although the leg talked. So every entry is read.
"""

from __future__ import annotations

from urllib.parse import unquote

import msgspec
from msgspec.structs import astuple, replace

from pipeline.core.model import LegEvent, Silence
from pipeline.errors import BadRecord
from pipeline.vendors.freeswitch.fields import Switch, Variables, ended, note, switch_of
from pipeline.vendors.freeswitch.values import Value, decode, identity, least, moment_ms, seconds_ms, text
from pipeline.vendors.freeswitch.visits import last_visit

_LIST = "ARRAY::"
_LIST_SEPARATOR = "|:"
_UNSAFE = frozenset(" :@")  # what switch_url_encode never leaves as it is and every stamp or channel name has


class CdrVariables(Variables, kw_only=True, gc=False):
    """`variables`: the channel's variables and its times."""

    uuid: Value = None
    direction: Value = None
    channel_name: Value = None
    start_stamp: Value = None
    start_uepoch: Value = None
    progress_uepoch: Value = None
    progress_media_uepoch: Value = None
    answer_uepoch: Value = None
    bridge_uepoch: Value = None
    end_uepoch: Value = None
    billsec: Value = None


class Times(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`callflow[].times`."""

    created_time: Value = None
    progress_time: Value = None
    progress_media_time: Value = None
    answered_time: Value = None
    bridged_time: Value = None
    hangup_time: Value = None


class Profile(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`callflow[].caller_profile`, never percent-encoded."""

    destination_number: Value = None


class Flow(msgspec.Struct, kw_only=True):
    """One entry of `callflow`; the newest comes first."""

    times: Times = Times()
    caller_profile: Profile = Profile()


class Cdr(msgspec.Struct, kw_only=True):
    """The document."""

    switchname: Value = None
    core_uuid: Value = msgspec.field(default=None, name="core-uuid")
    variables: CdrVariables | None = None
    callflow: list[Flow] | Flow = []


_DECODER = msgspec.json.Decoder(Cdr)


def parse(value: bytes) -> tuple[LegEvent, ...]:
    """Return the whole life of the record's leg, at most seven facts in the order of a leg's life."""
    cdr = decode(_DECODER, value)
    if cdr.variables is None:
        raise BadRecord("missing_field", "the record has no `variables`: send the documents of mod_json_cdr as it writes them")
    facts = cdr.variables
    if not _is_plain(facts):
        _unquote(facts)
    _split_lists(facts)
    return _life(facts, cdr.callflow if isinstance(cdr.callflow, list) else [cdr.callflow], switch_of(cdr.switchname, cdr.core_uuid))


def _life(facts: CdrVariables, flows: list[Flow], switch: Switch) -> tuple[LegEvent, ...]:
    times = [flow.times for flow in flows]
    offered_ms = least(_variable_ms(facts, "start_uepoch"), *_each_ms(times, "created_time"))
    rang_ms = least(
        _variable_ms(facts, "progress_uepoch"),
        _variable_ms(facts, "progress_media_uepoch"),
        *_each_ms(times, "progress_time"),
        *_each_ms(times, "progress_media_time"),
    )
    ended_ms = _ended_ms(facts, times)
    noted = _noted(facts, flows, switch)
    return (
        *_known(noted, "offered", offered_ms),
        *_known(noted, "ringing", rang_ms),
        *_known(noted, "answered", _answered_ms(facts, times, ended_ms)),
        *_last_bridge(facts, times, noted),
        *last_visit(noted, facts, created_ms=offered_ms, ended_ms=ended_ms),
        ended(noted, facts, authority=0, at_ms=ended_ms, cause=text(facts.hangup_cause) or "NONE"),
    )


def _noted(facts: CdrVariables, flows: list[Flow], switch: Switch) -> LegEvent:
    leg_id = identity(facts.uuid, "variables.uuid")
    if leg_id is None:
        raise BadRecord("missing_leg_id", "the record has no variables.uuid: send the documents of mod_json_cdr as it writes them")
    dialed = flows[-1].caller_profile.destination_number if flows else None  # the oldest profile: before any transfer
    noted = note(leg_id, facts, direction=facts.direction, channel_name=facts.channel_name, dialed=dialed, switch=switch)
    return replace(noted, cannot_report=_silences(facts, flows))


def _silences(facts: CdrVariables, flows: list[Flow]) -> tuple[Silence, ...]:
    """Return what this record cannot tell: one without any field for an answer is silent about all that follows from it."""
    answers = (facts.answer_uepoch, facts.billsec, *(flow.times.answered_time for flow in flows))
    return ("answers", "ringing", "bridges") if all(answer is None for answer in answers) else ()


def _known(noted: LegEvent, kind: str, at_ms: int | None) -> tuple[LegEvent, ...]:
    return () if at_ms is None else (replace(noted, kind=kind, at_ms=at_ms),)


def _answered_ms(facts: CdrVariables, times: list[Times], ended_ms: int) -> int | None:
    answered_ms = least(_variable_ms(facts, "answer_uepoch"), *_each_ms(times, "answered_time"))
    billed_ms = seconds_ms(facts.billsec)
    if answered_ms is None and billed_ms is not None:
        return max(ended_ms - billed_ms, 0)
    return answered_ms


def _last_bridge(facts: CdrVariables, times: list[Times], noted: LegEvent) -> tuple[LegEvent, ...]:
    """Return the last bridge: bridge_uuid is the last partner, so of several times the latest is its time."""
    peer = identity(facts.bridge_uuid, "bridge_uuid")
    bridged_ms = _variable_ms(facts, "bridge_uepoch") or max(_each_ms(times, "bridged_time"), default=None)
    if peer is None or peer == noted.leg_id or bridged_ms is None:
        return ()
    return (replace(noted, kind="bridged", at_ms=bridged_ms, peer_leg_id=peer),)


def _ended_ms(facts: CdrVariables, times: list[Times]) -> int:
    ended_ms = _variable_ms(facts, "end_uepoch") or max(_each_ms(times, "hangup_time"), default=None)
    if ended_ms is None:
        raise BadRecord("missing_time", "the record has no variables.end_uepoch: send the documents of mod_json_cdr as it writes them")
    return ended_ms


def _variable_ms(facts: CdrVariables, name: str) -> int | None:
    return moment_ms(getattr(facts, name), name)


def _each_ms(times: list[Times], name: str) -> list[int]:
    return [time_ms for entry in times if (time_ms := moment_ms(getattr(entry, name), name)) is not None]


def _is_plain(facts: CdrVariables) -> bool:
    """Return whether the values are as they were (encode-values=false): then a % is a % and nothing must be decoded."""
    return any(not _UNSAFE.isdisjoint(text(value) or "") for value in (facts.start_stamp, facts.channel_name))


def _unquote(facts: CdrVariables) -> None:
    for name, value in zip(facts.__struct_fields__, astuple(facts), strict=True):
        if isinstance(value, str) and "%" in value:
            setattr(facts, name, unquote(value))


def _split_lists(facts: CdrVariables) -> None:
    for name, value in zip(facts.__struct_fields__, astuple(facts), strict=True):
        if isinstance(value, str) and value.startswith(_LIST):
            setattr(facts, name, value.removeprefix(_LIST).split(_LIST_SEPARATOR))
