"""What is counted stands in windows that later settings must have too: `tally` refuses to go on with others."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.app import codec
from pipeline.app.deadletters import BadRun
from pipeline.app.tally import TallyStep
from pipeline.app.telemetry import Telemetry
from pipeline.app.topics import names, topics
from pipeline.core.stored import Total
from pipeline.core.window import local_window
from pipeline.engine.ending import Halt
from pipeline.settings import load, policy

AT_MS = 1_795_449_900_000
NOWHERE = Path(__file__).parent / "nowhere"


def opened(size_s: int, zone: str, **environ: str) -> None:
    """Open a step whose changelog has one window of the queue sales, of this size and on this clock."""
    settings = load({f"CALLVERDICT_{name}": value for name, value in environ.items()}, directory=NOWHERE)
    counts = {topic.name: topic.partitions for topic in topics(settings)}
    step = TallyStep(0, counts, names(settings), policy(settings), BadRun(1, ("calls.tallies.partial", 0)), Telemetry())
    window = local_window(AT_MS, size_s * 1000, zone)
    key = ("acme", "queue", "sales", "cohort", size_s * 1000, window.start_ms)
    step.restore(*codec.total_record(key, Total(window.end_ms, 1, {"legs_offered": 1})))  # type: ignore[arg-type] # kinds are words
    step.restored("")
    assert step.opened(backlog=False) is None


@pytest.mark.parametrize("size_s", [60, 900, 3_600, 86_400])
def test_the_same_windows_go_on(size_s: int) -> None:
    opened(size_s, "UTC")
    opened(size_s, "Asia/Kolkata", TZ="Asia/Kolkata")
    opened(size_s, "Asia/Kolkata", QUEUES='{"sales": {"tz": "Asia/Kolkata"}}')


@pytest.mark.parametrize(
    ("size_s", "environ"),
    [
        (3_600, {"TZ": "Asia/Kolkata"}),
        (86_400, {"TZ": "Europe/Paris"}),
        (3_600, {"QUEUES": '{"sales": {"tz": "Asia/Kathmandu"}}'}),
        (900, {"WINDOW_SIZES_S": "60,3600"}),
    ],
)
def test_others_are_refused_with_the_way_out(size_s: int, environ: dict[str, str]) -> None:
    with pytest.raises(Halt, match=rf"the queue 'sales' of tenant 'acme' .* window of {size_s} s .*: set them back, or take a new app_id"):
        opened(size_s, "UTC", **environ)
