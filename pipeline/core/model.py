"""The vocabulary: the canonical event, the facts' words, the verdict, the policy, the rows that go out.

Times are integer milliseconds since 1970 UTC unless a name says otherwise. Every public type here is a contract of a topic or
of the settings; its JSON Schema in schemas/ is generated from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MAX_ID_LENGTH = 256
LATEST_MS = 253_370_764_800_000  # 9999-01-01: later is a unit error (microseconds sent as milliseconds)

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]
Word = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]
AtMs = Annotated[int, Meta(ge=0, le=LATEST_MS, description="when the thing happened, ms since 1970 UTC")]
DurationMs = Annotated[int, Meta(ge=0, le=LATEST_MS, description="milliseconds")]

Seq = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
SipStatus = Annotated[int, Meta(ge=100, le=699)]

Kind = Literal[
    "offered", "ringing", "answered", "bridged", "unbridged", "ended",
    "queue_joined", "queue_left", "held", "unheld", "noted",
]  # fmt: skip
Direction = Literal["inbound", "outbound"]
EndedBy = Literal["far_refused", "far_hung_up", "platform"]
QueueExit = Literal["queue_timeout", "queue_no_agents", "queue_exit_key", "abandoned"]
Flag = Literal["loser", "after_hours", "blocked", "voicemail", "no_balance", "bad_number", "machine_leg"]
Silence = Literal["answers", "ringing", "bridges"]


class Result(StrEnum):
    """The six results, a closed set."""

    __hash__ = str.__hash__  # the one of Enum is written in Python and costs a tenth of a verdict

    ANSWERED = "Answered"
    BUSY = "Busy"
    CANCEL = "Cancel"
    LOSE_RACE = "Lose-race"
    FAILED = "Failed"
    TIMEOUT = "Timeout"


Role = Literal["pseudo", "caller", "customer", "agent"]
Context = Literal["autodialer", "manual_outbound", "inbound_queue", "inbound_direct", "internal"]
ROLES: tuple[Role, ...] = ("pseudo", "caller", "customer", "agent")
"""Strongest evidence first: of two hints about one leg the earlier word counts."""
CONTEXTS: tuple[Context, ...] = ("autodialer", "manual_outbound", "inbound_queue", "inbound_direct", "internal")
"""Strongest evidence first: of all hints in one call the earliest word counts."""


class LegEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One thing that happened to one leg: the canonical event, the value of a record of `calls.events`."""

    leg_id: Annotated[Id, Meta(description="the vendor's own id of the dialog between switch and endpoint")]
    kind: Annotated[Kind, Meta(description="what happened")]
    at_ms: AtMs
    tenant: Annotated[str, Meta(max_length=MAX_ID_LENGTH, pattern="^[^|]*$", description="from the source's settings")] = ""
    source: Annotated[str, Meta(max_length=MAX_ID_LENGTH, description="vendor and switch instance; for diagnosis only")] = ""
    core_id: Annotated[
        Id | None,
        Meta(
            description="the switch's id of its own run, another one after each restart; needs `source`. A new run ends the old one's legs"
        ),
    ] = None
    source_seq: Annotated[Seq | None, Meta(description="the switch's own counter; never decides")] = None
    origin: Annotated[
        str, Meta(max_length=MAX_ID_LENGTH, description="raw topic and partition, `topic/3`; empty: written to calls.events directly")
    ] = ""
    group_id: Annotated[Id | None, Meta(description="a vendor's id of the contact; never a leg_id, never a link")] = None
    parent_leg_id: Annotated[Id | None, Meta(description="the leg that caused this offer")] = None
    link_rank: Annotated[int, Meta(ge=0, le=99, description="of two links of a leg the smaller rank is the better evidence")] = 0
    peer_leg_id: Annotated[Id | None, Meta(description="bridged, unbridged: the other side")] = None
    direction: Annotated[Direction | None, Meta(description="seen from the switch")] = None
    role: Annotated[Role | None, Meta(description="what the source says this leg is")] = None
    context: Annotated[Context | None, Meta(description="what the source says this call is")] = None
    queue: Annotated[Word | None, Meta(description="the queue that the call waits in or that made the offer")] = None
    agent: Annotated[Word | None, Meta(description="who was offered the call")] = None
    dialed: Annotated[Word | None, Meta(description="the number that the caller dialed; only names the queue (settings)")] = None
    visit_id: Annotated[Id | None, Meta(description="queue_joined, queue_left: one stay of the caller in one queue")] = None
    joined_ms: Annotated[AtMs | None, Meta(description="queue_joined, queue_left: when this visit began")] = None
    cannot_report: Annotated[tuple[Silence, ...], Meta(description="what this source never tells")] = ()
    cause: Annotated[Word | None, Meta(description="ended: the hangup cause's name in upper case")] = None
    cause_space: Annotated[Word | None, Meta(description="ended: who numbered the cause: freeswitch, q850, sip, ...")] = None
    authority: Annotated[int, Meta(ge=0, le=9, description="ended: 0 full record, 1 hangup notice, 2 housekeeping")] = 0
    ended_by: Annotated[
        EndedBy | None,
        Meta(description="far end gave a final status; far end sent BYE or CANCEL; the switch ended it"),
    ] = None
    sip_status: Annotated[SipStatus | None, Meta(description="final status by the far end, with far_refused")] = None
    ring_limit_ms: Annotated[DurationMs | None, Meta(description="the ring time that was set for this leg")] = None
    queue_exit: Annotated[QueueExit | None, Meta(description="how the caller left the queue")] = None
    flags: Annotated[tuple[Flag, ...], Meta(description="evidence that something else recorded")] = ()


