"""What can be set: the tables of callverdict.toml, their types, defaults, descriptions and advice.

A key of the tables policy, engine, topics, privacy and security, or of the top, has one environment variable: CALLVERDICT_ and its name
in upper case; so no two tables may share a key. `sources` and `queues` are read from the environment as JSON.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, Strict, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pipeline.settings.security import SecurityTable
from pipeline.settings.values import (
    YEAR_S,
    Count,
    Day,
    Hours,
    Milliseconds,
    Part,
    Seconds,
    Switch,
    Table,
    Zone,
    advice,
    checked_sizes,
    give,
)

Vendor = Literal["freeswitch-esl", "freeswitch-json-cdr", "canonical"]
VENDOR_NAMES: tuple[Vendor, ...] = ("freeswitch-esl", "freeswitch-json-cdr", "canonical")
NUMBER = "{number}"
"""In `instance_id`: stands for the number of a worker process on its machine, from 1."""
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Source(Table):
    """One stream of one switch's records."""

    vendor: Annotated[Vendor, give(f"give one of {', '.join(VENDOR_NAMES)}")]
    name: Annotated[
        str, Strict(), Field(pattern=r"^[A-Za-z0-9.-]{0,100}$"), give("give letters, digits, dots and hyphens, at most 100")
    ] = ""
    topic: Annotated[
        str,
        Strict(),
        Field(pattern=r"^[A-Za-z0-9._-]{0,249}$"),
        give("give a Kafka topic name: letters, digits, dots and hyphens, at most 249"),
    ] = ""
    tenant: Part = ""
    clock_error_s: Seconds = 300


class Week(Table):
    mon: Hours = ()
    tue: Hours = ()
    wed: Hours = ()
    thu: Hours = ()
    fri: Hours = ()
    sat: Hours = ()
    sun: Hours = ()


class Queue(Table):
    """What is known of one queue: the numbers that lead to it and when somebody works there."""

    numbers: tuple[Annotated[str, Strict(), Field(min_length=1), give('give a dialed number as text, such as "20220"')], ...] = ()
    tz: Zone | None = None
    hours: Week | None = None
    holidays: tuple[Day, ...] = ()

    @model_validator(mode="after")
    def _hours_have_a_zone(self) -> Self:
        if self.tz is None and (self.hours is not None or self.holidays):
            raise advice('hours and holidays need a time zone: add tz = "Europe/Berlin" (or the queue\'s own)')
        return self


class PolicyTable(Table):
    """What verdicts, windows and the life of state depend on."""

    same_moment_ms: Annotated[Milliseconds, Field(description="two times this close are the same moment")] = 60
    race_window_ms: Annotated[Milliseconds, Field(description="a loser ends at most this long after the win")] = 1_500
    ring_limit_tolerance_ms: Annotated[Milliseconds, Field(description="a ring limit may fire this much early")] = 1_000
    timeout_only_in_autodialer: Annotated[Switch, Field(description="outside the autodialer a ring-out is Cancel")] = False
    settle_s: Annotated[Seconds, Field(description="a call is complete this long after its last end")] = 5
    offered_ttl_s: Annotated[Seconds, Field(description="an unanswered offer counts as ended this long after its last event")] = 900
    ttl_s: Annotated[Seconds, Field(description="any other leg counts as ended this long after its last event")] = 14_400
    root_wait_s: Annotated[Seconds, Field(description="how long a call waits for its root's events")] = 60
    retention_s: Annotated[Seconds, Field(description="facts of a complete call are kept this long")] = 3_600
    closed_memory_s: Annotated[Seconds, Field(description="the marker of a dropped call is kept this long")] = 7 * 86_400
    window_sizes_s: Annotated[
        tuple[Annotated[int, Strict(), Field(ge=1, le=86_400)], ...],
        Field(min_length=1, max_length=8, description="sizes of the tallies' windows"),
        give("give 1 to 8 whole numbers of seconds, each from 1 to 86400, such as 60,3600"),
        AfterValidator(checked_sizes),
    ] = (60, 900, 3_600, 86_400)
    tz: Annotated[Zone, Field(description="time zone of the windows of queues that name none, and of agents")] = "UTC"
    short_abandoned_s: Annotated[Seconds, Field(description="an abandoned call that waited at most this long counts as short")] = 5
    grace_s: Annotated[Seconds, Field(description="a window waits this long past its end")] = 30
    tally_retention_s: Annotated[Seconds, Field(description="a final window can be corrected this long")] = 2 * 86_400
    max_legs: Annotated[Count, Field(description="legs of one call; what is above goes to calls.late")] = 1_000

    @model_validator(mode="after")
    def _memory_outlasts_calls(self) -> Self:
        if self.closed_memory_s < self.ttl_s:
            raise advice(
                f"closed_memory_s is {self.closed_memory_s}, less than ttl_s ({self.ttl_s}): give at least as much, or a leg of a long call"
                " is forgotten while it talks and judged a second time"
            )
        return self


