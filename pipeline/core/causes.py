"""Hangup causes by name: class and reason of each (verdicts, section 3). A number counts only if its numbering is declared."""

from __future__ import annotations

import msgspec

from pipeline.core.model import Result

FREESWITCH = "switch_types.h, switch_call_cause_t"
Q850 = "ITU-T Q.850"
ASTERISK = "Asterisk causes.h and DialStatus"


class Cause(msgspec.Struct, frozen=True):
    """One name: the class that it falls into when nothing better decides, the reason, and who defines the name."""

    name: str
    result: Result
    reason: str
    source: str


def _rows(result: Result, reason: str, names: str, source: str = FREESWITCH) -> tuple[Cause, ...]:
    return tuple(Cause(name, result, reason, source) for name in names.split())


CAUSES: tuple[Cause, ...] = (
    *_rows(Result.BUSY, "busy", "USER_BUSY BUSY_EVERYWHERE"),
    *_rows(Result.BUSY, "busy", "BUSY", ASTERISK),
    *_rows(Result.BUSY, "declined", "DECLINE"),
    *_rows(Result.BUSY, "blocked", "UNWANTED REJECT_ALL INCOMING_CALL_BARRED"),
    *_rows(Result.CANCEL, "caller_cancelled", "ORIGINATOR_CANCEL"),
    *_rows(Result.CANCEL, "hung_up_before_answer", "NORMAL_CLEARING"),
    *_rows(Result.CANCEL, "operator_ended", "MANAGER_REQUEST"),
    *_rows(Result.CANCEL, "transferred_away", "BLIND_TRANSFER ATTENDED_TRANSFER"),
    *_rows(Result.CANCEL, "not_picked_up", "NO_PICKUP"),
    *_rows(Result.CANCEL, "merged", "BOWOUT"),
    *_rows(Result.LOSE_RACE, "lost_race", "LOSE_RACE PICKED_OFF"),
    *_rows(Result.LOSE_RACE, "lost_race", "ANSWERED_ELSEWHERE", ASTERISK),
    *_rows(Result.LOSE_RACE, "lost_race", "NON_SELECTED_USER_CLEARING", Q850),
    *_rows(Result.TIMEOUT, "ring_timeout", "NO_ANSWER ALLOTTED_TIMEOUT PROGRESS_TIMEOUT"),
    *_rows(Result.TIMEOUT, "ring_timeout", "NO_ANSWER_OR_CANCELLED", "canonical: a source that has one word for both"),
    *_rows(Result.TIMEOUT, "no_response", "NO_USER_RESPONSE"),
    *_rows(Result.FAILED, "rejected", "CALL_REJECTED"),
    *_rows(Result.FAILED, "no_protocol_response", "RECOVERY_ON_TIMER_EXPIRE"),
    *_rows(Result.FAILED, "number",
           "UNALLOCATED_NUMBER NO_ROUTE_DESTINATION NO_ROUTE_TRANSIT_NET NUMBER_CHANGED INVALID_NUMBER_FORMAT DOES_NOT_EXIST_ANYWHERE"),
    *_rows(Result.FAILED, "number", "MISDIALLED_TRUNK_PREFIX NUMBER_PORTED_NOT_HERE", Q850),
    *_rows(Result.FAILED, "unreachable", "SUBSCRIBER_ABSENT USER_NOT_REGISTERED DESTINATION_OUT_OF_ORDER"),
    *_rows(Result.FAILED, "account", "OUTGOING_CALL_BARRED FACILITY_NOT_SUBSCRIBED BEARERCAPABILITY_NOTAUTH"),
    *_rows(Result.FAILED, "caller_identity",
           "USER_CHALLENGE NO_IDENTITY BAD_IDENTITY_INFO UNSUPPORTED_CERTIFICATE INVALID_IDENTITY STALE_DATE"),
    *_rows(Result.FAILED, "configuration", "INVALID_GATEWAY INVALID_URL INVALID_PROFILE"),
    *_rows(Result.FAILED, "media", "INCOMPATIBLE_DESTINATION MEDIA_TIMEOUT SRTP_READ_ERROR NOT_ACCEPTABLE"),
    *_rows(Result.FAILED, "switch", "CRASH SYSTEM_SHUTDOWN"),
    *_rows(Result.FAILED, "network", """
        CHANNEL_UNACCEPTABLE CALL_AWARDED_DELIVERED REDIRECTION_TO_NEW_DESTINATION EXCHANGE_ROUTING_ERROR FACILITY_REJECTED
        RESPONSE_TO_STATUS_ENQUIRY NORMAL_UNSPECIFIED NORMAL_CIRCUIT_CONGESTION NETWORK_OUT_OF_ORDER NORMAL_TEMPORARY_FAILURE
        SWITCH_CONGESTION ACCESS_INFO_DISCARDED REQUESTED_CHAN_UNAVAIL PRE_EMPTED BEARERCAPABILITY_NOTAVAIL SERVICE_UNAVAILABLE
        BEARERCAPABILITY_NOTIMPL CHAN_NOT_IMPLEMENTED FACILITY_NOT_IMPLEMENTED SERVICE_NOT_IMPLEMENTED INVALID_CALL_REFERENCE
        INVALID_MSG_UNSPECIFIED MANDATORY_IE_MISSING MESSAGE_TYPE_NONEXIST WRONG_MESSAGE IE_NONEXIST INVALID_IE_CONTENTS
        WRONG_CALL_STATE MANDATORY_IE_LENGTH_ERROR PROTOCOL_ERROR INTERWORKING GATEWAY_DOWN"""),
    *_rows(Result.FAILED, "network", "SEND_SPECIAL_INFO_TONE PREEMPTION", Q850),
)  # fmt: skip

