"""No file names the place where it was made: no registry's host, no path of one machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.tree import files, text

PLACES = {
    "a package registry": re.compile(
        r"pypi\.org|pythonhosted\.org|repo\d?\.maven|maven\.org|maven\.apache\.org/maven2|npmjs\.(org|com)|crates\.io|proxy\.golang\.org"
        r"|deb\.debian\.org|--(extra-)?index-url|--find-links"
    ),
    "a path of one machine": re.compile(r"(?<![\w./-])/(work|root|home/\w+|Users/\w+|tmp)/"),
    "another checkout": re.compile(r"\.\./shared"),
}
ITSELF = Path("tests/house/test_words.py")


@pytest.mark.parametrize("place", PLACES)
def test_no_file_names(place: str) -> None:
    texts = {path: text(path) for path in files() if path != ITSELF}
    found = {str(path): match[0] for path, words in texts.items() if words and (match := PLACES[place].search(words))}
    assert found == {}


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("a package registry", "--index-url https://example.invalid"),
        ("a path of one machine", "open('/tmp/x')"),
        ("a path of one machine", "cd /root/x"),
        ("another checkout", "see ../shared/x"),
    ],
)
def test_the_search_finds(place: str, line: str) -> None:
    assert PLACES[place].search(line)
