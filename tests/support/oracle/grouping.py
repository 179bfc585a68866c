"""How a leg gets its call (verdicts, section 1): links first, then groups; bridges never."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.core.model import LegEvent
from tests.support.oracle.facts import Leg, fold


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The legs of one call. `parents` holds the links in effect (the least leg of a ring has none), seen or unseen."""

    tenant: str
    call_id: str
    legs: Mapping[str, Leg]
    parents: Mapping[str, str]
    unseen_roots: frozenset[str]
    runs: Mapping[str, tuple[int, ...]]  # of every switch of the tenant: when each of its runs was first seen


def group(events: Iterable[LegEvent]) -> list[Group]:
    """Every event in exactly one call; calls in the order of (tenant, call_id)."""
    by_leg: dict[tuple[str, str], list[LegEvent]] = {}
    for event in events:
        by_leg.setdefault((event.tenant, event.leg_id), []).append(event)
    legs = [fold(by_leg[key]) for key in sorted(by_leg)]
    runs = _runs([event for found in by_leg.values() for event in found])
    tenants = sorted({leg.tenant for leg in legs})
    return [
        found
        for tenant in tenants
        for found in _calls_of_tenant({leg.leg_id: leg for leg in legs if leg.tenant == tenant}, runs.get(tenant, {}))
    ]


def _runs(events: Iterable[LegEvent]) -> dict[str, dict[str, tuple[int, ...]]]:
    """Tenant -> switch -> when each of its runs was first seen."""
    seen: dict[str, dict[str, dict[str, int]]] = {}
    for event in events:
        if event.core_id and event.source:
            runs = seen.setdefault(event.tenant, {}).setdefault(event.source, {})
            runs[event.core_id] = min(event.at_ms, runs.get(event.core_id, event.at_ms))
    return {tenant: {switch: tuple(runs.values()) for switch, runs in switches.items()} for tenant, switches in seen.items()}


def _calls_of_tenant(legs: Mapping[str, Leg], runs: Mapping[str, tuple[int, ...]]) -> list[Group]:
    parents = _links_in_effect(legs)
    roots = {leg_id: _root(leg_id, parents) for leg_id in legs}
    names = _call_ids(legs, roots)
    return [
        _group(call_id, legs, parents, {root for root in names if names[root] == call_id}, roots, runs)
        for call_id in sorted(set(names.values()))
    ]


def _call_ids(legs: Mapping[str, Leg], roots: Mapping[str, str]) -> dict[str, str]:
    """Root -> call: the least group below it or below a root that shares a group with it, and so on; else the root's own id."""
    groups = {root: {leg.group_id for leg in legs.values() if roots[leg.leg_id] == root and leg.group_id} for root in set(roots.values())}
    names = {root: min(found, default=root) for root, found in groups.items()}
    while True:
        joined = {root: min([names[root], *[names[other] for other in groups if groups[other] & groups[root]]]) for root in names}
        if joined == names:
            return names
        names = joined


def _group(
    call_id: str,
    legs: Mapping[str, Leg],
    parents: Mapping[str, str],
    tops: set[str],
    roots: Mapping[str, str],
    runs: Mapping[str, tuple[int, ...]],
) -> Group:
    inside = {leg_id: leg for leg_id, leg in legs.items() if roots[leg_id] in tops}
    return Group(
        tenant=next(iter(inside.values())).tenant,
        call_id=call_id,
        legs=inside,
        parents={leg_id: parent for leg_id, parent in parents.items() if leg_id in inside},
        unseen_roots=frozenset(tops - set(legs)),
        runs=runs,
    )


def _links_in_effect(legs: Mapping[str, Leg]) -> dict[str, str]:
    links = {leg_id: leg.link for leg_id, leg in legs.items() if leg.link is not None}
    ring_heads = {min(ring) for leg_id in links if (ring := _ring(leg_id, links))}
    return {leg_id: parent for leg_id, parent in links.items() if leg_id not in ring_heads}


def _ring(leg_id: str, links: Mapping[str, str]) -> list[str]:
    """The ring that the links from this leg end in; empty if they end at a root."""
    path = [leg_id]
    while path[-1] in links:
        parent = links[path[-1]]
        if parent in path:
            return path[path.index(parent) :]
        path.append(parent)
    return []


def _root(leg_id: str, parents: Mapping[str, str]) -> str:
    while leg_id in parents:
        leg_id = parents[leg_id]
    return leg_id
