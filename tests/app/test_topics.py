"""The table of topics, without a broker."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from pipeline.app.topics import ROWS, Role, names, topics
from pipeline.errors import SettingsError
from pipeline.settings import Settings, load

NOWHERE = Path("/nonexistent")


def settings(**environ: str) -> Settings:
    return load({f"CALLVERDICT_{key.upper()}": value for key, value in environ.items()}, directory=NOWHERE)


EXPECTED = """
calls.raw.freeswitch-esl         delete
calls.raw.freeswitch-json-cdr    delete
calls.raw.canonical              delete
calls.events                     delete
calls.legs                       delete
calls.results                    compact
calls.tallies.partial            delete
calls.tallies                    compact
calls.tallies.agents             compact
calls.audit                      delete
calls.late                       delete
calls.dead-letters               delete
callverdict-assemble-changelog   compact
callverdict-tally-changelog      compact
"""


def test_the_declared_topics_and_what_becomes_of_old_records() -> None:
    declared = topics(settings())
    lines = [line.split() for line in EXPECTED.strip().splitlines()]
    assert [[topic.name, topic.configs["cleanup.policy"]] for topic in declared] == lines


def test_every_role_has_one_row_and_inputs_have_none() -> None:
    assert sorted(row.role for row in ROWS) == sorted(set(get_args(Role)) - {"raw"})


def test_all_topics_carry_the_brokers_time_and_the_same_number_of_partitions() -> None:
    declared = topics(settings(partitions="7"))
    assert {(topic.partitions, topic.configs["message.timestamp.type"]) for topic in declared} == {(7, "LogAppendTime")}


def test_a_changelog_follows_the_topic_that_its_state_is_made_of() -> None:
    follows = {topic.name: topic.follows for topic in topics(settings(app_id="mine", topic_prefix="eu."))}
    assert follows["eu.mine-assemble-changelog"] == "eu.calls.events"
    assert follows["eu.mine-tally-changelog"] == "eu.calls.tallies.partial"
    assert set(filter(None, follows.values())) <= set(follows)


@pytest.mark.parametrize(("copies", "needed"), [("1", "1"), ("2", "1"), ("3", "2")])
def test_of_three_copies_two_must_have_a_write(copies: str, needed: str) -> None:
    declared = topics(settings(replication_factor=copies))
    assert {topic.configs["min.insync.replicas"] for topic in declared} == {needed}


def test_retention_is_set_where_records_are_dropped_by_age_and_are_ours() -> None:
    kept = {topic.role: topic.configs.get("retention.ms") for topic in topics(settings(topic_retention_s="3600"))}
    assert {role for role, ms in kept.items() if ms == "3600000"} == {"events", "legs", "partials", "audit", "late", "dead_letters"}
    assert kept["raw"] is None


def test_two_applications_on_one_cluster_share_no_changelog() -> None:
    one, other = names(settings(app_id="one")), names(settings(app_id="other"))
    assert {one.assemble_changelog, one.tally_changelog}.isdisjoint({other.assemble_changelog, other.tally_changelog})


def test_a_source_may_not_read_what_we_write() -> None:
    with pytest.raises(SettingsError) as caught:
        topics(settings(sources='[{"vendor": "canonical", "topic": "calls.legs"}]'))
    assert caught.value.problems == ("a source reads calls.legs, which callverdict writes: give it another topic",)


def test_topic_names_mix_no_underscores_into_metrics() -> None:
    assert not [topic.name for topic in topics(settings()) if "_" in topic.name]
