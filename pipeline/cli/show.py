"""`callverdict show`: what stands in the output topics."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from pipeline.cli import options

if TYPE_CHECKING:
    from pipeline.app.cluster import Cluster
    from pipeline.workbench.tail import Seen

TOPICS = {
    "legs": "legs", "results": "results", "tallies": "tallies", "agents": "tallies_agents", "audit": "audit", "late": "late",
    "dead-letters": "dead_letters",
}  # fmt: skip
"""The word for a topic, and its role."""


@click.command()
@click.argument("what", type=click.Choice(list(TOPICS)))
@options.bootstrap
@click.option("--last", type=click.IntRange(0, 100_000), default=20, show_default=True, metavar="N", help="Begin with the last N records.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--find", default="", metavar="TEXT", help="Only records whose key has this in it: a call's id, a leg's, a queue.")
@click.option("--json", "as_json", is_flag=True, help="Print the values as they stand in the topic, one a line.")
def show(*, what: str, bootstrap: str | None, last: int, follow: bool, find: str, as_json: bool) -> None:
    """Show what stands in an output topic: legs, results, tallies, agents, audit, late or dead-letters.

    Times are the broker's, in UTC. No worker notices, nothing is committed.

    \b
    Example:
      callverdict show results --last 5
      callverdict show tallies --follow --find sales
      callverdict show legs --json --last 1000 | jq .result
    """  # noqa: D301 - \b is click's mark for lines to keep
    from pipeline.app.cluster import cluster
    from pipeline.app.topics import names
    from pipeline.workbench.tail import line, text

    settings = options.settings_with(bootstrap=bootstrap)
    topic = getattr(names(settings), TOPICS[what])
    told = (lambda record: text(record.value)) if as_json else (lambda record: line(record, what))
    try:
        options.run(printed(cluster(settings), topic, last=last, find=find, follow=follow, told=told))
    except KeyboardInterrupt:
        if not follow:
            raise


async def printed(brokers: Cluster, topic: str, *, last: int, find: str, follow: bool, told: Callable[[Seen], str]) -> None:
    from pipeline.workbench.tail import tail, text

    async for record in tail(brokers, topic, last=last, wanted=lambda record: find in text(record.key), follow=follow):
        click.echo(told(record))
