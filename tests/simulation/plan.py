"""What is told when, to which partition, and what harm is done meanwhile: all of it drawn from one seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from random import Random
from typing import Literal, NamedTuple

import msgspec

from pipeline.app.topics import names
from pipeline.core.model import LegEvent
from pipeline.engine.settings import EngineSettings
from pipeline.errors import BadRecord
from pipeline.settings import Settings, load
from pipeline.vendors import canonical
from tests.simulation.chance import Draw
from tests.simulation.host import Perils
from tests.simulation.log import Place
from tests.support.strategies import BASE_MS, traffic

RAW = {"": "calls.raw.canonical", "acme": "calls.raw.acme"}
"""By tenant. What is written to calls.events itself names its tenant in the event."""
LONG_S = 30 * 86_400
SIZES = "60,900"

POISON: tuple[bytes | None, ...] = (
    None,
    b"",
    b"{",
    b'{"leg_id":"a"}',
    b'{"leg_id":"\xff","kind":"offered","at_ms":1}',
    b'{"leg_id":"a","kind":"ended","at_ms":1}',
    b'{"leg_id":"a","kind":"offered","at_ms":1,"ring_limit_ms":18446744073709551616}',
)
POISONED_EVENTS = (*POISON, b'{"control":"linked","to":"a"}', b'{"control":"watermark","origin":"x","at_ms":"now"}')
POISONED_PARTIALS = (b"", b"{", b'{"control":"reached","partition":0}', b'{"control":"partial","tenant":"\xff"}')

Deed = Literal["kill", "kill_all", "freeze", "join", "leave", "shake", "jump", "skew", "forget", "compact", "expire"]
DEEDS: tuple[Deed, ...] = (
    "kill", "kill", "kill_all", "freeze", "join", "join", "leave", "shake", "jump", "jump", "skew", "forget", "compact", "expire",
)  # fmt: skip


class Send(NamedTuple):
    """A record that a producer writes. `events`: what it says, empty for one that cannot be read."""

    at_s: float
    place: Place
    value: bytes | None
    events: tuple[LegEvent, ...] = ()


class Harm(NamedTuple):
    """Something that happens to the workers, the broker or the clocks. `by`: how long, or how far, where that makes sense."""

    at_s: float
    deed: Deed
    by: float = 0.0


class Plan(NamedTuple):
    """A simulation as it will go. `memory`: do facts outlast all lateness, so that the oracle's answer has to come out?"""

    seed: int
    partitions: int
    memory: Literal["long", "short"]
    bad_limit: int
    sends: tuple[Send, ...]
    harms: tuple[Harm, ...]
    perils: Perils
    engine: EngineSettings
    workers: int
    start_ms: int
    end: Literal["settle", "ttl", "forgotten"]


def plan(seed: int) -> Plan:
    """Return what this seed stands for."""
    chance = Random(seed)
    partitions = chance.choice((1, 2, 2, 2, 3))
    memory: Literal["long", "short"] = "short" if chance.random() < 0.1 else "long"
    span_s = chance.choice((0.2, 2.0, 6.0, 15.0))
    return Plan(
        seed=seed,
        partitions=partitions,
        memory=memory,
        bad_limit=chance.choice((2, 1_000, 1_000, 1_000)),
        sends=_sends(chance, partitions, span_s),
        harms=_harms(chance, span_s),
        perils=_perils(chance),
        engine=_engine(chance),
        workers=chance.choice((1, 1, 2, 3)),
        start_ms=BASE_MS + chance.choice((-150_000, 0, 100_000, 200_000, 200_000, 86_400_000)),
        end=chance.choice(("settle", "ttl", "ttl", "ttl", "forgotten")),
    )


def _perils(chance: Random) -> Perils:
    return Perils(
        death=chance.choice((0.0, 0.0, 0.01, 0.05, 0.1)),
        hiccup=chance.choice((0.0, 0.0, 0.0, 0.005)),
        pause=chance.choice((0.0, 0.02, 0.1)),
        sleep=chance.choice((0.0, 0.0, 0.01)),
    )


def _engine(chance: Random) -> EngineSettings:
    return EngineSettings(
        bootstrap="nowhere:0",
        app_id="callverdict",
        chunk_records=chance.choice((1, 3, 10, 50, 1_000, 1_000)),
        linger_s=chance.choice((0.0, 0.02)),
        tick_s=chance.choice((1.0, 3.0, 5.0)),
        rest_s=chance.choice((0.05, 0.2)),
    )


