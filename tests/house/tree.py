"""The repository as these tests read it: what git tracks (or would), as paths and text."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def files() -> tuple[Path, ...]:
    """Every file that is tracked or new and not ignored, relative to the root; in a copy without git, every file."""
    if not (ROOT / ".git").exists():
        return tuple(path.relative_to(ROOT) for path in sorted(ROOT.rglob("*")) if path.is_file() and ".venv" not in path.parts)
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    return tuple(Path(name) for name in sorted(set(names)) if name and (ROOT / name).is_file())


@cache
def text(path: Path) -> str | None:
    """None for what is not text."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def modules(room: str = "pipeline") -> tuple[Path, ...]:
    return tuple(path for path in files() if path.suffix == ".py" and path.parts[0] == room)


def documents() -> tuple[Path, ...]:
    return tuple(path for path in files() if path.suffix == ".md")
