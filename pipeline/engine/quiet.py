"""A limit on the log lines of the libraries: during a broker outage aiokafka writes thousands."""

from __future__ import annotations

import logging

from pipeline.engine import clock

NOISY = ("aiokafka", "faust", "mode")
LINES = 5
WINDOW_S = 30.0


class FloodLimit(logging.Filter):
    """Lets `lines` of the same message through per window; the first one of the next window says how many were left out."""

    def __init__(self, lines: int = LINES, window_s: float = WINDOW_S) -> None:
        super().__init__()
        self._lines = lines
        self._window_s = window_s
        self._seen: dict[tuple[str, object], tuple[float, int]] = {}  # (begin of the window, lines in it), by place and text

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.name, record.msg if isinstance(record.msg, str) else type(record.msg))
        begin_s, count = self._seen.get(key, (-self._window_s, 0))
        now_s = clock.elapsed_s()
        if now_s - begin_s >= self._window_s:
            if count > self._lines:
                record.msg = f"{record.msg} [{count - self._lines} more of these were left out]"
            begin_s, count = now_s, 0
        self._seen[key] = (begin_s, count + 1)
        return count < self._lines


def limit_floods() -> None:
    """Put one limit on every logger that the libraries have made so far (a filter does not act on a logger's children)."""
    limit = FloodLimit()
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if name.split(".", 1)[0] in NOISY and isinstance(logger, logging.Logger):
            logger.addFilter(limit)
