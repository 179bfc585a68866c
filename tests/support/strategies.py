"""Hypothesis strategies for whole calls as lists of LegEvents, told in the order in which the things happened.

`calls()` draws one plot (ring-all, loopback, dialer, agent who dials, API group, links in chains and rings, links that contradict each other, or plain disorder) and then
loses some events; `traffic()` draws several calls of several queues and tenants over a few minutes. Same seed, same calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st

from pipeline.core.model import Context, EndedBy, Flag, LegEvent, QueueExit

BASE_MS = 1_700_000_000_000
TICK_MS = 20  # the clock of a FreeSWITCH
T = TypeVar("T")
Draw = Callable[[st.SearchStrategy[Any]], Any]
Ending = tuple[str, EndedBy | None, int | None]

OWN_ENDINGS: tuple[Ending, ...] = (  # what a leg comes to that neither lost nor was cancelled
    ("USER_BUSY", "far_refused", 486), ("USER_BUSY", "platform", None), ("CALL_REJECTED", "far_refused", 603),
    ("CALL_REJECTED", "far_refused", 607), ("CALL_REJECTED", "far_refused", 403), ("CALL_REJECTED", "far_refused", 402),
    ("NORMAL_CLEARING", "far_refused", 480), ("NORMAL_UNSPECIFIED", "far_refused", 404), ("NO_USER_RESPONSE", "far_refused", 480),
    ("SUBSCRIBER_ABSENT", None, None), ("NORMAL_TEMPORARY_FAILURE", "far_refused", 503), ("RECOVERY_ON_TIMER_EXPIRE", "platform", None),
    ("UNALLOCATED_NUMBER", "far_refused", 404), ("NO_ANSWER", "platform", None), ("ALLOTTED_TIMEOUT", "platform", None),
    ("PROGRESS_TIMEOUT", "platform", None), ("SOMETHING_NEW", "far_refused", 499), ("ORIGINATOR_CANCEL", "far_refused", 487),
    ("INCOMPATIBLE_DESTINATION", "platform", None), ("MANAGER_REQUEST", "platform", None), ("NONE", None, None), ("DECLINE", None, None),
)  # fmt: skip
RING_OUTS: tuple[Ending, ...] = (
    ("NO_ANSWER", "platform", None),
    ("ALLOTTED_TIMEOUT", "platform", None),
    ("ORIGINATOR_CANCEL", "platform", None),
)
LOST: tuple[Ending, ...] = (
    ("LOSE_RACE", "platform", None), ("ORIGINATOR_CANCEL", "platform", None), ("NO_ANSWER_OR_CANCELLED", "platform", None),
    ("ANSWERED_ELSEWHERE", None, None), ("PICKED_OFF", "platform", None), ("NORMAL_CLEARING", "platform", None),
)  # fmt: skip
HANGUPS: tuple[Ending, ...] = (
    ("NORMAL_CLEARING", "far_hung_up", None), ("NORMAL_CLEARING", "platform", None), ("ORIGINATOR_CANCEL", "far_hung_up", None),
    ("MEDIA_TIMEOUT", "platform", None), ("USER_BUSY", "platform", None), ("BLIND_TRANSFER", "platform", None),
    ("RECOVERY_ON_TIMER_EXPIRE", "platform", None), ("NO_ROUTE_DESTINATION", "platform", None),
)  # fmt: skip
FLAGS: tuple[Flag, ...] = ("loser", "after_hours", "blocked", "voicemail", "no_balance", "bad_number", "machine_leg")
EXITS: tuple[QueueExit, ...] = ("queue_timeout", "queue_no_agents", "queue_exit_key", "abandoned")
CONTEXTS: tuple[Context | None, ...] = (None, None, "inbound_queue", "inbound_direct", "internal", "autodialer", "manual_outbound")


@dataclass(frozen=True)
class Script:
    """A call being written: what was told so far, and where choices come from."""

    draw: Draw
    events: list[LegEvent] = field(default_factory=list)

    def pick(self, choices: Sequence[T]) -> T:
        return self.draw(st.sampled_from(choices))  # type: ignore[no-any-return]

    def one_in(self, n: int) -> bool:
        return bool(self.draw(st.integers(0, n - 1)) == n - 1)

    def span(self, least_s: float, most_s: float) -> int:
        """A duration in ms, on the switch's clock."""
        return int(self.draw(st.integers(round(least_s * 1000) // TICK_MS, round(most_s * 1000) // TICK_MS))) * TICK_MS

    def new_id(self, name: str) -> str:
        """Unique, and not in the order of the telling: ties by name must not follow time."""
        return f"{self.pick('abcdef')}-{name}-{len({event.leg_id for event in self.events})}"

    def tell(self, leg_id: str, kind: str, at_ms: int, **facts: Any) -> None:
        self.events.append(LegEvent(leg_id=leg_id, kind=kind, at_ms=BASE_MS + at_ms, **facts))  # type: ignore[arg-type]

    def bridge(self, one: str, other: str, at_ms: int) -> None:
        """Told by both legs, or by one only."""
        sides = self.pick(((one, other), (one, other), (one,), (other,)))
        for leg_id in sides:
            self.tell(leg_id, "bridged", at_ms, peer_leg_id=other if leg_id == one else one)

    def end(self, leg_id: str, at_ms: int, ending: Ending, **facts: Any) -> None:
        cause, ended_by, status = ending
        if self.one_in(8):
            self.tell(leg_id, "ended", at_ms, cause=cause, authority=1)
        self.tell(leg_id, "ended", at_ms, cause=cause, ended_by=ended_by, sip_status=status, **facts)

    def flags(self) -> tuple[Flag, ...]:
        return (self.pick(FLAGS),) if self.one_in(10) else ()


# -- parts


def _offer(script: Script, name: str, at_ms: int, **facts: Any) -> str:
    leg_id = script.new_id(name)
    script.tell(leg_id, "offered", at_ms, direction="outbound", **facts)
    if script.pick((True, True, True, False)):
        script.tell(leg_id, "ringing", at_ms + script.span(0.02, 1))
    return leg_id


def _offers(script: Script, parent: str, at_ms: int, **facts: Any) -> list[str]:
    count = script.draw(st.integers(0, 4))
    return [_offer(script, "leg", at_ms + script.span(0, 0.1), parent_leg_id=_above(script, parent, at_ms), **facts) for _ in range(count)]


def _above(script: Script, parent: str, at_ms: int) -> str:
    """Mostly the parent itself; sometimes a loopback half under it, whose end knows why."""
    if not script.one_in(5):
        return parent
    half = script.new_id("half")
    script.tell(half, "offered", at_ms, role="pseudo", parent_leg_id=parent)
    script.end(half, at_ms + script.span(1, 20), script.pick((*RING_OUTS, *LOST)))
    return half


def _win(script: Script, caller: str, leg_id: str, at_ms: int, until_ms: int) -> None:
    script.tell(leg_id, "answered", at_ms)
    script.tell(caller, "answered", at_ms)
    script.bridge(caller, leg_id, at_ms + script.span(0, 0.2))
    if script.one_in(4):
        script.tell(leg_id, "held", at_ms + script.span(0.2, 3))
        script.tell(leg_id, "unheld", at_ms + script.span(3, 6))
    script.end(leg_id, until_ms, script.pick(HANGUPS))


def _lose(script: Script, leg_id: str, won_ms: int) -> None:
    if script.one_in(5):
        script.tell(leg_id, "answered", won_ms + script.span(0, 0.04))
    after_ms = script.pick((0, 0, 20, 40, 100, 1_500, 1_520, 9_000))
    script.end(leg_id, won_ms + after_ms, script.pick(LOST), flags=("loser",) if script.one_in(6) else ())


def _come_to_an_end(script: Script, leg_id: str, at_ms: int) -> None:
    """Without a winner: an end of its own, sometimes after an answer that led nowhere."""
    if script.one_in(6):
        script.tell(leg_id, "answered", at_ms - 1_000)
    script.end(leg_id, at_ms, script.pick((*OWN_ENDINGS, *RING_OUTS, *LOST)), flags=script.flags())


def _round(script: Script, caller: str, begin_ms: int, **facts: Any) -> tuple[int, bool]:
    """One round of offers: when it was over, and whether somebody won."""
    legs = _offers(script, caller, begin_ms, **facts)
    over_ms = begin_ms + script.span(2, 20)
    won = bool(legs) and script.pick((True, False))
    for number, leg_id in enumerate(legs):
        if won and number == 0:
            _win(script, caller, leg_id, over_ms, over_ms + script.span(1, 30))
        elif won and script.pick((True, True, False)):
            _lose(script, leg_id, over_ms)
        else:
            _come_to_an_end(script, leg_id, begin_ms + script.span(1.2, 20))
    return over_ms, won


# -- plots


def _ring_all(script: Script) -> None:
    caller, context = script.new_id("caller"), script.pick(CONTEXTS)
    silent = ("answers", "ringing", "bridges") if script.one_in(8) else ()
    script.tell(caller, "offered", 0, direction="inbound", context=context, cannot_report=silent, dialed=script.pick(("100", "200", None)))
    over_ms, won = _visit(script, caller) if script.one_in(3) else _round(script, caller, 200)
    if not won and script.pick((True, False)):
        over_ms, won = _round(script, caller, over_ms + 1_000)
    if script.one_in(5):
        _pick_up(script, caller, over_ms)
    elif won and script.one_in(4):
        _come_to_an_end(script, _offer(script, "target", over_ms + 500, parent_leg_id=caller), over_ms + 4_000)
    if not won and script.one_in(5):
        _voicemail(script, caller, over_ms)
    facts = {"queue_exit": script.pick(EXITS)} if script.one_in(8) else {}
    endings = HANGUPS if won or script.pick((True, False)) else OWN_ENDINGS
    script.end(caller, over_ms + script.span(0, 30), script.pick(endings), flags=script.flags(), **facts)


def _visit(script: Script, caller: str) -> tuple[int, bool]:
    queue = script.pick(("sales", "care"))
    visit = {"queue": queue, "visit_id": f"{caller}-{queue}"}
    script.tell(caller, "answered", 20)
    script.tell(caller, "queue_joined", 100, **visit)
    over_ms, won = _round(script, caller, 200, queue=script.pick((queue, None)), agent=script.pick(("amy", "ben", None)))
    if script.pick((True, False)):
        script.tell(caller, "queue_left", over_ms, **visit, queue_exit=None if won else script.pick((*EXITS, None)))
    return over_ms, won


def _pick_up(script: Script, caller: str, at_ms: int) -> None:
    """Somebody outside takes the caller; her leg is a call of its own, or was never recorded."""
    taker = script.new_id("taker")
    script.tell(caller, "answered", at_ms)
    script.tell(caller, "bridged", at_ms, peer_leg_id=taker)
    if script.pick((True, False)):
        script.tell(taker, "offered", at_ms - 500, direction="inbound")
        script.tell(taker, "answered", at_ms)
        script.tell(taker, "bridged", at_ms, peer_leg_id=caller)
        script.end(taker, at_ms + 5_000, script.pick(HANGUPS))


def _voicemail(script: Script, caller: str, at_ms: int) -> None:
    machine = _offer(script, "machine", at_ms, parent_leg_id=caller, flags=(script.pick(("voicemail", "machine_leg")),))
    script.tell(machine, "answered", at_ms + 20)
    script.tell(caller, "answered", at_ms + 20)
    script.bridge(caller, machine, at_ms + 20)
    script.end(machine, at_ms + 5_000, HANGUPS[1])


def _dialer(script: Script) -> None:
    limit_ms = script.pick((None, 20_000, 30_000))
    role = script.pick((None, None, None, "agent"))
    root = _offer(script, "root", 0, context="autodialer", ring_limit_ms=limit_ms, role=role)
    answered = script.pick((True, False))
    if answered:
        script.tell(root, "answered", 3_000)
    facts = {"role": "customer", "ring_limit_ms": limit_ms} if role else {}
    over_ms, _ = _round(script, root, 3_200, **facts) if answered else (script.pick((1_200, 12_000, 19_500, 20_000, 30_000)), False)
    script.end(root, over_ms + script.span(0, 10) * answered, script.pick(HANGUPS[:3] if answered else (*RING_OUTS, *OWN_ENDINGS)))


def _flat_record(script: Script) -> None:
    """A call detail record without answer times and partners, the only one of its call."""
    leg_id = script.new_id("flat")
    silent = {"cannot_report": ("answers", "ringing", "bridges"), "direction": script.pick(("inbound", "outbound"))}
    script.tell(leg_id, "offered", 0, **silent, context=script.pick(CONTEXTS))
    facts = {"queue_exit": script.pick(EXITS)} if script.one_in(4) else {}
    script.end(leg_id, script.span(1, 90), script.pick((*HANGUPS, *RING_OUTS)), **facts)


def _agent_dials(script: Script) -> None:
    direction = script.pick(("inbound", "inbound", "inbound", "outbound"))
    agent = script.new_id("agent")
    script.tell(agent, "offered", 0, direction=direction, context="manual_outbound")
    if direction == "outbound":
        script.tell(agent, "answered", 100)
    over_ms = 200
    for _ in range(script.draw(st.integers(0, 2))):
        over_ms, _ = _round(script, agent, over_ms)
    script.end(agent, over_ms + script.span(0, 10), script.pick((*HANGUPS, *OWN_ENDINGS)), flags=script.flags())


def _api_group(script: Script) -> None:
    group_id = script.pick(("K1", "K1", None))
    roots = [_offer(script, "root", script.span(0, 0.1), group_id=group_id) for _ in range(script.draw(st.integers(1, 3)))]
    won_ms = script.span(1, 10)
    for number, root in enumerate(roots):
        if number == 0 and script.pick((True, False)):
            script.tell(root, "answered", won_ms)
            script.end(root, won_ms + script.span(0, 20), script.pick(HANGUPS))
        else:
            script.pick((_lose, _come_to_an_end))(script, root, won_ms)


def _links(script: Script) -> None:
    """A chain of links whose head is unseen, a root, or the chain's own tail: a ring."""
    ids = [script.new_id(f"link{number}") for number in range(script.draw(st.integers(2, 5)))]
    head = script.pick(("unseen", ids[-1], ids[0], None))
    for number, leg_id in enumerate(ids):
        parent = ids[number - 1] if number else head
        direction = "inbound" if parent is None else "outbound"
        role = "pseudo" if script.one_in(4) else None
        script.tell(leg_id, "offered", number * 100, parent_leg_id=parent, link_rank=script.pick((0, 1)), direction=direction, role=role)
        script.pick((_lose, _come_to_an_end))(script, leg_id, 2_000 + script.span(0, 2))


def _stay(script: Script, leg_id: str) -> None:
    """A visit of a queue that is told of any leg: of a caller, an offered one, a machine."""
    visit = {"queue": script.pick(("sales", "care")), "visit_id": script.pick((None, "stay"))}
    script.tell(leg_id, "queue_joined", script.span(0, 1), **visit)
    if not script.one_in(3):
        script.tell(leg_id, "queue_left", script.span(1, 3), queue_exit=script.pick((None, *EXITS)), **visit)


def _disorder(script: Script) -> None:
    """Legs whose facts fit together by chance only."""
    ids = [script.new_id(f"any{number}") for number in range(script.draw(st.integers(1, 4)))]
    for leg_id in ids:
        facts = {
            "parent_leg_id": script.pick((None, "unseen", *ids)),
            "direction": script.pick((None, "inbound", "outbound")),
            "role": script.pick((None, None, None, "pseudo", "caller", "customer", "agent")),
            "context": script.pick((None, None, *CONTEXTS)),
            "group_id": script.pick((None, None, "K1", "K2")),
            "flags": ("machine_leg",) if script.one_in(6) else script.flags(),
            "cannot_report": script.pick(((), (), ("answers",), ("ringing",), ("bridges",))),
        }
        script.tell(leg_id, script.pick(("offered", "offered", "noted", "answered")), script.span(0, 1), **facts)
        if script.one_in(4):
            _stay(script, leg_id)
        for kind in script.draw(st.lists(st.sampled_from(("ringing", "answered", "bridged", "unbridged", "held", "unheld")), max_size=4)):
            peer = {"peer_leg_id": script.pick((*ids, "elsewhere"))} if kind in {"bridged", "unbridged"} else {}
            script.tell(leg_id, kind, script.span(1, 3), **peer)
        if script.pick((True, True, True, False)):
            script.end(leg_id, script.span(2, 4), script.pick((*OWN_ENDINGS, *LOST, *HANGUPS)))


def _tangle(script: Script, most: int = 9) -> None:
    """A few legs, of which each event tells another link or group: better links come early and late, chains and rings come and go."""
    ids = [script.new_id(f"tie{number}") for number in range(script.draw(st.integers(2, 5)))]
    groups = script.pick(((), ("K1",), ("K1", "K2", "K3"), ("z1", "z2", "z3")))  # lesser and greater than legs
    for number in range(script.draw(st.integers(2, most))):
        leg_id = script.pick(ids)
        parent = script.pick((None, None, "unseen", *ids))
        ties = {
            "parent_leg_id": None if parent == leg_id else parent,
            "link_rank": script.pick((0, 1, 2)),
            "group_id": script.pick((None, None, None, *groups)),
        }
        kind = script.pick(("noted", "offered", "ended"))
        script.tell(leg_id, kind, number * TICK_MS, cause="USER_BUSY" if kind == "ended" else None, **ties)


PLOTS = (_ring_all, _ring_all, _ring_all, _dialer, _agent_dials, _api_group, _links, _flat_record, _disorder, _tangle)


# -- strategies


@st.composite
def calls(draw: Draw) -> list[LegEvent]:
    """One contact's events, at least one, in order of time; some may be lost."""
    script = Script(draw)
    script.pick(PLOTS)(script)
    events = sorted(script.events, key=lambda event: event.at_ms)
    lost = draw(st.sets(st.integers(0, len(events) - 1), max_size=3)) if script.one_in(3) else set()
    return [event for number, event in enumerate(events) if number not in lost] or events


@st.composite
def tangles(draw: Draw, most: int = 9) -> list[LegEvent]:
    """Up to `most` events whose links and groups contradict each other, in order of time."""
    script = Script(draw)
    _tangle(script, most)
    return script.events


@st.composite
def traffic(draw: Draw, max_calls: int = 4) -> list[LegEvent]:
    """Several contacts over some minutes, of one or two tenants, in order of time; their legs have ids of their own."""
    contacts = draw(
        st.lists(st.tuples(calls(), st.integers(0, 180_000), st.sampled_from(("", "", "acme"))), min_size=1, max_size=max_calls)
    )
    moved = [_moved(event, f"{n}/", by_ms, tenant) for n, (events, by_ms, tenant) in enumerate(contacts) for event in events]
    told = sorted(moved, key=lambda event: event.at_ms)
    return _restarted(draw, told) if draw(st.integers(0, 3)) == 3 else told


def _restarted(draw: Draw, events: Sequence[LegEvent]) -> list[LegEvent]:
    """The switch starts anew at one of the events, or another by its name was there all the time; what was open then may have lost the rest."""
    restart_ms = draw(st.sampled_from(events)).at_ms
    before = {event.leg_id for event in events if event.at_ms < restart_ms}
    lost = before if draw(st.booleans()) else set()
    return [
        msgspec.structs.replace(
            event, source="switch", core_id="new" if event.at_ms >= restart_ms and event.leg_id not in before else "old"
        )
        for event in events
        if event.at_ms < restart_ms or event.leg_id not in lost
    ]


def _moved(event: LegEvent, prefix: str, by_ms: int, tenant: str) -> LegEvent:
    ids = {
        name: prefix + value
        for name in ("leg_id", "parent_leg_id", "peer_leg_id", "group_id", "visit_id")
        if (value := getattr(event, name))
    }
    return msgspec.structs.replace(event, at_ms=event.at_ms + by_ms, tenant=tenant, **ids)


@st.composite
def shuffled(draw: Draw, events: Sequence[LegEvent]) -> list[LegEvent]:
    """The same events in any order, some of them more than once."""
    again = draw(st.lists(st.sampled_from(list(events)), max_size=5))
    return list(draw(st.permutations([*events, *again])))
