"""`callverdict schemas`: the JSON Schemas of the topics."""

from __future__ import annotations

import sys
from pathlib import Path

import click

FOUND = 1


@click.command()
@click.option(
    "--directory",
    default="schemas",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the files are.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 with the differences in words.")
@click.option("--topic", help="Print this topic's schema and write nothing, such as calls.legs.")
def schemas(*, directory: Path, check: bool, topic: str | None) -> None:
    """Write or check the JSON Schemas of the topics' values, made from the types.

    \b
    Example:
      callverdict schemas --check
      callverdict schemas --topic calls.legs
    """  # noqa: D301 - \b is click's mark for lines to keep
    from pipeline.app import schemas as made

    if topic is not None:
        if topic not in made.TYPES:
            raise click.UsageError(f"no schema for {topic}: give one of {', '.join(made.TYPES)}")
        click.echo(made.text(topic), nl=False)
        return
    if not directory.is_dir():
        raise click.UsageError(f"no folder {directory} here: make it, or give another --directory")
    if check:
        lines = made.differences(directory)
        click.echo("\n".join(lines) if lines else "all schemas are what the types say", err=not lines)
        sys.exit(FOUND if lines else 0)
    for path in made.write(directory):
        click.echo(path)
