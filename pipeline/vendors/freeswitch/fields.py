"""The channel variables that carry facts, and what they tell: the same in an event (`variable_x`) and in a CDR (`x`).

Verdicts, section 5. Never read as a link: Channel-Call-UUID, call_uuid, signal_bond and Other-Leg-*, which show the partner of the
moment and turn around with who hangs up first; cc_member_uuid, which lives on in a resumed call; hangup_cause_q850, which is 16 for
every cause above 127.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from pipeline.core.model import CONTEXTS, MAX_ID_LENGTH, ROLES, Context, Direction, EndedBy, Flag, LegEvent, Role
from pipeline.vendors.freeswitch.values import Value, identity, is_true, seconds_ms, text, word

LINKS = ("originating_leg_uuid", "ent_originate_aleg_uuid", "originator", "cc_member_session_uuid")
"""Who caused this leg, best evidence first: the place is the link's rank."""
LOOPBACK_RANK = len(LINKS)
"""Below them: the B half of a loopback pair hangs under its A half (other_loopback_leg_uuid)."""
PSEUDO_PREFIXES = ("loopback/", "Local/", "pickup/", "error/", "group/")
"""Channels without a person behind them."""
DISPOSITIONS: dict[str, EndedBy] = {
    "recv_refuse": "far_refused",
    "recv_bye": "far_hung_up",
    "recv_cancel": "far_hung_up",
    "send_bye": "platform",
    "send_cancel": "platform",
    "send_refuse": "platform",
}
"""sip_hangup_disposition: who ended the leg."""
FLAGS: tuple[tuple[str, Flag], ...] = (
    ("x_after_hours", "after_hours"),
    ("x_blocked", "blocked"),
    ("x_voicemail", "voicemail"),
    ("x_no_balance", "no_balance"),
    ("x_bad_number", "bad_number"),
    ("x_machine", "machine_leg"),
    ("call_completed_elsewhere", "loser"),
)
"""Variables of which a true value is a flag; `flags` knows two more ways to be a loser or a mailbox."""
RING_LIMITS = ("x_ring_limit_s", "leg_timeout", "originate_timeout", "call_timeout")
"""Ring time in seconds; the first that is set counts."""

_ORIGINATOR_RANK = LINKS.index("originator")
_FLAG_WORDS: tuple[Flag, ...] = tuple(flag for _, flag in FLAGS)
_links: Callable[[Variables], tuple[Value, ...]] = attrgetter(*LINKS)
_flag_values: Callable[[Variables], tuple[Value, ...]] = attrgetter(*(name for name, _ in FLAGS))
_ring_limits: Callable[[Variables], tuple[Value, ...]] = attrgetter(*RING_LIMITS)


class Variables(msgspec.Struct, kw_only=True, gc=False):
    """Channel variables under their own names. What is not here is skipped, unread."""

    originating_leg_uuid: Value = None
    ent_originate_aleg_uuid: Value = None
    originator: Value = None
    cc_member_session_uuid: Value = None
    other_loopback_leg_uuid: Value = None
    loopback_leg: Value = None
    transfer_history: Value = None
    bridge_uuid: Value = None
    x_call_id: Value = None
    x_role: Value = None
    x_context: Value = None
    campaign_id: Value = None
    fifo_name: Value = None
    dialed_user: Value = None
    cc_side: Value = None
    cc_agent: Value = None
    cc_queue: Value = None
    cc_member_uuid: Value = None
    cc_cancel_reason: Value = None
    cc_queue_joined_epoch: Value = None
    cc_queue_canceled_epoch: Value = None
    cc_queue_terminated_epoch: Value = None
    x_after_hours: Value = None
    x_blocked: Value = None
    x_voicemail: Value = None
    x_no_balance: Value = None
    x_bad_number: Value = None
    x_machine: Value = None
    call_completed_elsewhere: Value = None
    group_dial_status: Value = None
    last_app: Value = None
    x_ring_limit_s: Value = None
    leg_timeout: Value = None
    originate_timeout: Value = None
    call_timeout: Value = None
    hangup_cause: Value = None
    sip_hangup_disposition: Value = None
    sip_term_status: Value = None
    sip_invite_failure_status: Value = None


class Switch(NamedTuple):
    """The switch that sent a record. `core_id`: its run, None of a switch without a name: nobody knows which one starts anew then."""

    source: str
    core_id: str | None


def switch_of(name: Value, core_uuid: Value) -> Switch:
    """Return the switch by its name and Core-UUID."""
    return _known_switch(name, core_uuid) if isinstance(name, str) and isinstance(core_uuid, str) else _switch(name, core_uuid)


def _switch(name: Value, core_uuid: Value) -> Switch:
    known = text(name)
    return Switch(f"freeswitch:{known}"[:MAX_ID_LENGTH], identity(core_uuid, "Core-UUID")) if known else Switch("freeswitch", None)


_known_switch = lru_cache(maxsize=64)(_switch)
"""There are few switches and they say it in every event."""


