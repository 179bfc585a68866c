"""Draws the strategies of tests/support/strategies.py from a plain Random: the same plots, a hundred times as fast as hypothesis draws them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies._internal.collections import ListStrategy, TupleStrategy, UniqueListStrategy
from hypothesis.strategies._internal.core import CompositeStrategy
from hypothesis.strategies._internal.lazy import LazyStrategy
from hypothesis.strategies._internal.misc import BooleansStrategy, JustStrategy
from hypothesis.strategies._internal.numbers import IntegersStrategy
from hypothesis.strategies._internal.strategies import MappedStrategy, SampledFromStrategy

MOST_MORE = 4
"""So many elements beyond its least size a list without a greatest size may have."""


class Draw:
    """What a composite strategy gets as `draw`. Raises TypeError for a kind of strategy that it does not know."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance

    def __call__(self, strategy: st.SearchStrategy[Any]) -> Any:
        while isinstance(strategy, LazyStrategy):
            strategy = strategy.wrapped_strategy
        for kind, draw in _KINDS:
            if isinstance(strategy, kind):
                return draw(self, self._chance, strategy)
        raise TypeError(f"{strategy!r} is a {type(strategy).__name__}: add a row for it to _KINDS")


def _integer(_: Draw, chance: Random, strategy: Any) -> int:
    return chance.randint(strategy.start, strategy.end)


def _some(draw: Draw, chance: Random, strategy: Any) -> list[Any]:
    most = min(strategy.max_size, strategy.min_size + MOST_MORE)
    return [draw(strategy.element_strategy) for _ in range(chance.randint(strategy.min_size, most))]


def _unlike(draw: Draw, chance: Random, strategy: Any) -> list[Any]:
    """As many as come out different: a set may become smaller than was drawn, never than it must be."""
    found = dict.fromkeys(_some(draw, chance, strategy))
    while len(found) < strategy.min_size:
        found[draw(strategy.element_strategy)] = None
    return list(found)


def _mapped(draw: Draw, _: Random, strategy: Any) -> Any:
    return strategy.pack(draw(strategy.mapped_strategy))


_KINDS: tuple[tuple[type, Callable[[Draw, Random, Any], Any]], ...] = (
    (SampledFromStrategy, lambda _, chance, strategy: chance.choice(strategy.elements)),
    (IntegersStrategy, _integer),
    (BooleansStrategy, lambda _, chance, __: chance.random() < 0.5),
    (UniqueListStrategy, _unlike),
    (ListStrategy, _some),
    (TupleStrategy, lambda draw, _, strategy: tuple(map(draw, strategy.element_strategies))),
    (CompositeStrategy, lambda draw, _, strategy: strategy.definition(draw, *strategy.args, **strategy.kwargs)),
    (JustStrategy, lambda _, __, strategy: strategy.value),
    (MappedStrategy, _mapped),
)
