"""How a worker ends: its exit codes, and the one way to end at once."""

from __future__ import annotations

import logging
import os
import sys
from enum import IntEnum
from typing import Any, NoReturn

import structlog

log = structlog.stdlib.get_logger("callverdict.engine")


class Exit(IntEnum):
    """What the supervisor goes by: only a crash is worth a restart."""

    CLEAN = 0
    CRASH = 1
    SETUP = 2
    HALTED = 3


class Halt(Exception):
    """Raised by a step: end the worker on purpose. Nothing of the chunk is committed; no restart before someone looked."""


def end_process(code: Exit, event: str, **facts: Any) -> NoReturn:
    """Log one line and leave at once, running nothing: state in memory must never live longer than the log it belongs to."""
    say = log.warning if code is Exit.CLEAN else log.critical
    say(event, exit_code=int(code), **facts)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
