"""What the documents tell a reader to type exists."""

from __future__ import annotations

import re

import pytest

from pipeline.cli.main import COMMANDS
from tests.house.tree import ROOT, documents, text

CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
MAKEFILE = (ROOT / "Makefile").read_text()


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))


def typed(program: str) -> set[tuple[str, str]]:
    """(document, word) for every word that a document's code puts after the program's name."""
    found = re.compile(rf"(?:^|[\s`/]){program}\s+([a-z][a-z-]*)", re.MULTILINE)
    return {(str(path), word) for path in documents() for code in CODE.findall(text(path) or "") for word in found.findall(code)}


def test_the_readme_shows_the_two_commands() -> None:
    assert {("README.md", "demo"), ("README.md", "test")} <= typed("make")


def test_every_make_target_in_the_documents_exists() -> None:
    assert {(path, word) for path, word in typed("make") if word not in targets()} == set()


def test_every_command_in_the_documents_exists() -> None:
    assert {(path, word) for path, word in typed("callverdict") if word not in COMMANDS} == set()


@pytest.mark.parametrize("target", sorted(targets()))
def test_every_target_says_what_it_does(target: str) -> None:
    assert re.search(rf"^{target}:.*## \w", MAKEFILE, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony
    assert target in phony[1].split()
