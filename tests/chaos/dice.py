"""A seeded die that plays the strategies' plots: the same calls as hypothesis would draw, fast enough for a million of them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies._internal.lazy import unwrap_strategies

from tests.support.strategies import TICK_MS, Script

T = TypeVar("T")


class DiceScript(Script):
    """A call being written, by chance alone."""

    def __init__(self, dice: Random) -> None:
        super().__init__(draw=lambda strategy: drawn(dice, strategy))
        object.__setattr__(self, "dice", dice)  # a script is frozen

    dice: Random

    def pick(self, choices: Sequence[T]) -> T:
        return self.dice.choice(choices)

    def one_in(self, n: int) -> bool:
        return self.dice.randrange(n) == 0

    def span(self, least_s: float, most_s: float) -> int:
        return self.dice.randint(round(least_s * 1000) // TICK_MS, round(most_s * 1000) // TICK_MS) * TICK_MS


def drawn(dice: Random, strategy: st.SearchStrategy[Any]) -> Any:
    """What a strategy of the plots could give: whole numbers from a range, one of several, a list of such."""
    inner: Any = unwrap_strategies(strategy)  # type: ignore[no-untyped-call]
    if hasattr(inner, "start"):
        return dice.randint(inner.start, inner.end)
    if hasattr(inner, "elements"):
        return dice.choice(inner.elements)
    return [drawn(dice, inner.element_strategy) for _ in range(dice.randint(0, int(inner.max_size)))]
