"""A small process that outlives its parent by a moment: it ends the brokers that a killed parent leaves behind.

Standard input carries one line per change, `+PID` or `-PID`. When it ends, whatever was not taken back is killed and the
folder named on the command line is removed. Only processes that the parent started are ever named here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterable


def remaining(lines: Iterable[str]) -> set[int]:
    """The processes that were named and not taken back."""
    pids: set[int] = set()
    for line in lines:
        if line.startswith("+"):
            pids.add(int(line[1:]))
        else:
            pids.discard(int(line[1:]))
    return pids


def main(folder: str) -> None:
    for pid in remaining(sys.stdin):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