class WeekHours(msgspec.Struct, frozen=True, kw_only=True):
    """Working hours of one queue: `week[0]` is Monday; each pair is minutes of the local day, [open, close)."""

    tz: str
    week: tuple[tuple[tuple[int, int], ...], ...]
    holidays: frozenset[str] = frozenset()  # local dates, YYYY-MM-DD, on which the queue is closed


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a verdict, a tally or the life of state depends on besides the facts (verdicts, section 1)."""

    same_moment_ms: int = 60
    race_window_ms: int = 1_500
    ring_limit_tolerance_ms: int = 1_000
    timeout_only_in_autodialer: bool = False
    settle_ms: int = 5_000
    offered_ttl_ms: int = 15 * 60_000
    ttl_ms: int = 4 * 3_600_000
    root_wait_ms: int = 60_000
    retention_ms: int = 3_600_000
    closed_memory_ms: int = 7 * 86_400_000
    short_abandoned_ms: int = 5_000
    window_sizes_ms: tuple[int, ...] = (60_000, 900_000, 3_600_000, 86_400_000)
    zone: str = "UTC"  # of windows where no queue says otherwise
    grace_ms: int = 30_000
    tally_retention_ms: int = 2 * 86_400_000
    max_legs: int = 1_000
    hours: Mapping[str, WeekHours] = msgspec.field(default_factory=dict)  # by queue
    zone_of: Mapping[str, str] = msgspec.field(default_factory=dict)  # queue -> time zone
    queue_of_number: Mapping[str, str] = msgspec.field(default_factory=dict)  # the dialed number -> queue


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What decided: the result, an open word that refines it, and the row of the rule table."""

    result: Result
    reason: str
    rule: str
    needs_review: bool = False


class LegRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One leg and its verdict: the value of a record of `calls.legs`, key `tenant|call_id|leg_id`."""

    tenant: str
    call_id: str
    leg_id: str
    result: Annotated[Result | None, Meta(description="null only on a withdrawn row")]
    reason: Annotated[str | None, Meta(description="snake_case word that refines the result")]
    rule: Annotated[str | None, Meta(description="the row of the rule table that decided")]
    final: Annotated[bool, Meta(description="the call is complete and settled")]
    needs_review: Annotated[bool, Meta(description="decided on missing or unknown evidence")]
    role: Role | None
    context: Context | None
    direction: Direction | None
    queue: str | None
    agent: str | None
    parent_leg_id: str | None
    winner_leg_id: Annotated[str | None, Meta(description="the leg that won this call's race, if any")]
    is_winner: bool
    lost_by_ms: Annotated[int | None, Meta(description="a loser's end minus the answer of the winner it raced with, ms")]
    offered_ms: int | None
    rang_ms: int | None
    answered_ms: int | None
    bridged_ms: Annotated[int | None, Meta(description="earliest bridge, ms since 1970 UTC")]
    ended_ms: int | None
    ring_ms: Annotated[int | None, Meta(description="from ringing (else offer) to answer (else end), ms")]
    talk_ms: Annotated[int | None, Meta(description="time bridged, overlaps once, ms; null if never answered")]
    hold_ms: Annotated[int | None, Meta(description="time on hold, ms; null if never answered")]
    cause: Annotated[str | None, Meta(description="the hangup cause's name as the switch gave it")]
    ended_by: EndedBy | None
    sip_status: int | None
    source: str
    is_deleted: Annotated[bool, Meta(description="this leg is no longer in this call")]
    moved_to_call_id: Annotated[str | None, Meta(description="where a withdrawn leg went")]
    revision: Annotated[int, Meta(ge=1, description="number of the corrected record, from 1")]


class CallRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One call and its result: the value of a record of `calls.results`, key `tenant|call_id`."""

    tenant: str
    call_id: str
    result: Annotated[Result | None, Meta(description="null only on a withdrawn row")]
    reason: str | None
    rule: Annotated[str | None, Meta(description="K1, K2 or K3: which legs speak for the call")]
    decided_by_leg_id: str | None
    decided_by_rule: Annotated[str | None, Meta(description="the rule that decided that leg")]
    final: bool
    needs_review: bool
    context: Context | None
    queue: Annotated[str | None, Meta(description="the last queue that the call visited, else the offers' queue")]
    queues: Annotated[str | None, Meta(description="every queue that the call visited, in order, joined by commas")]
    winner_leg_id: Annotated[str | None, Meta(description="the leg that won this call's race; of a picked-up call one of another call")]
    answered_by: Annotated[str | None, Meta(description="the winner's agent, where known")]
    rounds: Annotated[int, Meta(description="how often agents were rung anew after all earlier offers had been answered or had ended")]
    started_ms: Annotated[int | None, Meta(description="earliest offer of any leg")]
    answered_ms: Annotated[int | None, Meta(description="the winner's answer")]
    ended_ms: Annotated[int | None, Meta(description="latest end of any leg")]
    wait_ms: Annotated[int | None, Meta(description="from the caller's first queue entry (else offer) to the win (else end), ms")]
    talk_ms: Annotated[int | None, Meta(description="sum over the answered offered legs, ms")]
    legs_offered: int
    legs_answered: int
    legs_lose_race: int
    legs_busy: int
    legs_cancel: int
    legs_failed: int
    legs_timeout: int
    legs_pending: int
    source: str
    is_deleted: bool
    moved_to_call_id: str | None
    revision: Annotated[int, Meta(ge=1)]


WindowState = Literal["open", "final", "reopened"]
Attribution = Literal["cohort", "activity"]
ChangeReason = Literal["late_call", "late_leg", "expiry", "correction"]
"""Why a number changed after its time; of several the last of these words counts."""
BANDS_S = (5, 10, 15, 20, 25, 30, 45, 60, 90, 120, 180, 240, 300, 600)
"""Waits of at most so many seconds have columns of their own."""


