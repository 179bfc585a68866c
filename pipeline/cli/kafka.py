"""`callverdict kafka`: a local broker to try things with."""

from __future__ import annotations

import sys

import click


@click.group()
def kafka() -> None:
    """Run a real Apache Kafka on this machine, without Docker.

    Its data stays in the user's cache folder until `stop --delete`.

    \b
    Example:
      callverdict kafka start
      export CALLVERDICT_BOOTSTRAP=127.0.0.1:9092
    """  # noqa: D301 - \b is click's mark for lines to keep


@kafka.command()
@click.option("--port", default=9092, show_default=True, type=click.IntRange(1024, 64_000), help="Port of the first broker.")
@click.option("--brokers", default="1", show_default=True, type=click.Choice(["1", "3"]), help="Three replicate every topic.")
def start(port: int, brokers: str) -> None:
    """Start the broker and print its bootstrap address.

    \b
    Example:
      callverdict kafka start --brokers 3
    """  # noqa: D301
    from pipeline.workbench import keptkafka

    click.echo("starting Kafka (the first time it fetches 44 MB of jars) ...", err=True)
    click.echo(keptkafka.start(port=port, brokers=int(brokers)).bootstrap)


@kafka.command()
@click.option("--delete", is_flag=True, help="Remove its topics and all its data too.")
def stop(delete: bool) -> None:
    """Stop the broker in order; what it holds stays for the next start.

    \b
    Example:
      callverdict kafka stop --delete
    """  # noqa: D301
    from pipeline.workbench import keptkafka

    count = keptkafka.stop(delete=delete)
    click.echo(f"{count} broker(s) stopped" + (", data removed" if delete else ""), err=True)


@kafka.command()
def status() -> None:
    """Print the bootstrap address if the broker runs; exit 1 if it does not.

    \b
    Example:
      callverdict kafka status
    """  # noqa: D301
    from pipeline.workbench import keptkafka

    kept, running = keptkafka.status()
    if kept is None or len(running) < kept.brokers or not keptkafka.is_answering(kept):
        missing = f"{len(running)} of {kept.brokers} brokers run" if kept else "nothing was started here"
        click.echo(f"no local Kafka answers ({missing}): `callverdict kafka start`", err=True)
        sys.exit(1)
    pids = ", ".join(map(str, running.values()))
    click.echo(kept.bootstrap)
    click.echo(f"{kept.brokers} broker(s), process {pids}, data and logs in {keptkafka.folder()}", err=True)
