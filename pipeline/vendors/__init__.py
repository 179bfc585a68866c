"""What did they say: one package per switch, bytes -> tuple[LegEvent, ...].

Here lives all knowledge of a switch's formats. Here may not live: a verdict, state, or one vendor's use of another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import msgspec

from pipeline.core.model import LegEvent
from pipeline.vendors import canonical
from pipeline.vendors.freeswitch import esl, json_cdr

Parse = Callable[[bytes], tuple[LegEvent, ...]]
Reason = Literal[
    "not_json",
    "wrong_type",
    "wrong_value",
    "unknown_field",
    "missing_field",
    "missing_event_name",
    "missing_leg_id",
    "missing_peer",
    "missing_time",
    "bad_id",
    "bad_time",
    "self_link",
]
REASONS: tuple[Reason, ...] = get_args(Reason)
"""Every word that a vendor's `BadRecord` may carry: a label of a metric, so a closed set."""


class Vendor(msgspec.Struct, frozen=True):
    """How the records of one kind of source are read.

    `parse` is pure: the same bytes give the same events in the same order. What is well formed but tells nothing about a leg gives
    (). Nothing but `BadRecord` is raised, whatever the bytes. Tenant and origin are the caller's to set.
    """

    parse: Parse
    description: str


VENDORS: dict[str, Vendor] = {
    "freeswitch-esl": Vendor(esl.parse, "FreeSWITCH events as JSON: mod_event_kafka, mod_amqp or an ESL client (`event json`)"),
    "freeswitch-json-cdr": Vendor(json_cdr.parse, "FreeSWITCH call detail records of mod_json_cdr, with log-b-leg on"),
    "canonical": Vendor(canonical.parse, "our own LegEvent as JSON: one object, or an array of them"),
}
