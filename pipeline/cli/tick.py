"""`callverdict tick`: the end of a finite input."""

from __future__ import annotations

import click

from pipeline.cli import options


@click.command()
@options.bootstrap
@click.option(
    "--until",
    default="settle",
    show_default=True,
    metavar="TIME|settle|ttl",
    help="A UTC time (2026-04-15T09:00:00Z, or ms since 1970); settle: the last event plus settling and grace; ttl: past every time to live.",
)
def tick(bootstrap: str | None, until: str) -> None:
    """Move stream time on in the topics, so that calls settle and windows become final.

    Live traffic moves time by itself; a finite input needs this at its end. Events that come later with earlier times are
    still judged, as corrections.

    \b
    Example:
      callverdict tick --until settle
    """  # noqa: D301 - \b is click's mark for lines to keep
    from pipeline.app.ticking import tick as write

    settings = options.settings_with(bootstrap=bootstrap)
    at_ms, partitions = options.run(write(settings, until))
    click.echo(f"{partitions} partitions moved to {at_ms} ms since 1970")