class WindowRow(msgspec.Struct, kw_only=True, gc=False):
    """What every record of tallies says of its window."""

    tenant: str
    attribution: Annotated[
        Attribution, Meta(description="cohort: all in the window of the offer; activity: each in the window in which it happened")
    ]
    window_size_s: int
    window_start_ms: int
    window_end_ms: int
    tz: Annotated[str, Meta(description="the time zone whose wall clock the window is aligned to")]
    utc_offset_s: Annotated[int, Meta(description="local time minus UTC at the window's start, s")]
    local_date: Annotated[str, Meta(description="YYYY-MM-DD at the window's start")]
    local_start: Annotated[str, Meta(description="YYYY-MM-DDTHH:MM:SS, the wall clock at the window's start")]
    window_state: Annotated[
        WindowState, Meta(description="final: its end plus grace has passed and everything in it is closed; reopened: not so again")
    ]
    completeness: Annotated[float, Meta(ge=0, le=1, description="share of its calls (of an agent: legs) that have an outcome")]
    revision: Annotated[int, Meta(ge=1)]
    revision_reason: Annotated[ChangeReason | None, Meta(description="why it changed after its time; null if it did not")]


class LegTally(WindowRow, kw_only=True, gc=False):
    """What a window counts of legs. `legs_offered` equals the seven fields after it."""

    leg_reasons: Annotated[dict[str, int], Meta(description="`Result.reason` -> legs")]
    legs_offered: int = 0
    legs_answered: int = 0
    legs_lose_race: int = 0
    legs_busy: int = 0
    legs_cancel: int = 0
    legs_failed: int = 0
    legs_timeout: int = 0
    legs_pending: Annotated[int, Meta(description="without a result; activity: by how much their number changed")] = 0
    legs_rang_lost: Annotated[int, Meta(description="lost the race and had rung")] = 0
    legs_never_rang: Annotated[int, Meta(description="ended unanswered without ringing, by a source that can tell")] = 0
    races: Annotated[int, Meta(description="races won")] = 0
    race_legs: Annotated[int, Meta(description="sum of the legs open at the wins of these races, winners included")] = 0
    race_margin_ms: Annotated[int, Meta(description="sum of the losers' ends minus the answers of their winners, ms")] = 0
    legs_ring_ms: Annotated[int, Meta(description="sum of ring time of legs with a result, ms")] = 0
    legs_ring_answered_ms: int = 0
    legs_ring_lose_race_ms: int = 0
    legs_ring_busy_ms: int = 0
    legs_ring_cancel_ms: int = 0
    legs_ring_failed_ms: int = 0
    legs_ring_timeout_ms: int = 0
    legs_talk_ms: Annotated[int, Meta(description="sum of talk time of legs with a result, ms")] = 0


class AgentTallyRow(LegTally, kw_only=True, gc=False):
    """One window of one agent: the value of a record of `calls.tallies.agents`, key `tenant|agent|attribution|window_size_s|window_start_ms`."""

    agent: str


