"""The core, through replay, against what a real FreeSWITCH's phones saw and against the oracle, on every recording.

The legs on which it disagrees with the phones are listed one by one, with the reason, in test_recordings_oracle.KNOWN.
"""

from __future__ import annotations

import functools
import gzip
import random
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from pipeline.core.model import LegEvent, Policy
from pipeline.settings import Settings, policy
from pipeline.vendors import VENDORS
from pipeline.workbench.reading import Reader, Told, source_named
from pipeline.workbench.replay import Replay, closing_ms, replay_files
from tests.core.test_recordings_oracle import KNOWN, LEAST_AGREEMENT, LEAST_LEGS
from tests.support.comparison import differences, unbalanced
from tests.support.oracle import judge
from tests.support.truth import RECORDINGS, TrueLeg, disagreements, true_legs

SETTINGS = Settings()
POLICY = policy(SETTINGS)
ESL, CDR = "freeswitch-esl", "freeswitch-json-cdr"
LITE, RAW, CDRS = ".events.lite.jsonl.gz", ".events.jsonl.gz", ".cdr.jsonl.gz"


def files(ending: str) -> list[Path]:
    return sorted(RECORDINGS.glob(f"*{ending}"))


def replayed(vendor: str, paths: Iterable[Path], rules: Policy = POLICY) -> Replay:
    reader = Reader(source_named(vendor, SETTINGS), SETTINGS, rules)
    done = replay_files(list(paths), reader, rules, end="settle")
    assert reader.bad == {}
    return done


def results(done: Replay) -> dict[str, str | None]:
    return {row.leg_id: row.result for row in done.kept.legs.values() if not row.is_deleted}


def legs_of(ending: str) -> list[TrueLeg]:
    scenarios = {path.name.partition(".")[0] for path in files(ending)}
    return [leg for leg in true_legs() if leg.scenario in scenarios]


def check(found: Mapping[str, str | None], legs: list[TrueLeg]) -> None:
    wrong = {one.leg.leg_id: (one.leg.expected, one.result) for one in disagreements(legs, found)}
    judged = {leg.leg_id for leg in legs}
    assert wrong == {leg_id: words for leg_id, words in KNOWN.items() if leg_id in judged}
    assert 1 - len(wrong) / len(legs) >= (LEAST_AGREEMENT if len(legs) >= LEAST_LEGS else 0.998)


@pytest.mark.parametrize(("vendor", "ending", "least"), [(ESL, LITE, LEAST_LEGS), (CDR, CDRS, LEAST_LEGS), (ESL, RAW, 800)])
def test_replay_agrees_with_the_phones_but_for_the_known_legs(vendor: str, ending: str, least: int) -> None:
    legs = legs_of(ending)
    assert len(legs) >= least
    check(results(replayed(vendor, files(ending))), legs)


@pytest.mark.parametrize(("vendor", "ending"), [(ESL, LITE), (CDR, CDRS)])
def test_shuffled_and_repeated_records_agree_as_well(vendor: str, ending: str, tmp_path: Path) -> None:
    chance = random.Random(11)
    for path in files(ending):
        lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
        told = lines + chance.choices(lines, k=len(lines) // 2)
        chance.shuffle(told)
        (tmp_path / path.name).write_bytes(gzip.compress(b"".join(told), 1))
    mixed = {leg_id: result for path in sorted(tmp_path.iterdir()) for leg_id, result in results(replayed(vendor, [path])).items()}
    check(mixed, legs_of(ending))


def test_events_and_records_together_agree_as_well() -> None:
    done = Replay(POLICY)
    for lite, cdr in zip(files(LITE), files(CDRS), strict=True):
        for vendor, path in ((ESL, lite), (CDR, cdr)):
            for record in gzip.decompress(path.read_bytes()).splitlines():
                done.take(record, told(vendor, record))
    done.end("settle")
    check(results(done), legs_of(LITE))


def told(vendor: str, record: bytes) -> list[LegEvent]:
    return list(reader_of(vendor).events(Told("", 0, record)))


@functools.cache
def reader_of(vendor: str) -> Reader:
    return Reader(source_named(vendor, SETTINGS), SETTINGS, POLICY)


@pytest.mark.parametrize(("vendor", "ending"), [(ESL, LITE), (ESL, RAW), (CDR, CDRS)])
def test_the_last_rows_are_the_oracles_on_every_recording(vendor: str, ending: str) -> None:
    compared = 0
    for path in files(ending):
        done = replayed(vendor, [path])
        events = [event for record in gzip.decompress(path.read_bytes()).splitlines() for event in VENDORS[vendor].parse(record)]
        answer = judge(events, POLICY, until_ms=done.last_ms + closing_ms("settle", POLICY))
        done.flow.rows = [
            *done.kept.legs.values(),
            *done.kept.results.values(),
            *done.kept.tallies.values(),
            *done.kept.tallies_agents.values(),
        ]
        assert differences(done.flow.rows, answer) == [], path.name
        assert unbalanced(done.flow.rows) == []
        compared += sum(leg.result is not None for leg in answer.legs.values())
    assert compared > (800 if ending == RAW else 2_000)