def note(
    leg_id: str, facts: Variables, *, direction: Value, channel_name: Value, dialed: Value, switch: Switch, source_seq: int | None = None
) -> LegEvent:
    """Return all that the variables hint at about a leg, as a `noted` event at 0: the other kinds are made from it by `replace`."""
    way = direction_of(direction)
    pseudo = is_pseudo(facts, channel_name)
    parent, rank = link(leg_id, facts, way, pseudo=pseudo)
    is_asking = way == "inbound" and parent is None and not pseudo
    return LegEvent(
        leg_id=leg_id,
        kind="noted",
        at_ms=0,
        source=switch.source,
        core_id=switch.core_id,
        source_seq=source_seq,
        group_id=identity(facts.x_call_id, "x_call_id"),
        parent_leg_id=parent,
        link_rank=rank,
        direction=way,
        role="pseudo" if pseudo else role(facts, way),
        context=context(facts),
        queue=word(facts.cc_queue if text(facts.cc_side) == "agent" else facts.fifo_name),
        agent=agent(facts, way),
        dialed=word(dialed) if is_asking else None,
        ring_limit_ms=ring_limit_ms(facts, way),
        flags=flags(facts),
    )


def direction_of(value: Value) -> Direction | None:
    """Return the direction seen from the switch, None if it is not known."""
    shown = text(value)
    if shown == "inbound":
        return "inbound"
    return "outbound" if shown == "outbound" else None


def is_pseudo(facts: Variables, channel_name: Value) -> bool:
    """Return whether nobody can be behind this channel."""
    name = text(channel_name)
    return text(facts.loopback_leg) is not None or (name is not None and name.startswith(PSEUDO_PREFIXES))


def link(leg_id: str, facts: Variables, way: Direction | None, *, pseudo: bool) -> tuple[str | None, int]:
    """Return the leg that caused this one and the link's rank; (None, 0) if none did.

    Nobody in the switch causes a leg that comes in, unless it is half a loopback pair. After a transfer `originator` names the
    present partner (uuid_bridge writes it), so there it does not count.
    """
    if way == "inbound" and not pseudo:
        return None, 0
    for rank, value in enumerate(_links(facts)):
        if value is None or (rank == _ORIGINATOR_RANK and facts.transfer_history is not None):
            continue
        parent = identity(value, LINKS[rank])
        if parent is not None and parent != leg_id:
            return parent, rank
    if text(facts.loopback_leg) == "B":
        parent = identity(facts.other_loopback_leg_uuid, "other_loopback_leg_uuid")
        if parent != leg_id:
            return parent, LOOPBACK_RANK if parent else 0
    return None, 0


def role(facts: Variables, way: Direction | None) -> Role | None:
    """Return the role that a variable gives. mod_callcenter's member is a caller only if he came in: a dialed customer stays customer."""
    if facts.x_role is None and facts.cc_side is None:
        return None
    explicit, side = text(facts.x_role), text(facts.cc_side)
    for known in ROLES:
        if explicit == known:
            return known
    if side == "agent":
        return "agent"
    return "caller" if side == "member" and way == "inbound" else None


def context(facts: Variables) -> Context | None:
    """Return the strongest hint about the call that this leg gives."""
    explicit = text(facts.x_context)
    implied = "autodialer" if facts.campaign_id else "inbound_queue" if facts.cc_queue or facts.fifo_name else None
    return next((known for known in CONTEXTS if known in (explicit, implied)), None) if explicit or implied else None


def agent(facts: Variables, way: Direction | None) -> str | None:
    """Return who was offered the call: the callcenter agent, else the directory user dialed. Never a number that was dialed."""
    if text(facts.cc_side) == "agent":
        return word(facts.cc_agent)
    return None if way == "inbound" else word(facts.dialed_user)


def flags(facts: Variables) -> tuple[Flag, ...]:
    """Return what else was recorded about the leg, in a fixed order."""
    values = _flag_values(facts)
    if not (any(values) or facts.group_dial_status or facts.last_app):
        return ()
    found = {flag for flag, value in zip(_FLAG_WORDS, values, strict=True) if value is not None and is_true(value)}
    if text(facts.group_dial_status) == "loser":
        found.add("loser")
    if text(facts.last_app) == "voicemail":
        found.add("voicemail")
    return tuple(flag for flag in _FLAG_WORDS if flag in found) if found else ()


def ring_limit_ms(facts: Variables, way: Direction | None) -> int | None:
    """Return the ring time set for this leg. On a leg that came in, all but x_ring_limit_s limit the legs that it will dial."""
    limits = (facts.x_ring_limit_s,) if way == "inbound" else _ring_limits(facts)
    return next(filter(None, map(seconds_ms, limits)), None) if any(limits) else None


def ended(noted: LegEvent, facts: Variables, *, authority: int, at_ms: int, cause: str) -> LegEvent:
    """Return the end of a leg. A SIP status counts only when the far end refused: a loser's 487 answers our own CANCEL."""
    ended_by = DISPOSITIONS.get(text(facts.sip_hangup_disposition) or "")
    status = _status(facts) if ended_by == "far_refused" else None
    return replace(
        noted,
        kind="ended",
        at_ms=at_ms,
        cause=cause.upper()[:MAX_ID_LENGTH],
        cause_space="freeswitch",
        authority=authority,
        ended_by=ended_by,
        sip_status=status,
    )


def _status(facts: Variables) -> int | None:
    shown = text(facts.sip_term_status) or text(facts.sip_invite_failure_status) or ""
    is_status = len(shown) == 3 and shown.isascii() and shown.isdecimal()
    return int(shown) if is_status and 100 <= int(shown) <= 699 else None
