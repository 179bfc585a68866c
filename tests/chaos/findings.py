"""What an audit found: records that are lost, that are there twice, and that are wrong, with the first of each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Literal

Kind = Literal["lost", "double", "wrong"]
EXAMPLES = 5


class Findings:
    """Counts, and examples that say where to look."""

    def __init__(self) -> None:
        self.counts: Counter[Kind] = Counter()
        self.examples: dict[tuple[Kind, str], list[str]] = {}

    @property
    def are_none(self) -> bool:
        return not self.counts.total()

    def add(self, kind: Kind, what: str, example: Any, count: int = 1) -> None:
        self.counts[kind] += count
        known = self.examples.setdefault((kind, what), [])
        if len(known) < EXAMPLES:
            known.append(str(example))

    def compare_counts(self, what: str, told: Mapping[Any, int], expected: Mapping[Any, int]) -> None:
        """Lost is what is told less often than expected, double what is told more often."""
        for key in told.keys() | expected.keys():
            more = told.get(key, 0) - expected.get(key, 0)
            if more:
                self.add("double" if more > 0 else "lost", what, key, abs(more))

    def compare_values(self, what: str, told: Mapping[Any, Any], expected: Mapping[Any, Any]) -> None:
        """Lost is a key that is missing, double one that is too many, wrong one that says something else."""
        self.compare_counts(what, dict.fromkeys(told, 1), dict.fromkeys(expected, 1))
        for key in told.keys() & expected.keys():
            if told[key] != expected[key]:
                self.add("wrong", what, f"{key!r}: told {told[key]!r}, expected {expected[key]!r}")

    def check(self, what: str, holds: Iterable[tuple[Hashable, bool]]) -> None:
        """Every example that does not hold is wrong."""
        for example, is_right in holds:
            if not is_right:
                self.add("wrong", what, example)

    def lines(self) -> list[str]:
        """One line a kind of finding."""
        return [f"{kind}: {what}: {'; '.join(examples)}" for (kind, what), examples in self.examples.items()]
