"""`callverdict tick`: the end of a finite input."""

from __future__ import annotations

from datetime import UTC, datetime

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
    """Move stream time on in the topics, so that calls settle.

    A window becomes final when its end plus grace has passed: with long windows name a time, or use ttl.

    Live traffic moves time by itself; a finite input needs this at its end. Events that come later with earlier times are
    still judged, as corrections.

    \b
    Example:
      callverdict tick --until settle
    """  # noqa: D301 - \b is click's mark for lines to keep
    from pipeline.app.ticking import tick as write

    settings = options.settings_with(bootstrap=bootstrap)
    at_ms, partitions = options.run(write(settings, until))
    at = datetime.fromtimestamp(at_ms / 1000, tz=UTC).isoformat(timespec="milliseconds")
    click.echo(f"told {partitions} partitions that it is {at} ({at_ms} ms); one that is further already stays there")
