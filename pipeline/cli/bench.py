"""`callverdict bench`: what the pipeline costs on this machine."""

from __future__ import annotations

import logging
from pathlib import Path

import click

QUICK_EVENTS = 20_000
QUICK_LATENCY_S = 4.0


def listed(_: click.Context, __: click.Parameter, text: str) -> tuple[str, ...]:
    return tuple(name for name in text.replace(" ", "").split(",") if name)


@click.command()
@click.option(
    "--bootstrap",
    envvar="CALLVERDICT_BOOTSTRAP",
    metavar="HOST:PORT",
    help="Use this Kafka.  [default: a temporary one; env: CALLVERDICT_BOOTSTRAP]",
)
@click.option(
    "--only",
    callback=listed,
    default="",
    metavar="ROW,ROW",
    help="Measure these rows alone.  [default: all but the longest; `--rows` lists them]",
)
@click.option("--rows", "is_list", is_flag=True, help="List the rows' names and end.")
@click.option(
    "--events", type=click.IntRange(10_000, 100_000_000), default=1_000_000, show_default=True, help="Canonical events of the big rows."
)
@click.option("--rounds", type=click.IntRange(1, 99), default=2, show_default=True, help="How often each row is measured, in turn.")
@click.option(
    "--quick", is_flag=True, help=f"One round, {QUICK_EVENTS} events, {QUICK_LATENCY_S:.0f} s of latency: does it work, not how fast is it."
)
@click.option(
    "--json",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default="bench.json",
    show_default=True,
    help="Write the rows here too.",
)
@click.option(
    "--recordings", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The folder tests/recordings/freeswitch of a clone."
)
def bench(
    *,
    bootstrap: str | None,
    only: tuple[str, ...],
    is_list: bool,
    events: int,
    rounds: int,
    quick: bool,
    path: Path,
    recordings: Path | None,
) -> None:
    """Measure CPU and memory per event, events per second, and latency, through a real Kafka, beside other programs that do the same job.

    Every output is compared with what the load was planned to give. All rows take half an hour on a machine that does nothing else; the
    peers need the repository, and Kafka Streams a JDK and Maven.

    \b
    Example:
      callverdict bench
      callverdict bench --only assemble,assemble-tally,kafka-streams
      callverdict bench --only latency --rounds 3 --json latency.json
    """  # noqa: D301 - \b is click's mark for lines to keep
    from pipeline.settings import Settings
    from pipeline.workbench.bench import ROWS, measured
    from pipeline.workbench.benchrow import Plan
    from pipeline.workbench.benchtable import as_json, markdown, surroundings

    if is_list:
        click.echo("\n".join(ROWS))
        return
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it complains about comes back as an exception
    plan = Plan(events=events, bootstrap=bootstrap, recordings=recordings, rounds=rounds, only=only)
    if quick:
        plan = plan._replace(events=QUICK_EVENTS, latency_s=QUICK_LATENCY_S, rounds=1)
    around = surroundings(Settings(), bootstrap)
    rows = measured(plan, lambda line: click.echo(line, err=True), lambda rows: path.write_bytes(as_json(rows, around)))
    for name, words in around.items():
        click.echo(f"{name}: {words}")
    click.echo()
    click.echo(markdown(rows))
