"""What the recordings' SIP side says happened, and how answers are compared with it.

A truth file reads the six results from SIP facts, never from a hangup cause. Where the six words leave room it marks a leg as
ambiguous; for these, and for a few it reads otherwise than the verdicts do, the tables below fix the answer. The tables look only at
what the SIP side saw (`what`) and at what was driven (`variant`), so no answer is right merely by sharing the switch's opinion.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).parents[1] / "recordings" / "freeswitch"
EARLY_MEDIA_DROP = "dropped_because_another_leg_sent_early_media"

READ_OTHERWISE = (  # not ambiguous in the truth file: what, variant (full matches), expected
    (r"ended_by_uuid_kill:(NO_ANSWER|ALLOTTED_TIMEOUT)", r".*", "Timeout"),  # the application stated a timer as its motive
    (r"ended_by_uuid_kill:USER_BUSY", r".*", "Busy"),  # likewise: that is how an in-band busy tone ends a leg
    (r"refused_503.*", r".*Q\.850;cause=17.*", "Busy"),  # the Reason header names the busy line, which beats the bare 503
    (r"answered", r"originate_loopback_ringall", "Failed"),  # 200 without a common codec: torn down, never connected
)
DECIDED = (  # ambiguous in the truth file, decided by the verdicts; the first match counts
    (r"refused_480.*", r".*cause=17.*", "Busy"),
    (r"refused_480.*", r".*cause=20.*", "Failed"),
    (r"refused_480.*", r".*", "Timeout"),
    (r"refused_487.*", r".*", "Cancel"),
    (r"refused_60[37].*", r".*", "Busy"),
    (r"refused_(403|407|608|408).*", r".*", "Failed"),
    (r"never_responded", r".*timerB.*", "Failed"),
    (r"never_responded", r".*", "Timeout"),
    (r"unresponsive_another_answered", r"(?!cc).*", "Lose-race"),
    (r"unresponsive_caller_cancelled", r".*", "Cancel"),
    (r"picked_up_elsewhere", r".*", "Lose-race"),
    (r"answered_not_bridged", r".*loopback.*", "Failed"),
    (r"answered_not_bridged", r".*group_confirm.*", "Timeout"),
    (r"caller_was_answered_by_the_system_only", r"cc_.*", "Cancel"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueLeg:
    """One leg that is compared: what must come out, and how the recording names what happened to it."""

    scenario: str
    leg_id: str
    party: str
    what: str
    variant: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    leg: TrueLeg
    result: str | None


def true_legs(folder: Path = RECORDINGS) -> list[TrueLeg]:
    """Every leg of the recordings for which the truth or the tables give an answer."""
    return [leg for path in sorted(folder.glob("*.truth.json.gz")) for leg in _legs_of(path)]


def _legs_of(path: Path) -> Iterator[TrueLeg]:
    scenario = path.name.partition(".")[0]
    for call in json.loads(gzip.decompress(path.read_bytes()))["calls"]:
        for leg in call["legs"]:
            expected = _expected(call, leg)
            if expected is not None and leg["uuid"]:
                words = {"party": leg["party"], "what": leg["what"], "variant": call["variant"]}
                yield TrueLeg(scenario=scenario, leg_id=leg["uuid"], expected=expected, **words)


def _expected(call: Mapping[str, Any], leg: Mapping[str, Any]) -> str | None:
    for what, variant, result in READ_OTHERWISE + DECIDED:
        if re.fullmatch(what, leg["what"]) and re.fullmatch(variant, call["variant"]):
            return result
    if leg["what"] == EARLY_MEDIA_DROP:
        return "Lose-race" if call["call_result"] == "Answered" else "Cancel"
    return None if leg.get("ambiguous") else leg.get("result")


def disagreements(legs: list[TrueLeg], results: Mapping[str, str | None]) -> list[Disagreement]:
    """The legs whose result is missing (None) or another one."""
    return [Disagreement(leg=leg, result=results.get(leg.leg_id)) for leg in legs if results.get(leg.leg_id) != leg.expected]
