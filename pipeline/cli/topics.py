"""`callverdict topics`: the declared topics and the broker's."""

from __future__ import annotations

import sys

import click

from pipeline.cli import options

FOUND = 1


@click.group()
def topics() -> None:
    """Create the topics, or compare the broker with the declared ones.

    \b
    Example:
      callverdict topics create
      callverdict topics list
    """  # noqa: D301 - \b is click's mark for lines to keep


@topics.command()
@options.bootstrap
def create(bootstrap: str | None) -> None:
    """Make the topics that are missing; those that are there stay as they are.

    \b
    Example:
      callverdict topics create --bootstrap localhost:9092
    """  # noqa: D301
    from pipeline.app import broker
    from pipeline.app.cluster import cluster
    from pipeline.app.topics import topics as declared

    settings = options.settings_with(bootstrap=bootstrap)
    made = options.run(broker.create(cluster(settings), declared(settings)))
    for name in made:
        click.echo(name)
    click.echo(f"{len(made)} topics made, {len(declared(settings)) - len(made)} were there", err=True)


@topics.command()
@options.bootstrap
def check(bootstrap: str | None) -> None:
    """Print in words how the broker's topics differ from the declared ones; exit 1 if they do.

    \b
    Example:
      callverdict topics check --bootstrap localhost:9092
    """  # noqa: D301
    from pipeline.app import broker
    from pipeline.app.cluster import cluster
    from pipeline.app.topics import topics as declared

    settings = options.settings_with(bootstrap=bootstrap)
    lines = options.run(broker.differences(cluster(settings), declared(settings)))
    for line in lines:
        click.echo(line)
    if lines:
        sys.exit(FOUND)
    click.echo(f"all {len(declared(settings))} topics are as declared", err=True)


@topics.command(name="list")
@options.as_json
def list_(as_json: bool) -> None:
    """Print the table of declared topics, without asking a broker.

    \b
    Example:
      callverdict topics list
    """  # noqa: D301
    import msgspec

    from pipeline.app.topics import topics as declared

    rows = declared(options.settings_with(bootstrap=None))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(rows)).decode())
        return
    for row in rows:
        click.echo(f"{click.style(row.name, bold=True)}  {row.partitions} partitions, {row.configs['cleanup.policy']}")
        click.echo(options.indented(f"{row.doc} Key: {row.key}; value: {row.value}."))
