"""Compiles the core with mypyc: `python ops/compile_core.py`, and while the package is built.

    pipeline/core/native/   the compiled modules, and a digest of the sources that they were made from

Modules with msgspec's Structs stay plain Python: mypyc cannot make those. Without a C compiler nothing is compiled, the build says
so, and plain Python runs.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "pipeline" / "core"
GROUP = "pipeline.core.all"
"""Of the library that all modules share; it lies beside them."""
LAST_LINES = 15


def modules() -> list[str]:
    """Return the sources to compile, relative to the root."""
    paths = [path for path in sorted(CORE.glob("*.py")) if path.name != "__init__.py" and "msgspec.Struct" not in path.read_text()]
    return [str(path.relative_to(ROOT)) for path in paths]


def compile_into(scratch: Path) -> None:
    """Compile in this process, with the root as working directory. Leaves the libraries in scratch/pipeline/core."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    options = ["--config-file=", f"--cache-dir={scratch / 'm'}", "--strict", "--ignore-missing-imports"]
    extensions = mypycify([*options, *modules()], group_name=GROUP, opt_level="3", debug_level="0", target_dir=str(scratch / "c"))
    command = build_ext(Distribution({"name": "core", "ext_modules": extensions}))
    command.build_lib, command.build_temp = str(scratch), str(scratch / "o")
    command.ensure_finalized()
    command.run()


def compiled() -> str | None:
    """Compile, and put what comes of it where the core looks for it. Return why there is nothing, or None."""
    native = CORE / "native"
    shutil.rmtree(native, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="callverdict-core-") as folder:
        run = subprocess.run(
            [sys.executable, __file__, folder], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if run.returncode:
            return "\n".join(run.stdout.splitlines()[-LAST_LINES:])
        native.mkdir()
        for library in Path(folder, "pipeline", "core").glob("*.so"):
            shutil.copy2(library, native)
    (native / "sources.sha256").write_text(_digest(), encoding="utf-8")
    return None


def _digest() -> str:
    sys.path.insert(0, str(ROOT))
    from pipeline.compiled import digest

    return digest(CORE)


class CompileCore(BuildHookInterface[Any]):
    """Takes the compiled core into the package where it can be had."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compile; an editable installation finds the libraries in the tree itself."""
        if trouble := compiled():
            self.app.display_warning(f"the core is not compiled, plain Python will run: {trouble}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"] += ["pipeline/core/native/*"]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        compile_into(Path(sys.argv[1]))
    elif reason := compiled():
        sys.exit(f"the core is not compiled, plain Python will run:\n{reason}")
