"""The table of topics: what each is for, its key, its value, and how the broker must keep it.

`topics(settings)` is what `callverdict topics create` makes, `check` compares and the manual lists; `names(settings)` is for those who
read and write them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from pipeline.errors import SettingsError
from pipeline.settings import Settings

SCHEMA_VERSION = 1
"""Goes into a header of every record of ours; counts up when a reader of the values must change."""

Role = Literal[
    "raw", "events", "legs", "results", "partials", "tallies", "tallies_agents", "audit", "late", "dead_letters",
    "assemble_changelog", "tally_changelog",
]  # fmt: skip
Cleanup = Literal["delete", "compact"]

SEGMENT_BYTES = 50 * 1024 * 1024
"""Of changelogs, as Kafka Streams sets it: what is in the segment being written is never compacted, and a restore reads it all."""


class Row(msgspec.Struct, frozen=True):
    """What does not depend on settings. `follows`: the topic that must have as many partitions, since state moves with its input."""

    role: Role
    name: str
    key: str
    value: str
    cleanup: Cleanup
    doc: str
    follows: Role | None = None


ROWS = (
    Row("events", "calls.events", "call_id as far as the event tells it", "LegEvent", "delete", "Canonical events, watermarks and links."),
    Row("legs", "calls.legs", "tenant|call_id|leg_id", "LegRow", "delete", "Every leg with its verdict, one record a revision.", "events"),
    Row("results", "calls.results", "tenant|call_id", "CallRow", "compact", "Every call with its result.", "events"),
    Row("partials", "calls.tallies.partial", "tenant|kind|name", "Partial", "delete",
        "By how much one partition of calls.events changed a window; internal."),
    Row("tallies", "calls.tallies", "tenant|queue|attribution|window_size_s|window_start_ms", "TallyRow", "compact",
        "Every window of every queue.", "partials"),
    Row("tallies_agents", "calls.tallies.agents", "tenant|agent|attribution|window_size_s|window_start_ms", "AgentTallyRow", "compact",
        "Every window of every agent.", "partials"),
    Row("audit", "calls.audit", "tenant|queue or agent|attribution|window_size_s|window_start_ms", "AuditRow", "delete",
        "Every change of a window after its time."),
    Row("late", "calls.late", "tenant|call_id", "LateRow", "delete", "Facts that came after their call or window was gone."),
    Row("dead_letters", "calls.dead-letters", "the record's own", "the record's own bytes", "delete",
        "Records that cannot be read; headers say where they stood and why."),
    Row("assemble_changelog", "-assemble-changelog", "of the state", "state", "compact", "The state of calls; internal.", "events"),
    Row("tally_changelog", "-tally-changelog", "of the state", "state", "compact", "The state of windows; internal.", "partials"),
)  # fmt: skip


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as the broker must have it. `configs` are the broker's own words; what is not named is left to the broker."""

    name: str
    role: Role
    key: str
    value: str
    doc: str
    partitions: int
    replication_factor: int
    configs: Mapping[str, str]
    follows: str | None = None


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """The names that our own records go to and come from."""

    events: str
    legs: str
    results: str
    partials: str
    tallies: str
    tallies_agents: str
    audit: str
    late: str
    dead_letters: str
    assemble_changelog: str
    tally_changelog: str


def names(settings: Settings) -> Names:
    return Names(**{row.role: name_of(row, settings) for row in ROWS})


def topics(settings: Settings) -> tuple[Topic, ...]:
    """Every topic, inputs first. Raises SettingsError if a source reads what we write."""
    ours = names(settings)
    taken = set(msgspec.structs.asdict(ours).values())
    if clash := sorted({source.topic for source in settings.sources} & taken):
        raise SettingsError([f"a source reads {name}, which callverdict writes: give it another topic" for name in clash])
    raw = (raw_topic(source.topic, source.vendor, settings) for source in settings.sources)
    return (*raw, *(own_topic(row, ours, settings) for row in ROWS))


def name_of(row: Row, settings: Settings) -> str:
    """Changelogs carry the application's id, so that two applications on one cluster keep their state apart."""
    stem = settings.app_id + row.name if row.name.startswith("-") else row.name
    return settings.topics.topic_prefix + stem


def raw_topic(name: str, vendor: str, settings: Settings) -> Topic:
    """How long a switch's own records stay is left to whoever owns them."""
    return Topic(
        name=name, role="raw", key="any", value=f"{vendor} bytes", doc=f"What the switch says, as {vendor} writes it.",
        partitions=settings.topics.partitions, replication_factor=settings.topics.replication_factor,
        configs={"cleanup.policy": "delete", "message.timestamp.type": "LogAppendTime", **durability(settings)},
    )  # fmt: skip


def own_topic(row: Row, ours: Names, settings: Settings) -> Topic:
    return Topic(
        name=getattr(ours, row.role), role=row.role, key=row.key, value=row.value, doc=row.doc,
        partitions=settings.topics.partitions, replication_factor=settings.topics.replication_factor,
        configs=configs(row, settings), follows=getattr(ours, row.follows) if row.follows else None,
    )  # fmt: skip


def configs(row: Row, settings: Settings) -> dict[str, str]:
    chosen = {"cleanup.policy": row.cleanup, "message.timestamp.type": "LogAppendTime", **durability(settings)}
    if row.cleanup == "delete":
        chosen["retention.ms"] = str(settings.topics.topic_retention_s * 1000)
    if row.role.endswith("changelog"):
        chosen["segment.bytes"] = str(SEGMENT_BYTES)
    return chosen


def durability(settings: Settings) -> dict[str, str]:
    """With three copies a write counts once two have it: one broker may go and nothing acknowledged is lost."""
    return {"min.insync.replicas": str(max(1, settings.topics.replication_factor - 1))}
