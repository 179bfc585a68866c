"""`callverdict play`: a producer for recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import click

from pipeline.cli import options

if TYPE_CHECKING:
    from rich.progress import Progress

    from pipeline.workbench.player import Sent, Telling

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Speed(click.ParamType):
    """A factor above 0, or `max`."""

    name = "FACTOR|max"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if value == "max":
            return 0.0
        try:
            speed = float(str(value))
        except ValueError:
            speed = 0.0
        if not 0.001 <= speed <= 1_000_000:
            self.fail(f"{value}: give a factor from 0.001 to 1000000, or max to wait for nothing", param, ctx)
        return speed


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE)
@options.bootstrap
@click.option("--topic", help="Where to send. Without it nothing is sent, and --out is written at once.")
@click.option("--speed", type=Speed(), default="1", show_default=True, help="How many times as fast; `max` waits for nothing.")
@click.option("--times", type=click.Choice(["now", "keep"]), default="now", show_default=True, help="Move times to now, or keep them.")
@click.option("--ids", type=click.Choice(["new", "keep"]), default="new", show_default=True, help="Put new UUIDs, or keep them.")
@click.option("--seed", help="The same seed gives the same new ids: a UUID, or any word.  [default: a random one, printed]")
@click.option("--key", type=click.Choice(["leg", "none"]), default="leg", show_default=True, help="Key of a record: its leg's id, or none.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write what was sent to a file, gzip if it ends in .gz.")
@click.option("--no-progress", is_flag=True, help="No progress bar, as for logs.")
def play(
    *, files: tuple[Path, ...], bootstrap: str | None, topic: str | None, speed: float, times: str, ids: str, seed: str | None,
    key: str, out: Path | None, no_progress: bool,
) -> None:  # fmt: skip
    """Play recorded vendor events (one a line, plain or gzip) into a topic, as the switch that made them would.

    Speed changes the sending only. All times move by one whole number of seconds, so that the distances between them stay and nothing
    comes from the future; every UUID-shaped string becomes uuid5(seed, old) wherever it stands. Several files are merged by time.

    \b
    Example:
      callverdict play switch.events.jsonl.gz --topic calls.raw.freeswitch-esl --speed 10
      callverdict play switch.cdr.jsonl.gz --out moved.jsonl --seed demo
    """  # noqa: D301 - \b is click's mark for lines to keep
    from pipeline.app.cluster import cluster
    from pipeline.workbench import player

    if topic is None and out is None:
        raise click.UsageError("nothing to do: give --topic to send, --out to write, or both")
    telling = player.Telling(speed=speed, times=times, ids=ids, seed=seed or str(uuid4()), key=key)  # type: ignore[arg-type]
    to = cluster(options.settings_with(bootstrap=bootstrap)) if topic else None
    with bar(shown=not no_progress) as progress:
        task = progress.add_task("reading", total=None)
        sent = options.run(
            player.play(
                files,
                telling,
                bootstrap=to,
                topic=topic,
                out=out,
                on_survey=lambda found: progress.update(task, description="playing", total=found.size_bytes),
                on_sent=lambda size_bytes: progress.advance(task, size_bytes),
            )
        )
    click.echo(summary(sent, telling, topic or str(out)), err=True)


def bar(*, shown: bool) -> Progress:
    """On stderr, and only where somebody looks at it."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not (shown and console.is_terminal), transient=True)


def summary(sent: Sent, telling: Telling, where: str) -> str:
    ids = f"new ids by seed {telling.seed}" if telling.ids == "new" else "ids kept"
    times = f"times moved by {sent.shift_s:+d} s" if telling.times == "now" else "times kept"
    return f"{sent.records} records ({sent.size_bytes / 1e6:.1f} MB) to {where} in {sent.seconds:.1f} s; {times}, {ids}"
