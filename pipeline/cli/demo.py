"""`callverdict demo`: the whole pipeline on a real Kafka, in under a minute."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from typing import NoReturn

import click

from pipeline.cli import options
from pipeline.errors import CallverdictError, SettingsError

FOUND = 1
INTERRUPTED = 130


@click.command()
@click.option(
    "--bootstrap",
    envvar="CALLVERDICT_BOOTSTRAP",
    metavar="HOST:PORT",
    help="Use this Kafka, with topics of the demo's own that are removed afterwards.  [default: a temporary one; env: CALLVERDICT_BOOTSTRAP]",
)
@click.option("--keep", is_flag=True, help="Leave Kafka and worker running, to look further, until Ctrl-C.")
@click.option("--no-progress", is_flag=True, help="Plain lines, as for logs; so it is too where stdout is no terminal.")
@click.option("--speed", type=click.FloatRange(0.1, 100), default=1.0, show_default=True, help="How many times as fast to play.")
@click.option(
    "--recordings",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder tests/recordings/freeswitch of a clone.  [default: the one of the clone that this runs from]",
)
def demo(*, bootstrap: str | None, keep: bool, no_progress: bool, speed: float, recordings: Path | None) -> None:
    """Start a real Kafka and a worker, play a real switch's ring-all calls, watch the verdicts, explain one of them, stop everything.

    \b
    Example:
      callverdict demo
      callverdict demo --keep
    """  # noqa: D301 - \b is click's mark for lines to keep
    end_in_order()
    try:
        perform(bootstrap, recordings, speed, keep=keep, is_live=not no_progress)
    except KeyboardInterrupt:
        leave("interrupted: everything that was started has been stopped", INTERRUPTED)


def perform(bootstrap: str | None, recordings: Path | None, speed: float, *, keep: bool, is_live: bool) -> None:
    """What says that it cannot begin is exit 2 as everywhere; what breaks off is exit 1."""
    from rich.console import Console

    from pipeline.workbench import demo as show
    from pipeline.workbench.programme import ProgrammeError
    from pipeline.workbench.runtime import LocalKafkaError
    from pipeline.workbench.stage import Stage

    if bootstrap is not None:
        bootstrap = options.settings_with(bootstrap=bootstrap).bootstrap
    console = Console(highlight=False)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it complains about comes back as an exception
    try:
        show.demo(show.Plan(bootstrap, recordings, speed, keep, program()), Stage(console, is_live=console.is_terminal and is_live))
    except (ProgrammeError, LocalKafkaError, SettingsError):
        raise
    except CallverdictError as error:
        leave(str(error), FOUND)


def end_in_order() -> None:
    """Let SIGTERM do what Ctrl-C does, also where a shell started this in the background and ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def leave(sentence: str, code: int) -> NoReturn:
    click.echo(f"callverdict: {sentence}", err=True)
    sys.exit(code)


def program() -> str:
    """How this program was called, for hints that can be copied."""
    name = Path(sys.argv[0])
    if name.name != "callverdict":
        return "callverdict"
    return str(name.relative_to(Path.cwd())) if name.is_relative_to(Path.cwd()) else str(name)