@lru_cache(maxsize=64)
def settings_of(partitions: int, memory: str, bad_limit: int) -> Settings:
    """Return the settings of such a plan."""
    kept_s = {"long": (LONG_S, LONG_S, LONG_S, 14_400, 900), "short": (5, LONG_S, 60, 60, 30)}[memory]
    keys = ("RETENTION_S", "CLOSED_MEMORY_S", "TALLY_RETENTION_S", "TTL_S", "OFFERED_TTL_S")
    sources = [{"vendor": "canonical", "name": topic.rpartition(".")[2], "topic": topic, "tenant": tenant} for tenant, topic in RAW.items()]
    return load(
        environ={
            "CALLVERDICT_PARTITIONS": str(partitions),
            "CALLVERDICT_WINDOW_SIZES_S": SIZES,
            "CALLVERDICT_BAD_RECORD_LIMIT": str(bad_limit),
            "CALLVERDICT_SOURCES": msgspec.json.encode(sources).decode(),
            **{f"CALLVERDICT_{key}": str(value) for key, value in zip(keys, kept_s, strict=True)},
        }
    )


# -- what is told


def _sends(chance: Random, partitions: int, span_s: float) -> tuple[Send, ...]:
    events: list[LegEvent] = Draw(chance)(traffic(max_calls=chance.choice((1, 2, 3))))
    direct = chance.choice((0.0, 0.0, 0.0, 0.3, 1.0))
    told = [*_ordered(chance, events), *chance.choices(events, k=chance.choice((0, 0, 3, len(events))))]
    pace = chance.choice((_in_order, _in_order, _in_disorder))
    sends = [
        Send(at_s, _place(chance, event, direct, partitions), msgspec.json.encode(event), (event,) if is_readable(event) else ())
        for at_s, event in pace(chance, told, span_s)
    ]
    return tuple(sorted([*sends, *_poison(chance, partitions, span_s)], key=lambda send: send.at_s))


def _ordered(chance: Random, events: Sequence[LegEvent]) -> list[LegEvent]:
    """As they happened; sometimes what tells of other legs comes last."""
    if chance.random() < 0.3:
        return sorted(events, key=lambda event: event.parent_leg_id is not None or event.peer_leg_id is not None)
    return list(events)


def _in_order(chance: Random, told: Sequence[LegEvent], span_s: float) -> list[tuple[float, LegEvent]]:
    """More or less."""
    return [(span_s * (number + chance.random() * chance.choice((1, 1, 5))) / len(told), event) for number, event in enumerate(told)]


def _in_disorder(chance: Random, told: Sequence[LegEvent], span_s: float) -> list[tuple[float, LegEvent]]:
    return [(span_s * chance.random(), event) for event in told]


def _place(chance: Random, event: LegEvent, direct: float, partitions: int) -> Place:
    if chance.random() < direct:
        return names(settings_of(partitions, "long", 1_000)).events, chance.randrange(partitions)
    return RAW[event.tenant], chance.randrange(partitions)


def is_readable(event: LegEvent) -> bool:
    """A canonical producer is held to more than the core: a leg must not name itself, a bridge names a peer."""
    try:
        canonical.parse(msgspec.json.encode(event))
    except BadRecord:
        return False
    return True


def _poison(chance: Random, partitions: int, span_s: float) -> list[Send]:
    if chance.random() < 0.7:
        return []
    topic = names(settings_of(partitions, "long", 1_000))
    kinds = ((RAW[""], POISON), (RAW["acme"], POISON), (topic.events, POISONED_EVENTS), (topic.partials, POISONED_PARTIALS))
    at_s, (where, values) = span_s * chance.random(), chance.choice(kinds)
    partition = chance.randrange(partitions)
    return [Send(at_s, (where, partition), chance.choice(values)) for _ in range(chance.choice((1, 2, 5)))]


# -- what happens meanwhile


def _harms(chance: Random, span_s: float) -> tuple[Harm, ...]:
    deeds = [chance.choice(DEEDS) for _ in range(chance.choice((0, 1, 3, 6)))]
    return tuple(sorted(Harm(span_s * 1.2 * chance.random(), deed, _by(chance, deed)) for deed in deeds))


def _by(chance: Random, deed: Deed) -> float:
    spans: dict[Deed, Callable[[], float]] = {
        "freeze": lambda: chance.choice((1.0, 12.0, 45.0)),
        "jump": lambda: chance.choice((-1.0, -60.0, 2.0, 40.0, 1_000.0, 18_000.0)),
        "skew": lambda: chance.choice((-30.0, 30.0, 3_600.0)),
    }
    return spans[deed]() if deed in spans else 0.0
