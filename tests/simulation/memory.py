"""Is what a step has in memory what its changelog would give back?"""

from __future__ import annotations

import heapq
from typing import Any

from pipeline.app.assemble import AssembleStep
from pipeline.app.tally import TallyStep
from pipeline.core.assembly import Assembly
from pipeline.core.call import stored_call
from pipeline.core.totals import Totals
from pipeline.engine.step import RESERVED, Stage, Step
from pipeline.engine.writer import Position
from tests.simulation.broker import Broker
from tests.simulation.log import Place

DERIVED = frozenset({"agenda", "dirty", "touched", "deltas", "clock_moved", "cores_moved", "unsaid", "is_due"})


def differing_state(step: Step, stage: Stage, place: Place, broker: Broker) -> list[str]:
    """Say where a step's state, just committed, differs from one restored from the log."""
    if not isinstance(step, AssembleStep | TallyStep):
        return []
    again = restored(stage, place, broker)
    assert isinstance(again, AssembleStep | TallyStep)
    ours, theirs = _told(step._state), _told(again._state)
    found = [
        f"state of {place}: {name} is {_short(ours[name], theirs[name])}"
        for name in ours
        if name not in DERIVED and ours[name] != theirs[name]
    ]
    if isinstance(step._state, Assembly) and isinstance(again._state, Assembly):
        found += _differing_agenda(step._state, again._state, place)
    return found


def _told(state: Assembly | Totals) -> dict[str, Any]:
    told = {name: getattr(state, name) for name in state.__slots__}
    if isinstance(state, Assembly):
        told["calls"] = {key: stored_call(call) for key, call in state.calls.items()}
    return told


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


def _differing_agenda(ours: Assembly, theirs: Assembly, place: Place) -> list[str]:
    """What is due after a restart must be due in memory too; what is not valid any more may stand there as well."""
    missing = set(theirs.agenda) - set(ours.agenda)
    found = [f"agenda of {place}: {entry} is missing" for entry in sorted(missing)]
    if ours.dirty.keys() != theirs.dirty.keys():
        found.append(f"dirty of {place}: {_short(list(ours.dirty), list(theirs.dirty))}")
    if ours.agenda and ours.agenda[0] != heapq.nsmallest(1, ours.agenda)[0]:
        found.append(f"agenda of {place} is no heap")
    return found


def _short(ours: Any, theirs: Any) -> str:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
        ours, theirs = {key: ours.get(key) for key in keys}, {key: theirs.get(key) for key in keys}
    return f"{ours!r}, restored {theirs!r}"[:2_000]
