"""`callverdict worker`: the pipeline itself."""

from __future__ import annotations

import os
import sys

import click

from pipeline.cli import options
from pipeline.settings.shape import NUMBER

AGENTS = ("normalize", "assemble", "tally")  # app.worker's: asking it here would load Faust for --help


@click.command()
@options.bootstrap
@click.option("--agents", default=",".join(AGENTS), show_default=True, metavar="NAMES", help="Which of the three agents this worker runs.")
@click.option("--processes", type=click.IntRange(1, 64), help="Worker processes on this machine.  [default: the setting, 1]")
@click.option(
    "--web-port", type=click.IntRange(0, 65_535), help="Port of /livez, /readyz, /status, /metrics; 0: none.  [default: the setting, 6066]"
)
@click.option(
    "--accept-bad",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Let N more bad records in a row of one source pass as dead letters.",
)
@click.option("--number", type=click.IntRange(1), hidden=True, help="The supervisor's: run in this process, as its worker of this number.")
@click.option("--parent", type=click.IntRange(1), hidden=True, help="The supervisor's: its process, which the worker must not outlive.")
def worker(
    *, bootstrap: str | None, agents: str, processes: int | None, web_port: int | None, accept_bad: int, number: int | None,
    parent: int | None,
) -> None:  # fmt: skip
    """Run the pipeline: read switch events, write verdicts. It ends on SIGTERM; a crash is restarted.

    With several processes each has a web port of its own, counted up from --web-port.

    \b
    Example:
      callverdict worker --bootstrap localhost:9092
      callverdict worker --agents normalize --processes 2
    """  # noqa: D301 - \b is click's mark for lines to keep
    chosen = _agents(agents)
    settings = options.settings_with(bootstrap=bootstrap)
    port = settings.engine.web_port if web_port is None else web_port
    _log_to_stderr()
    if number is not None:
        from pipeline.app.worker import run_worker

        own_port = port + number - 1 if port else None
        sys.exit(run_worker(settings, chosen, web_port=own_port, number=number, accept_bad=accept_bad, parent=parent))
    from pipeline.app.supervisor import supervise

    count = processes or settings.engine.processes
    if count > 1 and settings.engine.instance_id and NUMBER not in settings.engine.instance_id:
        raise click.UsageError(f"instance_id is {settings.engine.instance_id} for each of {count} processes: put {NUMBER} into it")
    arguments = ["--agents", agents, "--accept-bad", str(accept_bad), "--web-port", str(port)]
    arguments += ["--bootstrap", bootstrap] if bootstrap else []
    own = ["worker", "--number", NUMBER, "--parent", str(os.getpid())]
    sys.exit(supervise([sys.executable, "-m", "pipeline.cli.main", *own, *arguments], count))


def _agents(text: str) -> tuple[str, ...]:
    chosen = tuple(part.strip() for part in text.split(",") if part.strip())
    if not chosen or (unknown := sorted(set(chosen) - set(AGENTS))):
        raise click.BadParameter(
            f"{', '.join(unknown) if chosen else 'nothing'} is no agent: name some of {', '.join(AGENTS)}", param_hint="--agents"
        )
    return chosen


def _log_to_stderr() -> None:
    """One line a happening, key=value: our own, and what the libraries under us warn of, in one form."""
    import logging

    import structlog

    stamped: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=stamped,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "logger", "event"]),
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler])  # Faust's services talk much
    logging.getLogger("callverdict").setLevel(logging.INFO)
    structlog.configure(
        processors=[*stamped, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
