"""`callverdict settings`: what is in force and who said so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from pipeline.cli import options
from pipeline.settings import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.settings import InForce


@click.command()
@options.bootstrap
@options.as_json
@click.option("--changed", is_flag=True, help="Only what is not a default.")
@click.option("--check", is_flag=True, help="Print nothing if all is well; exit 2 with every problem if not.")
def settings(*, bootstrap: str | None, as_json: bool, changed: bool, check: bool) -> None:
    """Show which settings are in force and where each comes from.

    The command line goes over the environment (CALLVERDICT_<KEY>), over callverdict.toml (here, or where CALLVERDICT_CONFIG says), over
    the defaults.

    \b
    A callverdict.toml:
      [policy]
      grace_s = 60
      [[sources]]
      vendor = "freeswitch-esl"
      topic = "pbx-events"
      [queues.support]
      numbers = ["20220"]
      tz = "Europe/Berlin"
      hours = {mon = ["09:00-17:30"], fri = ["09:00-12:00", "22:00-06:00"]}
      holidays = ["2026-12-25"]

    \b
    Example:
      callverdict settings --changed
      CALLVERDICT_GRACE_S=60 callverdict settings --check
    """  # noqa: D301 - \b is click's mark for lines to keep
    from pipeline.app.topics import topics

    reading = read(given={"bootstrap": bootstrap})
    topics(reading.settings)
    if check:
        click.echo("all settings can be used", err=True)
        return
    rows = [row for row in reading.in_force if not changed or row.origin != "default"]
    show_json(rows) if as_json else show_table(rows)


def show_json(rows: Sequence[InForce]) -> None:
    click.echo(json.dumps([row._asdict() | {"value": json.loads(row.value)} for row in rows], indent=2, ensure_ascii=False))


def show_table(rows: Sequence[InForce]) -> None:
    """Two lines a setting, for a terminal of any width."""
    for row in rows:
        click.echo(f"{click.style(row.key, bold=row.origin != 'default')} = {row.value}")
        origin = "" if row.origin == "default" else f"; from the {row.origin}, {row.name}"
        click.echo(options.indented(f"{row.description}{origin}"))
