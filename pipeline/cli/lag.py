"""`callverdict lag`: how far the worker is behind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from pipeline.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.app.lag import Lag


@click.command()
@options.bootstrap
@options.as_json
def lag(bootstrap: str | None, as_json: bool) -> None:
    """Show how far the worker is behind its inputs, by partition; exit 0 however far that is.

    Seconds: how long ago the first record came that is not processed yet; 0 where everything is.

    \b
    Example:
      callverdict lag --bootstrap localhost:9092
      callverdict lag --json | jq .records
    """  # noqa: D301 - \b is click's mark for lines to keep
    from pipeline.app import lag as behind
    from pipeline.app.cluster import cluster

    settings = options.settings_with(bootstrap=bootstrap)
    rows = options.run(behind.lag(cluster(settings), settings.app_id, behind.inputs(settings), now_ms=time.time_ns() // 1_000_000))
    show_json(rows, settings.app_id) if as_json else show_table(rows)


def show_json(rows: Sequence[Lag], group: str) -> None:
    import msgspec

    answer = {"group": group, "records": sum(row.records for row in rows), "partitions": rows}
    click.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())


def show_table(rows: Sequence[Lag]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    numbers = (Column(name, justify="right") for name in ("partition", "records", "seconds", "committed", "end"))
    table = Table(Column("topic", no_wrap=True), *numbers, box=None)
    for row in rows:
        committed = "-" if row.committed_offset is None else str(row.committed_offset)
        table.add_row(row.topic, str(row.partition), str(row.records), seconds(row.seconds), committed, str(row.end_offset))
    table.add_section()
    longest = max((row.seconds for row in rows if row.seconds is not None), default=0.0)
    table.add_row("all", "", str(sum(row.records for row in rows)), seconds(longest))
    Console().print(table)


def seconds(behind: float | None) -> str:
    return "?" if behind is None else f"{behind:.1f}"
