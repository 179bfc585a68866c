"""When a partition's next transaction begins: seldom enough to be cheap, and together with those of its stage's other partitions.

A transaction costs much the same whether it holds one record or a hundred, and each one wakes up everybody who reads what it wrote. So all
partitions of a worker keep one beat: what a stage writes at a beat is read in one fetch, and makes one transaction of each partition
of the next stage. Without records to wait with, the first one goes at once.
"""

from __future__ import annotations

from pipeline.engine.step import Stage

GATHER_SHARE = 0.05
"""Of the linger: so long the first records after a quiet time wait for those that come right behind them."""

EARLY_S = 0.002
"""So much before its time a timer may ring."""


def next_beat_s(now_s: float, beat_s: float, phase_s: float = 0.0) -> float:
    """Return when the beat after this moment's is, in the worker's own time."""
    return ((now_s + EARLY_S - phase_s) // beat_s + 1) * beat_s + phase_s


class Pace:
    """At most one transaction begins in `Stage.lingers` times the linger, unless there is enough for a whole one before."""

    def __init__(self, stage: Stage, linger_s: float) -> None:
        self._gather_s = GATHER_SHARE * linger_s
        self._beat_s = stage.lingers * linger_s
        self._phase_s = stage.phase * self._beat_s
        self._next_s = 0.0

    def next_s(self, since_s: float) -> float:
        """Return from when on the records may go that came at `since_s`."""
        return max(since_s + self._gather_s, self._next_s)

    def begin(self, now_s: float) -> None:
        """A transaction begins."""
        if self._beat_s:
            self._next_s = next_beat_s(now_s, self._beat_s, self._phase_s)
