"""The supervisor with real processes that end in every way a worker can."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.app.supervisor import pause_s, supervise

ROOT = Path(__file__).resolve().parents[2]

WORKER = """
import pathlib, signal, sys, time
def stop(*_):
    note("stopped")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
folder, number, ends = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3].split(",")
def note(what):
    with (folder / number).open("a") as file:
        file.write(what + "\\n")
note("started")
life = (folder / number).read_text().count("started")
code = int(ends[life - 1]) if life <= len(ends) and ends[life - 1] else None
if code is not None:
    sys.exit(code)
time.sleep(60)
"""


def command(folder: Path, ends: str) -> list[str]:
    """A worker that ends with the first code in its first life, and so on; an empty code lives on until SIGTERM."""
    return [sys.executable, "-c", WORKER, str(folder), "{number}", ends]


@pytest.mark.parametrize(
    ("previous_s", "lived_s", "expected_s"),
    [(0, 0, 1), (1, 0, 2), (2, 5, 4), (16, 59, 30), (30, 0, 30), (30, 60, 1), (8, 3600, 1)],
)
def test_pauses_double_to_half_a_minute_and_begin_anew_after_a_healthy_minute(previous_s: float, lived_s: float, expected_s: float) -> None:
    assert pause_s(previous_s, lived_s=lived_s) == expected_s


@pytest.mark.parametrize("code", [2, 3])
def test_bad_setup_and_a_halt_stop_all_and_are_passed_on(tmp_path: Path, code: int) -> None:
    begin = time.monotonic()
    assert supervise(command(tmp_path, str(code)), 1) == code
    assert time.monotonic() - begin < 5
    assert (tmp_path / "1").read_text() == "started\n"


def test_all_that_end_cleanly_are_not_restarted(tmp_path: Path) -> None:
    assert supervise(command(tmp_path, "0"), 2) == 0
    assert [(tmp_path / name).read_text() for name in "12"] == ["started\n"] * 2


def test_a_crash_is_restarted_and_sigterm_is_forwarded(tmp_path: Path) -> None:
    program = f"import sys; from pipeline.app.supervisor import supervise; sys.exit(supervise({command(tmp_path, '1,')!r}, 2))"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        _until(lambda: all(_notes(tmp_path / name).count("started") == 2 for name in "12"))
        time.sleep(0.3)  # until its handler stands
        os.kill(process.pid, signal.SIGTERM)
        said, _ = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 0
    assert [_notes(tmp_path / name) for name in "12"] == [["started", "started", "stopped"]] * 2
    assert said.count("worker.died") == 2
    assert "restart_in_s=1.0" in said
    assert re.search(r"workers\.stopping\s+because=SIGTERM", said)


def _notes(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def _until(condition: object, within_s: float = 15.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
