"""What the demo plays: recordings of a real FreeSWITCH, each as fast as one show needs it, and the settings that fit them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.core.model import LegEvent
from pipeline.errors import BadRecord, CallverdictError
from pipeline.settings import Settings, load
from pipeline.settings.reading import FILE_NAME
from pipeline.vendors import VENDORS
from pipeline.workbench.recording import records

VENDOR = "freeswitch-esl"
PARTITIONS = 2  # a partition costs a transaction for every chunk, and here Kafka, worker and player share one machine
IN_THE_REPOSITORY = Path(__file__).parents[2] / "tests" / "recordings" / "freeswitch"


class ProgrammeError(CallverdictError):
    """Nothing can be played; the message says what to do."""


class Part(NamedTuple):
    """One recording: the source that tells it, how many times as fast, how long after the beginning.

    `queue` is what the numbers dialed in it are called; a recording without one names its queues itself, or has none.
    """

    file: str
    source: str
    speed: float
    after_s: float
    queue: str | None = None


PARTS = (
    Part("s06_callcenter.events.lite.jsonl.gz", "callcenter", speed=14.0, after_s=0.0),
    Part("s08_autodialer.events.lite.jsonl.gz", "dialer", speed=1.4, after_s=0.0),
    Part("s01_ringall_one_answers.events.jsonl.gz", "pbx", speed=1.0, after_s=1.5, queue="sales"),
    Part("s05_mixed_ringall.events.lite.jsonl.gz", "pbx", speed=1.0, after_s=4.0, queue="support"),
    Part("s03_caller_hangs_up_ringing.events.lite.jsonl.gz", "pbx", speed=1.0, after_s=8.0, queue="billing"),
)
"""Every result of a leg and of a call occurs. Two phones of one call ring for seconds, so the ring-all recordings are told as they
happened; the call centre's eight minutes go by faster. Sources are apart, since stream time waits for the slowest of them."""


def recordings(directory: Path | None, parts: Sequence[Part] = PARTS) -> Path:
    """Return the folder that holds all parts. Raises ProgrammeError."""
    folder = directory or IN_THE_REPOSITORY
    missing = [part.file for part in parts if not (folder / part.file).is_file()]
    if not missing:
        return folder
    if directory is None:
        raise ProgrammeError(
            "the recordings are not part of the installed package: run in a clone of the repository, or name its tests/recordings/freeswitch with --recordings"
        )
    raise ProgrammeError(f"{directory} lacks {', '.join(missing)}: give the folder tests/recordings/freeswitch of a clone")


def dialed_numbers(path: Path) -> frozenset[str]:
    """Return every number that a caller dialed in this recording."""
    return frozenset(event.dialed for record in records(path) for event in _events(record) if event.dialed)


def _events(record: bytes) -> tuple[LegEvent, ...]:
    try:
        return VENDORS[VENDOR].parse(record)
    except BadRecord:
        return ()


def queues(folder: Path, parts: Sequence[Part] = PARTS) -> dict[str, tuple[str, ...]]:
    """Return queue -> the numbers that lead to it."""
    return {part.queue: tuple(sorted(dialed_numbers(folder / part.file))) for part in parts if part.queue}


def settings_text(bootstrap: str, numbers: Mapping[str, Sequence[str]], *, apart: str = "", parts: Sequence[Part] = PARTS) -> str:
    """Return a callverdict.toml. `apart` begins the names of topics and group, so that nothing else on that Kafka is touched."""
    lines = [f"bootstrap = {json.dumps(bootstrap)}", f"app_id = {json.dumps(f'{apart}callverdict')}"]
    for source in dict.fromkeys(part.source for part in parts):
        lines += ["", "[[sources]]", f"vendor = {json.dumps(VENDOR)}", f"name = {json.dumps(source)}"]
    lines += ["", "[topics]", f"topic_prefix = {json.dumps(apart)}", f"partitions = {PARTITIONS}"]
    for queue, dialed in numbers.items():
        lines += ["", f"[queues.{queue}]", f"numbers = {json.dumps(list(dialed))}"]
    return "\n".join(lines) + "\n"


def written_settings(folder: Path, text: str) -> Settings:
    """Write callverdict.toml into a folder and return the settings as a worker reads them from there alone."""
    (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return load({}, directory=folder)


def name_apart() -> str:
    """Return the beginning of names that nobody else uses."""
    return f"demo-{uuid.uuid4().hex[:8]}."