CAUSE: dict[str, Cause] = {cause.name: cause for cause in CAUSES}
LOSING = frozenset({"LOSE_RACE", "ANSWERED_ELSEWHERE", "NON_SELECTED_USER_CLEARING"})
"""Said of a leg by its switch: another leg was faster."""
LOSE_RACE_CLASS = frozenset(cause.name for cause in CAUSES if cause.result is Result.LOSE_RACE)
TIMER = frozenset({"NO_ANSWER", "ALLOTTED_TIMEOUT", "PROGRESS_TIMEOUT", "NO_ANSWER_OR_CANCELLED"})
GENERIC = frozenset({"NORMAL_CLEARING", "NORMAL_UNSPECIFIED", "INTERWORKING", "UNKNOWN", "NONE"})
"""Causes so wide that a SIP status tells more."""
CUT_SHORT = frozenset(
    {
        "ORIGINATOR_CANCEL", "NORMAL_CLEARING", "NONE", "DESTINATION_OUT_OF_ORDER", "INTERWORKING", "MANAGER_REQUEST",
        "NO_ANSWER_OR_CANCELLED",
    }
)  # fmt: skip
INHERITED = frozenset({"ORIGINATOR_CANCEL", "NORMAL_CLEARING"})
"""What a leg under a pseudo leg is told in place of the real cause, which the pseudo leg knows."""
NO_CAUSE = frozenset({"NONE", "UNKNOWN"})

SIP: dict[int, tuple[Result, str]] = {
    486: (Result.BUSY, "busy"),
    600: (Result.BUSY, "busy"),
    603: (Result.BUSY, "declined"),
    607: (Result.BUSY, "blocked"),
    480: (Result.TIMEOUT, "no_response"),
    487: (Result.CANCEL, "caller_cancelled"),
    404: (Result.FAILED, "number"),
    410: (Result.FAILED, "number"),
    484: (Result.FAILED, "number"),
    485: (Result.FAILED, "number"),
    604: (Result.FAILED, "number"),
    402: (Result.FAILED, "no_balance"),
    408: (Result.FAILED, "no_protocol_response"),
    504: (Result.FAILED, "no_protocol_response"),
    488: (Result.FAILED, "media"),
    606: (Result.FAILED, "media"),
}
SIP_OTHERWISE = (Result.FAILED, "network")
"""Every other final status from 300 to 699."""
SIP_CHALLENGES = frozenset({401, 407})
"""A demand to authenticate is no end."""


def cause_class(name: str) -> Result | None:
    """Return the class of a cause's name, or None for a name that is not in the table."""
    cause = CAUSE.get(name)
    return cause.result if cause is not None else None


def sip_verdict(status: int) -> tuple[Result, str] | None:
    """Return (result, reason) of a far end's final status, or None where the status is not final."""
    if status in SIP_CHALLENGES or not 300 <= status <= 699:
        return None
    return SIP.get(status, SIP_OTHERWISE)
