"""Calls that are put away as bytes and taken out again: nobody can tell, except by the memory."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.app import assemble, codec
from pipeline.app.assemble import AssembleStep
from pipeline.app.deadletters import BadRun
from pipeline.app.gauges import counted
from pipeline.app.telemetry import Telemetry
from pipeline.app.topics import names
from pipeline.core.inspection import open_calls
from pipeline.core.routing import Watermark
from pipeline.engine.step import Batch
from pipeline.settings import load, policy
from pipeline.workbench.ringall import Load, stream

CALLS = 60
ORIGIN = "calls.raw.canonical/0"


def new_step(folder: Path) -> AssembleStep:
    settings = load({}, directory=folder)
    topics = names(settings)
    counts: dict[str, int] = {topics.events: 1, topics.partials: 1, topics.late: 1, topics.dead_letters: 1}
    return AssembleStep(0, counts, topics, policy(settings), ["calls.raw.canonical"], BadRun(1, ("calls.events", 0)), 300_000, Telemetry())


def records() -> list[Any]:
    """A minute and more of ring-all calls, with a watermark now and then, and at last one behind which nothing is left."""
    last_ms, found = 1_700_000_000_000, []
    events = stream(Load(CALLS, begin_ms=last_ms, origin=ORIGIN), {})
    while some := list(islice(events, 20)):
        last_ms = some[-1].at_ms
        found += [*map(codec.encode, some), codec.encode(Watermark(origin=ORIGIN, at_ms=last_ms))]
    found.append(codec.encode(Watermark(origin=ORIGIN, at_ms=last_ms + 30 * 86_400_000)))
    return [SimpleNamespace(topic="calls.events", partition=0, offset=number, timestamp=0, key=None, value=value, headers=())
            for number, value in enumerate(found)]  # fmt: skip


def chunks(seed: int) -> list[list[Any]]:
    dice, rest, cut = random.Random(seed), records(), []
    while rest:
        size = dice.randint(1, 120)
        cut.append(rest[:size])
        rest = rest[size:]
    return cut


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "callverdict.toml").write_text('bootstrap = "nowhere:1"\n[[sources]]\nvendor = "canonical"\n')
    return tmp_path


@pytest.mark.parametrize("seed", range(3))
def test_the_same_is_written_however_few_calls_are_kept_open(folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Batch] = []
    put_away: list[Batch] = []
    for most_warm, told in ((10**9, kept), (2, put_away)):
        monkeypatch.setattr(assemble, "MOST_WARM", most_warm)
        step = new_step(folder)
        told += [step.chunk(chunk) for chunk in chunks(seed)]
        assert len(step.state.calls) == 0
    assert put_away == kept
    assert sum(len(batch.changes) for batch in kept) > CALLS


def test_only_so_many_calls_are_kept_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "MOST_WARM", 4)
    step = new_step(folder)
    seen = []
    for chunk in chunks(0)[:-1]:
        step.chunk(chunk)
        calls = step.state.calls
        assert len(calls.warm) <= 5 + len(step.state.dirty)
        assert not calls.warm.keys() & calls.images.keys()
        assert counted([*calls.warm.values()], [*calls.images.values()]).open == open_calls(calls.values())
        seen.append(len(calls.images))
    assert max(seen) > 10


def test_a_restart_opens_only_what_waits_to_be_judged(folder: Path) -> None:
    step = new_step(folder)
    changes: dict[bytes, bytes | None] = {}
    batches: list[Batch] = [step.chunk(chunk) for chunk in chunks(1)[:-4]]
    for batch in batches:
        changes.update(batch.changes)
    again = new_step(folder)
    for key, value in changes.items():
        again.restore(key, value)
    again.restored("")
    ours, theirs = step.state, again.state
    assert theirs.calls.warm.keys() == ours.dirty.keys() == theirs.dirty.keys()
    assert len(theirs.calls) == len(ours.calls) > 20
    assert {key: codec.call_image(call) for key, call in theirs.calls.items()} == {
        key: codec.call_image(call) for key, call in ours.calls.items()
    }
    assert set(theirs.agenda) <= set(ours.agenda)
    for rest in chunks(1)[-4:]:
        assert content(again.chunk(rest)) == content(step.chunk(rest))


def content(batch: Batch) -> dict[tuple[str, int], list[Any]]:
    """Calls that wait to be judged are judged in another order after a restart."""
    return {**{place: sorted(rows, key=str) for place, rows in batch.outputs.items()}, ("", 0): sorted(batch.changes, key=str)}