class EngineTable(Table):
    """How the worker reads and writes."""

    chunk_records: Annotated[
        int, Strict(), Field(ge=1, le=4_000, description="most records in one transaction"), give("give a whole number from 1 to 4000")
    ] = 2_000
    linger_s: Annotated[
        float, Field(ge=0, le=1, description="between two transactions that are not full"), give("give a number of seconds from 0 to 1")
    ] = 0.05
    session_timeout_s: Annotated[
        int,
        Strict(),
        Field(ge=6, le=1_800, description="a silent worker loses its partitions after this"),
        give("give a whole number of seconds from 6 (the broker's lowest) to 1800"),
    ] = 10
    tick_s: Annotated[
        int, Strict(), Field(ge=1, le=3_600, description="how often an idle partition's time moves on"),
        give("give a whole number of seconds from 1 to 3600"),
    ] = 5  # fmt: skip
    transaction_timeout_s: Annotated[
        int,
        Strict(),
        Field(ge=5, le=900, description="the broker aborts a transaction left open after this"),
        give("give a whole number of seconds from 5 to 900 (the broker's highest)"),
    ] = 15
    processes: Annotated[
        int, Strict(), Field(ge=1, le=64, description="worker processes on this machine"), give("give a whole number from 1 to 64")
    ] = 1
    instance_id: Annotated[
        str,
        Strict(),
        Field(
            pattern=r"^([A-Za-z0-9._-]|\{number\}){0,200}$",
            description="makes a worker a static member of the group: its restart moves nothing",
        ),
        give("give letters, digits, dots, hyphens and {number}, which is replaced by the worker's number"),
    ] = ""
    web_host: Annotated[str, Strict(), Field(min_length=1, description="address of /livez, /readyz, /status, /metrics")] = "127.0.0.1"
    web_port: Annotated[int, Strict(), Field(ge=1, le=65_535, description="port of the same"), give("give a port from 1 to 65535")] = 6_066

    @model_validator(mode="after")
    def _members_differ(self) -> Self:
        if self.instance_id and self.processes > 1 and NUMBER not in self.instance_id:
            raise advice(f"instance_id is {self.instance_id} for each of {self.processes} processes: put {NUMBER} into it")
        return self


class TopicsTable(Table):
    """How topics are made."""

    topic_prefix: Annotated[
        str,
        Strict(),
        Field(pattern=r"^[A-Za-z0-9._-]{0,100}$", description="put before the name of every topic of ours"),
        give("give letters, digits, dots and hyphens, at most 100"),
    ] = ""
    partitions: Annotated[
        int, Strict(), Field(ge=1, le=1_000, description="of every topic"), give("give a whole number from 1 to 1000")
    ] = 4
    replication_factor: Annotated[
        int, Strict(), Field(ge=1, le=10, description="copies of every partition"), give("give a whole number from 1 to 10")
    ] = 1
    topic_retention_s: Annotated[
        int, Strict(), Field(ge=3_600, le=10 * YEAR_S, description="records of topics that are not compacted are kept this long"),
        give("give a whole number of seconds, at least 3600"),
    ] = 7 * 86_400  # fmt: skip


