"""Is what a step has in memory what its changelog would give back?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.app import codec
from pipeline.app.assemble import AssembleStep
from pipeline.app.tally import TallyStep
from pipeline.core.assembly import Assembly
from pipeline.core.totals import Totals
from pipeline.engine.step import RESERVED, Stage, Step
from pipeline.engine.writer import Position
from tests.simulation.broker import Broker
from tests.simulation.log import Place

HOMES = ("calls", "closed")
DERIVED = {"agenda", "dirty", "unsaid", "is_due"}
PASSING = ("touched", "deltas", "moved")
"""Words in the names of what `drain` empties."""


def differing_state(step: Step, stage: Stage, place: Place, broker: Broker) -> Iterator[str]:
    """Say where a step's state, just committed, differs from one restored from the log."""
    if isinstance(step, AssembleStep | TallyStep):
        again = restored(stage, place, broker)
        assert isinstance(again, AssembleStep | TallyStep)
        ours, theirs = _content(step._state), _content(again._state)
        for name in ours:
            if ours[name] != theirs[name]:
                yield f"state of {place}: {name} is {_short(ours[name], theirs[name])}"
        if isinstance(step._state, Assembly) and isinstance(again._state, Assembly):
            yield from _differing_agenda(step._state, again._state, place)


def restored(stage: Stage, place: Place, broker: Broker) -> Step:
    """Return a new step with the state that the changelog has, whatever markers are still to come."""
    step = stage.open(*place, broker.counts)
    if stage.changelog is not None:
        for record in broker.logs[stage.changelog, place[1]].decided():
            assert record.key is not None
            if not record.key.startswith(RESERVED):
                step.restore(record.key, record.value)
    step.restored(broker.committed.get(place, Position(0)).metadata)
    return step


def _content(state: Assembly | Totals) -> dict[str, Any]:
    """Everything that has to outlive a worker; calls as bytes, since they may know more than is stored of them."""
    names = [name for name in dir(state) if not name.startswith("_")]  # no other way reads compiled and plain classes alike
    kept = [name for name in names if name not in DERIVED and not any(word in name for word in PASSING)]
    return {name: _homes(getattr(state, name)) if name in HOMES else getattr(state, name) for name in kept}


def _homes(homes: dict[str, Any]) -> dict[str, bytes | None]:
    return {key: codec.home_record(key, home)[1] for key, home in homes.items()}


def _differing_agenda(ours: Assembly, theirs: Assembly, place: Place) -> Iterator[str]:
    """What is due after a restart must be due in memory too; what is not valid any more may stand there as well."""
    missing = set(theirs.agenda) - set(ours.agenda)
    yield from (f"agenda of {place}: {entry} is missing" for entry in sorted(missing))
    if ours.dirty.keys() != theirs.dirty.keys():
        yield f"dirty of {place}: {_short(list(ours.dirty), list(theirs.dirty))}"


def _short(ours: Any, theirs: Any) -> str:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
        ours, theirs = {key: ours.get(key) for key in keys}, {key: theirs.get(key) for key in keys}
    return f"{ours!r}, restored {theirs!r}"[:2_000]
