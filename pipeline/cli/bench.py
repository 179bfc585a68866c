"""`callverdict bench`: what the pipeline costs on this machine."""

from __future__ import annotations

import logging
from pathlib import Path

import click

QUICK_EVENTS = 20_000
QUICK_LATENCY_S = 4.0


@click.command()
@click.option(
    "--bootstrap",
    envvar="CALLVERDICT_BOOTSTRAP",
    metavar="HOST:PORT",
    help="Use this Kafka.  [default: a temporary one; env: CALLVERDICT_BOOTSTRAP]",
)
@click.option(
    "--events", type=click.IntRange(10_000, 100_000_000), default=500_000, show_default=True, help="Canonical events of the big rows."
)
@click.option(
    "--quick", is_flag=True, help=f"{QUICK_EVENTS} events and {QUICK_LATENCY_S:.0f} s of latency: does it work, not how fast is it."
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
def bench(*, bootstrap: str | None, events: int, quick: bool, path: Path, recordings: Path | None) -> None:
    """Measure events per second, CPU and memory per event, and latency, through a real Kafka; print a Markdown table.

    Every output is compared with what the load was planned to give. Takes a few minutes on a machine that does nothing else.

    \b
    Example:
      callverdict bench
      callverdict bench --events 1000000 --json bench.json
    """  # noqa: D301 - \b is click's mark for lines to keep
    import msgspec

    from pipeline.settings import Settings
    from pipeline.workbench.bench import Plan, markdown, rows, surroundings

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it complains about comes back as an exception
    plan = Plan(QUICK_EVENTS if quick else events, bootstrap, recordings, *([QUICK_LATENCY_S] if quick else []))
    measured = list(rows(plan, lambda line: click.echo(line, err=True)))
    around = surroundings(Settings(), bootstrap)
    path.write_bytes(msgspec.json.format(msgspec.json.encode([{**msgspec.to_builtins(row), **around} for row in measured])) + b"\n")
    for name, words in around.items():
        click.echo(f"{name}: {words}")
    click.echo()
    click.echo(markdown(measured))