class PrivacyTable(Table):
    """What happens to phone numbers before they reach an output topic. Logs and metrics never have them."""

    phone_numbers: Annotated[
        Literal["keep", "drop", "hash"], Field(description="keep, drop, or hash with the key"), give("give keep, drop or hash")
    ] = "keep"
    phone_numbers_key: Annotated[SecretStr, Field(description="key of the hash, at least 16 characters")] = SecretStr("")

    @model_validator(mode="after")
    def _hash_has_a_key(self) -> Self:
        if self.phone_numbers == "hash" and len(self.phone_numbers_key.get_secret_value()) < 16:
            raise advice("phone_numbers = hash needs phone_numbers_key (CALLVERDICT_PHONE_NUMBERS_KEY) of at least 16 characters")
        return self


BROKER = r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):\d{1,5}"
SOURCES = tuple(Source(vendor=vendor) for vendor in VENDOR_NAMES)


class Settings(BaseSettings):
    """Everything that can be set. Made by `load`; `Settings()` alone is the defaults and reads nothing."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=True)

    bootstrap: Annotated[
        str,
        Strict(),
        Field(pattern=f"^{BROKER}(,{BROKER})*$", description="the brokers to ask first"),
        give("give host:port, several with commas"),
    ] = "localhost:9092"
    app_id: Annotated[
        str,
        Strict(),
        Field(pattern=r"^[A-Za-z0-9.-]{1,100}$", description="consumer group; begins transactional ids and changelogs"),
        give("give letters, digits, dots and hyphens, at most 100"),
    ] = "callverdict"
    bad_record_limit: Annotated[Count, Field(description="so many bad records in a row of one source stop the worker")] = 1_000
    topics: TopicsTable = TopicsTable()
    engine: EngineTable = EngineTable()
    policy: PolicyTable = PolicyTable()
    privacy: PrivacyTable = PrivacyTable()
    security: SecurityTable = SecurityTable()
    sources: Annotated[tuple[Source, ...], Field(min_length=1, description="what is read: JSON in the environment")] = SOURCES
    queues: Annotated[Mapping[Part, Queue], Field(description="numbers and working hours by queue: JSON in the environment")] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the names are pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, *cls.outside())

    @classmethod
    def outside(cls) -> tuple[PydanticBaseSettingsSource, ...]:
        """What stands between the command line and the defaults, the strongest first."""
        return ()

    @field_validator("sources")
    @classmethod
    def _sources_have_names(cls, sources: tuple[Source, ...], info: ValidationInfo) -> tuple[Source, ...]:
        prefix = info.data["topics"].topic_prefix if "topics" in info.data else ""
        named = tuple(with_names(source, prefix=prefix) for source in sources)
        for twice in repeated(source.name for source in named):
            raise advice(f"two sources are called {twice}: give each a name of its own")
        for twice in repeated(source.topic for source in named):
            raise advice(f"two sources read {twice}: give each a topic of its own")
        return named

    @field_validator("queues")
    @classmethod
    def _numbers_lead_to_one_queue(cls, queues: Mapping[str, Queue]) -> Mapping[str, Queue]:
        for twice in repeated(number for queue in queues.values() for number in queue.numbers):
            raise advice(f"the number {twice} stands in two queues: leave it in one")
        return MappingProxyType(dict(sorted(queues.items())))


def with_names(source: Source, *, prefix: str) -> Source:
    """The source with its name (else its vendor) and its topic (else prefix, `calls.raw.` and the name)."""
    name = source.name or source.vendor
    return source.model_copy(update={"name": name, "topic": source.topic or f"{prefix}calls.raw.{name}"})


def repeated(words: Iterable[str]) -> list[str]:
    return sorted(word for word, times in Counter(words).items() if times > 1)
