"""The errors that this project raises on purpose.

    CallverdictError
    |-- BadRecord       bad data: becomes a dead letter, the stream goes on
    |-- SettingsError   bad setup: exit 2 with every problem listed, before Kafka is touched
    `-- ...             a command's own: exit 2 with its sentence

Anything else is our own bug: the process ends, nothing is committed, work is taken up again from the last committed state.
"""

from __future__ import annotations

from collections.abc import Sequence


class CallverdictError(Exception):
    """The common ancestor, for a caller that wants to catch all of them."""


class BadRecord(CallverdictError):
    """A record that cannot be read. `reason` is a word of a closed set (it labels a metric), `message` says what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class SettingsError(CallverdictError):
    """Settings that cannot be used. `problems` has one line of advice for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
