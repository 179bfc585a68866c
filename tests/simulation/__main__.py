"""Run many seeds: `python -m tests.simulation --seeds 10000 [--from N] [--processes 2]`. Prints the seeds that fail, and how to replay one."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import click

from tests.simulation.checks import findings
from tests.simulation.plan import Plan, plan
from tests.simulation.shrinking import shrunk
from tests.simulation.world import run

MOST_SHOWN = 8
PIECE = 25
"""Seeds that a process takes at once."""


class Result(NamedTuple):
    seed: int
    wrong: list[str]
    happened: Counter[str]


def result(seed: int) -> Result:
    """Run one seed."""
    world = run(plan(seed))
    return Result(seed, findings(world), world.summary())


def results(seeds: range, processes: int) -> Iterator[Result]:
    if processes == 1:
        yield from map(result, seeds)
        return
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        yield from pool.imap(result, seeds, chunksize=PIECE)


def say(found: Result) -> None:
    click.echo(f"seed {found.seed} FAILS; again: python -m tests.simulation --seeds 1 --from {found.seed} --tell --shrink")
    for wrong in found.wrong[:MOST_SHOWN]:
        click.echo(f"    {wrong[:600]}")


def tell(chosen: Plan) -> None:
    """Say what is told and what happens in one plan."""
    for send in chosen.sends:
        click.echo(f"{send.at_s:9.3f} s  {send.place[0]}/{send.place[1]} {(send.value or b'(no value)').decode(errors='replace')}")
    world = run(chosen)
    for line in (*world.trace, *findings(world)):
        click.echo(line[:3_000])


def smallest(found: Result) -> Plan:
    """The same must fail in the same way, or the search ends at another error."""
    ways = {way_of(wrong) for wrong in found.wrong}
    return shrunk(plan(found.seed), lambda smaller: {way_of(wrong) for wrong in findings(run(smaller))} == ways)


def way_of(wrong: str) -> str:
    """Return what kind of finding this is."""
    return wrong.split(maxsplit=1)[0]


@click.command(help=__doc__)
@click.option("--seeds", default=1_000, show_default=True, help="how many")
@click.option("--from", "first", default=0, show_default=True, help="the first of them")
@click.option("--processes", default=1, show_default=True, help="side by side")
@click.option("--tell", "is_telling", is_flag=True, help="say what happens in each")
@click.option("--shrink", is_flag=True, help="of each that fails, look for the smallest part that still does")
def main(seeds: int, first: int, processes: int, is_telling: bool, shrink: bool) -> None:
    begin_s, happened, failed = time.monotonic(), Counter[str](), []
    for found in results(range(first, first + seeds), processes):
        happened += found.happened
        if is_telling:
            tell(plan(found.seed))
        if found.wrong:
            failed.append(str(found.seed))
            say(found)
            if shrink:
                small = smallest(found)
                click.echo(f"the smallest part of seed {found.seed} that fails, of {small.memory} memory:")
                tell(small)
    click.echo(", ".join(f"{what} {times}" for what, times in sorted(happened.items())))
    click.echo(f"{seeds} seeds in {time.monotonic() - begin_s:.0f} s, {len(failed)} failed{': ' if failed else ''}{', '.join(failed)}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