class TallyRow(LegTally, kw_only=True, gc=False):
    """One window of one queue: the value of a record of `calls.tallies`, key `tenant|queue|attribution|window_size_s|window_start_ms`.

    `calls_offered` equals the nine fields after it.
    """

    queue: str
    call_reasons: Annotated[dict[str, int], Meta(description="`outcome.reason` -> calls")]
    calls_offered: int = 0
    calls_answered: int = 0
    calls_abandoned: int = 0
    calls_flow_out: Annotated[int, Meta(description="left the queue otherwise: limit, no agents, key, voicemail, another queue")] = 0
    calls_outside_working_hours: int = 0
    calls_busy: int = 0
    calls_timeout: int = 0
    calls_lose_race: int = 0
    calls_failed: int = 0
    calls_pending: Annotated[int, Meta(description="without an outcome; activity: by how much their number changed")] = 0
    calls_short_abandoned: Annotated[int, Meta(description="the part of calls_abandoned after a wait of at most short_abandoned_s")] = 0
    calls_wait_ms: Annotated[int, Meta(description="sum of the waits that are over, ms")] = 0
    calls_answered_wait_ms: int = 0
    calls_abandoned_wait_ms: int = 0
    answered_le_5_s: int = 0
    answered_le_10_s: int = 0
    answered_le_15_s: int = 0
    answered_le_20_s: int = 0
    answered_le_25_s: int = 0
    answered_le_30_s: int = 0
    answered_le_45_s: int = 0
    answered_le_60_s: int = 0
    answered_le_90_s: int = 0
    answered_le_120_s: int = 0
    answered_le_180_s: int = 0
    answered_le_240_s: int = 0
    answered_le_300_s: int = 0
    answered_le_600_s: int = 0
    abandoned_le_5_s: int = 0
    abandoned_le_10_s: int = 0
    abandoned_le_15_s: int = 0
    abandoned_le_20_s: int = 0
    abandoned_le_25_s: int = 0
    abandoned_le_30_s: int = 0
    abandoned_le_45_s: int = 0
    abandoned_le_60_s: int = 0
    abandoned_le_90_s: int = 0
    abandoned_le_120_s: int = 0
    abandoned_le_180_s: int = 0
    abandoned_le_240_s: int = 0
    abandoned_le_300_s: int = 0
    abandoned_le_600_s: int = 0
    wait_p50_ms: Annotated[int, Meta(description="of the waits of answered and abandoned calls, at most 1/64 too high")]
    wait_p90_ms: int
    wait_p95_ms: int
    wait_p99_ms: int
    wait_max_ms: int
    ring_p50_ms: Annotated[int, Meta(description="of the ring times of legs with a result, at most 1/64 too high")]
    ring_p90_ms: int
    ring_p95_ms: int
    ring_p99_ms: int
    ring_max_ms: int
    ring_answered_max_ms: int
    ring_lose_race_max_ms: int
    ring_busy_max_ms: int
    ring_cancel_max_ms: int
    ring_failed_max_ms: int
    ring_timeout_max_ms: int
    race_legs_max: int
    waits: Annotated[dict[str, int], Meta(description="the distribution of waits: greatest ms of a bucket -> calls")]
    rings: Annotated[dict[str, int], Meta(description="the distribution of ring times: greatest ms of a bucket -> legs")]


class AuditRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One change of one window after its time: the value of a record of `calls.audit`."""

    tenant: str
    queue: Annotated[str | None, Meta(description="the queue that was counted; null where an agent was")]
    agent: str | None
    attribution: Attribution
    window_size_s: int
    window_start_ms: int
    reason: ChangeReason
    call_id: str
    leg_id: Annotated[str | None, Meta(description="the leg that changed; null if the call or one of its visits did")]
    rule: Annotated[str | None, Meta(description="the row of the rule table that decides now; null while nothing does")]
    at_ms: Annotated[int, Meta(description="stream time of the change")]
    change: Annotated[Mapping[str, int], Meta(description="the columns and by how much")]


LateReason = Literal["call_closed", "window_closed", "too_many_legs"]


class LateRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A fact that came after its call or window was gone: the value of a record of `calls.late`."""

    tenant: str
    call_id: str
    reason: LateReason
    late_ms: Annotated[int, Meta(description="stream time minus the fact's own time, ms")]
    leg_id: str | None = None
    kind: str | None = None
    at_ms: int | None = None
    queue: str | None = None
    agent: str | None = None
    attribution: Attribution | None = None
    window_size_s: int | None = None
    window_start_ms: int | None = None
    change: Annotated[Mapping[str, int], Meta(description="window_closed: the columns and by how much")] = {}


class Retired(msgspec.Struct, frozen=True, gc=False):
    """The tombstone of a withdrawn row, due when retention is over. `leg_id` None: the call's row."""

    tenant: str
    call_id: str
    leg_id: str | None
