"""The command line as a user meets it: finds its commands, starts fast, and turns errors into sentences."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from pipeline.cli.main import BAD_SETUP, COMMANDS, advice, callverdict
from pipeline.errors import BadRecord, SettingsError
from pipeline.workbench.runtime import LocalKafkaError

ENTRY = "from pipeline.cli.main import main; main()"


def run(*arguments: str, program: str = ENTRY) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False, timeout=60)


def leaves(command: click.Command, path: str = "") -> list[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        return [leaf for name, one in command.commands.items() for leaf in leaves(one, f"{path} {name}")]
    return [(path.strip(), command)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_shows_an_example(name: str) -> None:
    command = callverdict.get_command(click.Context(callverdict), name)
    assert command is not None
    for path, leaf in leaves(command, name):
        assert "Example" in (leaf.help or ""), path
        answer = CliRunner().invoke(leaf, ["--help"])
        assert answer.exit_code == 0, path


def test_help_lists_every_command_and_imports_none() -> None:
    program = f"import sys\ntry:\n    {ENTRY}\nfinally:\n    print(sorted({{'faust', 'aiokafka', 'rich'}} & set(sys.modules)))"
    answer = run("--help", program=program)
    assert answer.returncode == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in answer.stdout] == []
    assert answer.stdout.endswith("[]\n")


def test_an_unknown_command_is_bad_setup() -> None:
    answer = run("reply")
    assert answer.returncode == BAD_SETUP
    assert "No such command 'reply'" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (BadRecord("missing_leg_id", "send whole channel events"), "missing_leg_id: send whole channel events"),
        (SettingsError(["a: give 1", "b: give 2"]), "a: give 1\nb: give 2"),
        (LocalKafkaError("no Java"), "no Java"),
        (FileNotFoundError(2, "No such file", "calls.jsonl"), "calls.jsonl: No such file or directory: give a file that can be used here"),
        (ValueError("our own bug"), None),
        (OSError("a socket of ours"), None),
    ],
)
def test_the_user_is_told_what_to_mend(error: Exception, sentence: str | None) -> None:
    assert advice(error) == sentence


def test_a_broker_that_is_away_is_named_with_what_to_do() -> None:
    from aiokafka.errors import KafkaConnectionError

    told = advice(KafkaConnectionError("Unable to bootstrap from localhost:1"))
    assert told
    assert "localhost:1" in told
    assert "--bootstrap" in told


def test_a_users_error_reaches_the_terminal_without_a_traceback() -> None:
    program = """
import pipeline.cli.main as m, click
from pipeline.errors import SettingsError
@click.command()
def broken(): raise SettingsError(["CALLVERDICT_GRACE_S='5m': give a whole number of seconds, at least 0"])
m.callverdict.add_command(broken)
m.LazyGroup.get_command = lambda self, ctx, name: broken
m.main()
"""
    answer = run("broken", program=program)
    assert answer.returncode == BAD_SETUP
    assert answer.stdout == ""
    assert answer.stderr == "callverdict: CALLVERDICT_GRACE_S='5m': give a whole number of seconds, at least 0\n"
