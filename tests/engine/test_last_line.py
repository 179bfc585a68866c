"""The last line of a worker's log says how it ended, and of a crash why."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from mode.worker import exiting
from structlog.testing import capture_logs

from pipeline.engine.worker import _exit_code


class Ending:
    """A Faust worker that ends with an error, by itself or in one of its services, or with none."""

    def __init__(self, raised: Exception | None = None, crash: Exception | None = None) -> None:
        self.raised = raised
        self.crash_reason = None
        self.app = SimpleNamespace(crash_reason=crash)

    def execute_from_commandline(self) -> None:
        with exiting():
            for error in (self.raised, self.app.crash_reason):
                if error is not None:
                    raise error


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        (Ending(), 0, {"event": "worker.ended", "log_level": "info"}),
        (Ending(raised=RuntimeError("boom")), 1, {"event": "worker.crashed", "log_level": "critical", "reason": "RuntimeError('boom')"}),
        (Ending(crash=OSError("gone")), 1, {"event": "worker.crashed", "log_level": "critical", "reason": "OSError('gone')"}),
    ],
    ids=["clean", "raised", "a service crashed"],
)
def test_the_last_line_says_how_it_ended(ending: Any, code: int, said: dict[str, str]) -> None:
    with capture_logs() as lines:
        assert _exit_code(ending) == code
    assert lines[-1].items() >= {**said, "exit_code": code}.items()
