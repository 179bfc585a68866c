"""`callverdict explain`: one call, leg by leg, with the rule that decided each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli import options
from pipeline.cli.replay import FILE, FOUND, progress, reader_of, remarks, source, talk

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.settings import Settings
    from pipeline.workbench.explain import ToldCall


@click.command()
@click.argument("files", nargs=-1, type=FILE)
@source
@options.bootstrap
@click.option("--call", "call_id", metavar="ID", help="The call, by its id.")
@click.option("--leg", "leg_id", metavar="ID", help="The call that this leg belongs to.")
@click.option("--width", type=click.IntRange(60, 300), help="Columns.  [default: the terminal's, else 80]")
@click.option("--no-color", is_flag=True, help="No colours.  [env: NO_COLOR]")
@click.option("--no-progress", is_flag=True, help="No progress bar, as for logs.")
def explain(
    *, files: tuple[Path, ...], source: str | None, bootstrap: str | None, call_id: str | None, leg_id: str | None, width: int | None,
    no_color: bool, no_progress: bool,
) -> None:  # fmt: skip
    """Draw one call leg by leg: times, causes, the winner, the margins, the rule that decided each leg and what else was considered.

    From recordings, or without them from the live topic calls.events, which is read from its beginning; no worker notices. The call is
    judged as if it could settle after the last event. Exit 1 if there is no such call.

    \b
    Example:
      callverdict explain switch.events.jsonl.gz --source freeswitch-esl --call 01014872-1642-4e02-8e92-8c03255eea08
      callverdict explain --bootstrap localhost:9092 --leg 3c8e6f2a-90d8-4f0c-a9cd-6a8f5c2f6b11 --no-color
    """  # noqa: D301 - \b is click's mark for lines to keep
    from pipeline.workbench.explain import UnknownCall, draw

    if (call_id is None) == (leg_id is None):
        raise click.UsageError("give --call with a call's id, or --leg with a leg's; `callverdict replay --results` lists the calls")
    if files and bootstrap is not None:
        raise click.UsageError("--bootstrap says where calls.events is read: leave it out with recordings, or leave the recordings out")
    settings = options.settings_with(bootstrap=bootstrap)
    try:
        if files:
            call = of_files(files, source, settings, call_id, leg_id, shown=not no_progress)
        else:
            call = of_topic(source, settings, call_id, leg_id, shown=not no_progress)
    except UnknownCall as error:
        click.echo(f"callverdict: {error}", err=True)
        raise SystemExit(FOUND) from None
    page(width, no_color=no_color).print(draw(call))


def page(width: int | None, *, no_color: bool) -> Console:
    from rich.console import Console

    console = Console(highlight=False, no_color=no_color or None)
    if width is not None:
        console.width = width
    elif not console.is_terminal:
        console.width = 80
    return console


def of_files(
    files: tuple[Path, ...], source: str | None, settings: Settings, call_id: str | None, leg_id: str | None, *, shown: bool
) -> ToldCall:
    from pipeline.settings import policy
    from pipeline.workbench.explain import told
    from pipeline.workbench.reading import told_by
    from pipeline.workbench.replay import check

    reader = reader_of(source, settings)
    with progress("reading", shown=shown) as (expect, advance):
        expect(sum(path.stat().st_size for path in files))
        events = [event for record in told_by(files, advance) for event in reader.events(record)]
    check(reader, ", ".join(map(str, files)))
    for sentence in remarks(reader):
        talk().print(sentence, markup=False)
    return told(events, policy(settings), call_id=call_id, leg_id=leg_id)


def of_topic(source: str | None, settings: Settings, call_id: str | None, leg_id: str | None, *, shown: bool) -> ToldCall:
    from pipeline.app.cluster import cluster
    from pipeline.app.topics import names
    from pipeline.settings import policy
    from pipeline.workbench.explain import told
    from pipeline.workbench.kin import kin_events
    from pipeline.workbench.topiclog import TopicLog

    if source is not None:
        raise click.UsageError("--source says who wrote recordings: give them, or leave it out to read calls.events")

    async def work() -> ToldCall:
        async with TopicLog(cluster(settings), names(settings).events) as log:
            with progress("reading", shown=shown) as (expect, advance):
                expect(2 * log.total)
                found = await kin_events(log, call_id or leg_id or "", on_read=advance)
        return told(found, policy(settings), call_id=call_id, leg_id=leg_id)

    return options.run(work())
