"""Which form of the core runs: compiled by ops/compile_core.py, or the plain Python that it was compiled from.

Compiled modules lie in a folder of their own with a digest of all sources of the core. Where a source is another one now, or
CALLVERDICT_CORE=python says so, none of them is taken: what somebody edits always runs.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

CORE = Path(__file__).parent / "core"
FOLDER = "native"
"""Of the core: where its compiled modules lie."""
DIGEST = "sources.sha256"
"""The file beside them that tells what they were compiled from."""
CHOICE = "CALLVERDICT_CORE"
"""The environment variable by which plain Python can be asked for: `python`."""


def digest(core: Path = CORE) -> str:
    """Return what tells one state of the sources from another."""
    told = hashlib.sha256()
    for path in sorted(core.glob("*.py")):
        told.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return told.hexdigest()


def path_of_core(plain: list[str]) -> list[str]:
    """Return where modules of the core are to be looked for."""
    return plain if refusal() else [str(CORE / FOLDER), *plain]


def core_form() -> str:
    """Return in words what runs, and why."""
    reason = refusal()
    return f"plain Python: {reason}" if reason else "compiled"


@cache
def refusal() -> str | None:
    """Return why the compiled modules are not taken, or None. The answer stays for the life of the process."""
    return _refusal(CORE)


def _refusal(core: Path) -> str | None:
    """Return why the compiled modules are not taken, or None."""
    if os.environ.get(CHOICE) == "python":
        return f"{CHOICE} asks for it"
    folder = core / FOLDER
    if not any(path.name.endswith(EXTENSION_SUFFIXES[0]) for path in folder.glob("*.so")):
        return "it is not compiled for this Python"
    if (folder / DIGEST).read_text(encoding="utf-8") != digest(core):
        return "a source has changed since it was compiled, `make compile` does it again"
    return None
