"""The oracle's own copy of sections 3.1, 3.3 and 3.4 of the verdicts: causes by name, the sets that rules use, SIP statuses."""

from __future__ import annotations

from pipeline.core.model import Result

BUSY, CANCEL, LOSE_RACE, FAILED, TIMEOUT = Result.BUSY, Result.CANCEL, Result.LOSE_RACE, Result.FAILED, Result.TIMEOUT

_ROWS: tuple[tuple[Result, str, str], ...] = (
    (BUSY, "busy", "USER_BUSY BUSY_EVERYWHERE BUSY"),
    (BUSY, "declined", "DECLINE"),
    (BUSY, "blocked", "UNWANTED REJECT_ALL INCOMING_CALL_BARRED"),
    (CANCEL, "caller_cancelled", "ORIGINATOR_CANCEL"),
    (CANCEL, "hung_up_before_answer", "NORMAL_CLEARING"),
    (CANCEL, "operator_ended", "MANAGER_REQUEST"),
    (CANCEL, "transferred_away", "BLIND_TRANSFER ATTENDED_TRANSFER"),
    (CANCEL, "not_picked_up", "NO_PICKUP"),
    (CANCEL, "merged", "BOWOUT"),
    (LOSE_RACE, "lost_race", "LOSE_RACE PICKED_OFF ANSWERED_ELSEWHERE NON_SELECTED_USER_CLEARING"),
    (TIMEOUT, "ring_timeout", "NO_ANSWER ALLOTTED_TIMEOUT PROGRESS_TIMEOUT NO_ANSWER_OR_CANCELLED"),
    (TIMEOUT, "no_response", "NO_USER_RESPONSE"),
    (FAILED, "rejected", "CALL_REJECTED"),
    (FAILED, "no_protocol_response", "RECOVERY_ON_TIMER_EXPIRE"),
    (
        FAILED,
        "number",
        (
            "UNALLOCATED_NUMBER NO_ROUTE_DESTINATION NO_ROUTE_TRANSIT_NET NUMBER_CHANGED INVALID_NUMBER_FORMAT DOES_NOT_EXIST_ANYWHERE"
            " MISDIALLED_TRUNK_PREFIX NUMBER_PORTED_NOT_HERE"
        ),
    ),
    (FAILED, "unreachable", "SUBSCRIBER_ABSENT USER_NOT_REGISTERED DESTINATION_OUT_OF_ORDER"),
    (FAILED, "account", "OUTGOING_CALL_BARRED FACILITY_NOT_SUBSCRIBED BEARERCAPABILITY_NOTAUTH"),
    (
        FAILED,
        "caller_identity",
        "USER_CHALLENGE NO_IDENTITY BAD_IDENTITY_INFO UNSUPPORTED_CERTIFICATE INVALID_IDENTITY STALE_DATE",
    ),
    (FAILED, "configuration", "INVALID_GATEWAY INVALID_URL INVALID_PROFILE"),
    (FAILED, "media", "INCOMPATIBLE_DESTINATION MEDIA_TIMEOUT SRTP_READ_ERROR NOT_ACCEPTABLE"),
    (FAILED, "switch", "CRASH SYSTEM_SHUTDOWN"),
    (
        FAILED,
        "network",
        (
            "CHANNEL_UNACCEPTABLE CALL_AWARDED_DELIVERED REDIRECTION_TO_NEW_DESTINATION EXCHANGE_ROUTING_ERROR FACILITY_REJECTED"
            " RESPONSE_TO_STATUS_ENQUIRY NORMAL_UNSPECIFIED NORMAL_CIRCUIT_CONGESTION NETWORK_OUT_OF_ORDER NORMAL_TEMPORARY_FAILURE"
            " SWITCH_CONGESTION ACCESS_INFO_DISCARDED REQUESTED_CHAN_UNAVAIL PRE_EMPTED BEARERCAPABILITY_NOTAVAIL SERVICE_UNAVAILABLE"
            " BEARERCAPABILITY_NOTIMPL CHAN_NOT_IMPLEMENTED FACILITY_NOT_IMPLEMENTED SERVICE_NOT_IMPLEMENTED INVALID_CALL_REFERENCE"
            " INVALID_MSG_UNSPECIFIED MANDATORY_IE_MISSING MESSAGE_TYPE_NONEXIST WRONG_MESSAGE IE_NONEXIST INVALID_IE_CONTENTS"
            " WRONG_CALL_STATE MANDATORY_IE_LENGTH_ERROR PROTOCOL_ERROR INTERWORKING GATEWAY_DOWN SEND_SPECIAL_INFO_TONE PREEMPTION"
        ),
    ),
)

CAUSES: dict[str, tuple[Result, str]] = {name: (result, reason) for result, reason, names in _ROWS for name in names.split()}

NO_CAUSE = frozenset({"NONE", "UNKNOWN"})
RACE_LOST = frozenset({"LOSE_RACE", "ANSWERED_ELSEWHERE", "NON_SELECTED_USER_CLEARING"})
TIMER = frozenset({"NO_ANSWER", "ALLOTTED_TIMEOUT", "PROGRESS_TIMEOUT", "NO_ANSWER_OR_CANCELLED"})
GENERIC = frozenset({"NORMAL_CLEARING", "NORMAL_UNSPECIFIED", "INTERWORKING", "UNKNOWN", "NONE"})
CUT_SHORT = frozenset(
    [
        "ORIGINATOR_CANCEL",
        "NORMAL_CLEARING",
        "NONE",
        "DESTINATION_OUT_OF_ORDER",
        "INTERWORKING",
        "MANAGER_REQUEST",
        "NO_ANSWER_OR_CANCELLED",
    ]
)

SIP_NAMED: dict[int, tuple[Result, str]] = {
    486: (BUSY, "busy"),
    600: (BUSY, "busy"),
    603: (BUSY, "declined"),
    607: (BUSY, "blocked"),
    480: (TIMEOUT, "no_response"),
    487: (CANCEL, "caller_cancelled"),
    **dict.fromkeys((404, 410, 484, 485, 604), (FAILED, "number")),
    402: (FAILED, "no_balance"),
    408: (FAILED, "no_protocol_response"),
    504: (FAILED, "no_protocol_response"),
    488: (FAILED, "media"),
    606: (FAILED, "media"),
}


def by_sip_status(status: int) -> tuple[Result, str] | None:
    """Section 3.4; None for a status below 300, which ends nothing."""
    return SIP_NAMED.get(status) or ((FAILED, "network") if status >= 300 else None)


def class_of(cause: str | None) -> Result | None:
    """The class of a cause; None for a cause that section 3.1 does not class (rule U1)."""
    found = CAUSES.get(cause or "NONE")
    return found[0] if found else None
