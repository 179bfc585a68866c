"""`callverdict replay`: recorded or logged events to verdicts, without a worker."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from pipeline.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from pipeline.settings import Settings
    from pipeline.workbench.kept import Rows
    from pipeline.workbench.reading import LogReader, Reader
    from pipeline.workbench.replay import End, Replay

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OUT = click.Path(dir_okay=False, allow_dash=True, path_type=Path)
STDOUT = Path("-")
FOUND = 1

source = click.option(
    "--source", metavar="NAME", help="Who wrote the records: a source of the settings, or a vendor such as freeswitch-esl."
)
no_progress = click.option("--no-progress", is_flag=True, help="No progress bar, as for logs.")


@click.command()
@click.argument("files", nargs=-1, type=FILE)
@source
@click.option("--from-topic", metavar="TOPIC", help="Read a topic instead of files: calls.events, or a raw topic with its --source.")
@options.bootstrap
@click.option("--out", type=OUT, help="Write the legs here, one JSON a line; - is stdout, and .gz packs.")
@click.option("--results", type=OUT, help="Write the calls here.")
@click.option("--tallies", type=OUT, help="Write the windows here.")
@click.option("--late", type=OUT, help="Write the facts here that came too late.")
@click.option(
    "--end",
    type=click.Choice(["settle", "ttl", "none"]),
    default="settle",
    show_default=True,
    help="Let calls settle; pass every time to live as well; or leave open what is open.",
)
@click.option("--strict", is_flag=True, help="Exit 1 if a record cannot be read.")
@no_progress
def replay(
    *, files: tuple[Path, ...], source: str | None, from_topic: str | None, bootstrap: str | None, out: Path | None, results: Path | None,
    tallies: Path | None, late: Path | None, end: str, strict: bool, no_progress: bool,
) -> None:  # fmt: skip
    """Judge recorded switch events (one a line, plain or gzip) without Kafka.

    What is written is the last value of every key, sorted by key, byte for byte as the topics hold it. Only `revision` may differ from
    a live run, as it counts the changes on the way; and a live run may have said and taken back more (rows with is_deleted). From the
    log of calls.events both are the worker's own. Several files are merged by time.

    \b
    Example:
      callverdict replay switch.events.jsonl.gz --source freeswitch-esl --out legs.jsonl --results calls.jsonl
      callverdict replay --from-topic calls.events --end none --tallies tallies.jsonl
    """  # noqa: D301 - \b is click's mark for lines to keep
    outputs = wanted(files, {"legs": out, "results": results, "tallies": tallies, "late": late})
    if bool(files) == (from_topic is not None):
        raise click.UsageError("give recordings, or a topic with --from-topic")
    settings = options.settings_with(bootstrap=bootstrap)
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    with progress("judging", shown=not no_progress) as (expect, advance):
        reader, done = (
            of_topic(from_topic, source, settings, cast("End", end), expect, advance)
            if from_topic is not None
            else of_files(files, source, settings, cast("End", end), expect, advance)
        )
    took_s, cpu_s = time.monotonic() - start_s, time.process_time() - start_cpu_s
    for rows, path in outputs.items():
        write(done, rows, path)
    show(reader, done, took_s=took_s, cpu_s=cpu_s)
    if strict and reader.bad:
        raise SystemExit(FOUND)


def wanted(files: tuple[Path, ...], paths: dict[Rows, Path | None]) -> dict[Rows, Path]:
    """The outputs that were asked for. Two to one place, or one over an input, is a mistake."""
    outputs = {rows: path for rows, path in paths.items() if path is not None}
    places = [path.resolve() for path in outputs.values()]
    if len(set(places)) < len(places):
        raise click.UsageError("two outputs go to the same place: give each a file of its own")
    if taken := {path.resolve() for path in files} & set(places):
        raise click.UsageError(f"{taken.pop()} would overwrite a recording that is read: give another file")
    return outputs


def reader_of(source: str | None, settings: Settings) -> Reader:
    from pipeline.settings import VENDOR_NAMES, policy
    from pipeline.workbench.reading import Reader, source_named

    if source is None:
        raise click.UsageError(f"give --source, who wrote the records: {', '.join(VENDOR_NAMES)}, or a source of the settings")
    return Reader(source_named(source, settings), settings, policy(settings))


def of_files(
    files: tuple[Path, ...], source: str | None, settings: Settings, end: End, expect: Callable[[int], None], advance: Callable[[int], None]
) -> tuple[Reader, Replay]:
    from pipeline.settings import policy
    from pipeline.workbench.replay import replay_files

    reader = reader_of(source, settings)
    expect(sum(path.stat().st_size for path in files))
    return reader, replay_files(files, reader, policy(settings), end=end, on_read=advance)


def of_topic(
    topic: str, source: str | None, settings: Settings, end: End, expect: Callable[[int], None], advance: Callable[[int], None]
) -> tuple[Reader | LogReader, Replay]:
    from pipeline.app.cluster import cluster
    from pipeline.settings import policy
    from pipeline.workbench.reading import LogReader
    from pipeline.workbench.topiclog import TopicLog
    from pipeline.workbench.topicreplay import is_events, replay_log, replay_raw

    async def work() -> tuple[Reader | LogReader, Replay]:
        reader = LogReader() if is_log else reader_of(source, settings)
        async with TopicLog(cluster(settings), topic) as log:
            expect(log.total)
            if isinstance(reader, LogReader):
                return reader, await replay_log(log, reader, policy(settings), end=end, on_read=advance)
            return reader, await replay_raw(log, reader, policy(settings), end=end, on_read=advance)

    is_log = is_events(topic)
    if is_log and source is not None:
        raise click.UsageError(f"{topic} holds events of every source already: leave --source out")
    return options.run(work())


@contextmanager
def progress(what: str, *, shown: bool) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """A bar on stderr where somebody looks at it. Gives (expect a total, advance)."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = talk()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield (lambda total: bar.update(task, total=total), lambda by: bar.advance(task, by))


def talk() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def write(done: Replay, rows: Rows, path: Path) -> None:
    from pipeline.workbench.recording import opened_for_writing

    with ExitStack() as stack:
        file = click.get_binary_stream("stdout") if path == STDOUT else stack.enter_context(opened_for_writing(path))
        for line in done.kept.lines(rows):
            file.write(line + b"\n")
        if path == STDOUT:
            file.flush()


def show(reader: Reader | LogReader, done: Replay, *, took_s: float, cpu_s: float) -> None:
    """The summary, on stderr."""
    from rich.table import Column, Table

    from pipeline.core.model import Result
    from pipeline.workbench.replay import summary

    counted = summary(done)
    table = Table(Column("result"), Column("legs", justify="right"), Column("calls", justify="right"), box=None)
    for result in Result:
        table.add_row(str(result), str(counted.legs[result]), str(counted.calls[result]))
    table.add_section()
    table.add_row("all", str(counted.legs.total()), str(counted.calls.total()))
    console = talk()
    console.print(table)
    rate = reader.records / max(took_s, 1e-9)
    console.print(f"{reader.records} records in {took_s:.2f} s ({rate:.0f} records/s; {cpu_s:.2f} s of CPU)")
    for sentence in (*done.remarks(), *remarks(reader)):
        console.print(sentence, markup=False)


def remarks(reader: Reader | LogReader) -> Iterator[str]:
    """What could not be read, by reason, with the first of each."""
    for reason, bad in sorted(reader.bad.items()):
        yield f"{bad.count} records not read, {reason}: {bad.message} (the first: number {bad.first.number} of {bad.first.place})"
