"""`python -m tests.chaos --seed 1 --events 300000 --kills 16 --brokers 1`: one run, its row in RESULTS.md, its verdict as the last line."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path
from random import SystemRandom

import click
import structlog

from tests.chaos.results import append
from tests.chaos.run import Run, chaos


@click.command()
@click.option("--seed", type=int, help="The same seed does the same harm to the same input.  [default: a new one]")
@click.option("--events", type=click.IntRange(1_000), default=300_000, show_default=True)
@click.option("--kills", type=click.IntRange(0), default=16, show_default=True, help="SIGKILLs of workers.")
@click.option("--brokers", type=click.Choice(["1", "3"]), default="1", show_default=True)
@click.option("--form", type=click.Choice(["short", "full"]), default="full", show_default=True, help="Which list of harms.")
def main(seed: int | None, events: int, kills: int, brokers: str, form: str) -> None:
    """Kill workers and brokers while events flow, then look from outside whether every event counts once."""
    logging.basicConfig(level=logging.CRITICAL)  # aiokafka's tears over a killed broker
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    run = Run(seed=SystemRandom().randrange(10**6) if seed is None else seed, events=events, kills=kills, brokers=int(brokers),
              form="short" if form == "short" else "full")  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix="callverdict-chaos-"))
    click.echo(f"seed {run.seed}; the workers' logs are in {folder}")
    outcome = asyncio.run(chaos(run, folder))
    append(outcome)
    for line in outcome.findings.lines():
        click.echo(line[:2_000])
    click.echo(outcome.last_line)
    sys.exit(0 if outcome.findings.are_none else 1)


if __name__ == "__main__":
    main()
