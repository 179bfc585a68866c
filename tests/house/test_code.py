"""How the code is cut: small functions, modules named by nouns, rooms that say what lives there."""

from __future__ import annotations

import ast
import statistics
from pathlib import Path

import pytest

from tests.house.tree import ROOT, modules, text

VAGUE = {"util", "utils", "helper", "helpers", "common", "manager", "handler", "processor", "base", "misc"}
ROOMS = ("app", "cli", "core", "engine", "settings", "vendors", "workbench")
LONGEST_FILE = 450
LONGEST_FUNCTION = 60
MEDIAN_FUNCTION = 10


def functions(path: Path) -> list[tuple[str, int]]:
    """Name and length in lines of every function."""
    nodes = ast.walk(ast.parse(text(path) or ""))
    return [
        (node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


@pytest.mark.parametrize("room", ["pipeline", "tests"])
def test_no_module_has_a_vague_name(room: str) -> None:
    assert modules(room)
    assert [path for path in modules(room) if VAGUE & set(path.with_suffix("").parts)] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_lives_there_and_what_may_not(room: str) -> None:
    contract = ast.get_docstring(ast.parse((ROOT / "pipeline" / room / "__init__.py").read_text())) or ""
    assert "may not live" in contract


def test_every_module_says_what_it_is() -> None:
    assert [path for path in modules() if not ast.get_docstring(ast.parse(text(path) or ""))] == []


def test_no_file_is_long() -> None:
    assert {path: lines for path in modules() if (lines := len((text(path) or "").splitlines())) > LONGEST_FILE} == {}


def test_functions_are_small() -> None:
    lengths = {(path, name): lines for path in modules() for name, lines in functions(path)}
    assert {where: lines for where, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}
    assert statistics.median(lengths.values()) < MEDIAN_FUNCTION
