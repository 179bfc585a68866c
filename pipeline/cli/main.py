"""`callverdict`: finds the command, and says in one sentence what the user can mend.

Output goes to stdout, talk to stderr. Exit codes: 0, 1 (found something), 2 (bad setup or bad input).
"""

from __future__ import annotations

import os
import sys
from importlib import import_module, metadata

import click

from pipeline.compiled import core_form
from pipeline.errors import CallverdictError

COMMANDS = {
    "worker": ("pipeline.cli.worker:worker", "Run the pipeline: read switch events, write verdicts."),
    "demo": ("pipeline.cli.demo:demo", "Start a Kafka, play a switch's events into it, watch the tallies."),
    "kafka": ("pipeline.cli.kafka:kafka", "Run a real Apache Kafka on this machine, without Docker."),
    "topics": ("pipeline.cli.topics:topics", "Create the topics, or compare the broker with the declared ones."),
    "play": ("pipeline.cli.play:play", "Play recorded vendor events into a topic."),
    "tick": ("pipeline.cli.tick:tick", "Move stream time on, as the end of a finite input needs it."),
    "replay": ("pipeline.cli.replay:replay", "Judge recorded events without Kafka."),
    "explain": ("pipeline.cli.explain:explain", "Draw one call leg by leg and say which rule decided."),
    "show": ("pipeline.cli.show:show", "Show what stands in an output topic."),
    "rules": ("pipeline.cli.rules:rules", "Print the rule and cause tables."),
    "settings": ("pipeline.cli.settings:settings", "Show which settings are in force and where they come from."),
    "lag": ("pipeline.cli.lag:lag", "Show how far the pipeline is behind its input."),
    "schemas": ("pipeline.cli.schemas:schemas", "Write or check the JSON Schemas of the topics."),
    "bench": ("pipeline.cli.bench:bench", "Measure events per second and CPU per event."),
}
BAD_SETUP = 2


class LazyGroup(click.Group):
    """Imports a command when it is called: `callverdict rules` must not wait for Kafka's clients."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{name} is no click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def tell_version(context: click.Context, _option: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"callverdict {metadata.version('callverdict')}\ncore: {core_form()}")
        context.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=tell_version, help="Show what runs.")
def callverdict() -> None:
    """Who won the race for a call, who lost it, and why: verdicts on Kafka.

    \b
    Example:
      callverdict demo
      callverdict COMMAND --help
    """  # noqa: D301 - \b is click's mark for lines to keep


def main() -> None:
    """The entry point: a user's error becomes its sentence and exit 2; a bug of ours keeps its traceback."""
    try:
        callverdict(prog_name="callverdict")
    except Exception as error:
        sentence = advice(error)
        if sentence is None:
            raise
        click.echo(f"callverdict: {sentence}", err=True)
        sys.exit(BAD_SETUP)


def advice(error: Exception) -> str | None:
    """What to tell the user; None if it is not the user's to mend."""
    if isinstance(error, CallverdictError):
        return str(error)
    if _is_broker_away(error):
        return f"no Kafka answers ({error}): start one with `callverdict kafka start`, or name yours with --bootstrap"
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
        what = "the output" if error.filename is None else os.fspath(error.filename)
        return f"{what}: {os.strerror(error.errno)}: give a file that can be used here"
    return None


def _is_broker_away(error: Exception) -> bool:
    """Told by name, so that commands without Kafka do not import its client."""
    return any(kind.__module__.startswith("aiokafka") and kind.__name__ == "KafkaConnectionError" for kind in type(error).__mro__)


if __name__ == "__main__":
    main()
