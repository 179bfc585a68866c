"""The core in both of its forms, compiled and plain: the same bytes, and what somebody edits always runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.compiled import core_form

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "tests/recordings/freeswitch/s06_callcenter.events.lite.jsonl.gz"
WANTED = os.environ.get("CALLVERDICT_TEST_FORM", "")
"""Set by `make test-forms`."""


@pytest.mark.skipif(not WANTED, reason="only `make test-forms` says which form has to run")
def test_these_tests_run_on_the_form_that_they_are_meant_for() -> None:
    assert core_form().split(":")[0] == {"compiled": "compiled", "plain": "plain Python"}[WANTED]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, with its core compiled."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler (cc) here, so the core runs as plain Python")
    tree = tmp_path_factory.mktemp("compiled")
    shutil.copytree(ROOT / "pipeline", tree / "pipeline", ignore=shutil.ignore_patterns("native", "__pycache__"))
    shutil.copytree(ROOT / "ops", tree / "ops", ignore=shutil.ignore_patterns("bench"))
    ran(tree, sys.executable, "ops/compile_core.py")
    return tree


def ran(tree: Path, *command: str, **environ: str) -> str:
    """Run a command on the copy; return what it printed."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("CALLVERDICT_")} | {"PYTHONPATH": str(tree)} | environ
    return subprocess.run(command, cwd=tree, env=own, check=True, stdout=subprocess.PIPE, text=True).stdout


def callverdict(tree: Path, *arguments: str, **environ: str) -> str:
    return ran(tree, sys.executable, "-m", "pipeline.cli.main", *arguments, **environ)


def replayed(tree: Path, out: str, **environ: str) -> tuple[bytes, ...]:
    kinds = ("out", "results", "tallies")
    paths = [tree / f"{out}-{kind}.jsonl" for kind in kinds]
    options = [text for kind, path in zip(kinds, paths, strict=True) for text in (f"--{kind}", str(path))]
    callverdict(tree, "replay", str(RECORDING), "--source", "freeswitch-esl", "--no-progress", *options, **environ)
    return tuple(path.read_bytes() for path in paths)


@pytest.mark.slow
def test_both_forms_write_the_same_bytes(tree: Path) -> None:
    assert callverdict(tree, "--version").splitlines()[1] == "core: compiled"
    assert callverdict(tree, "--version", CALLVERDICT_CORE="python").splitlines()[1] == "core: plain Python: CALLVERDICT_CORE asks for it"
    plain = replayed(tree, "plain", CALLVERDICT_CORE="python")
    assert all(plain)
    assert replayed(tree, "compiled") == plain


@pytest.mark.slow
def test_what_was_edited_since_it_was_compiled_runs_as_it_was_edited(tree: Path) -> None:
    edited = tree / "pipeline/core/causes.py"
    before = edited.read_text()
    try:
        edited.write_text(before + "\n# an edit\n")
        assert "a source has changed since it was compiled" in callverdict(tree, "--version")
    finally:
        edited.write_text(before)
    assert callverdict(tree, "--version").splitlines()[1] == "core: compiled"
