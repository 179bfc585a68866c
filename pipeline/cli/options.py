"""Options and manners that several commands share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from shutil import get_terminal_size
from textwrap import fill
from typing import Any, TypeVar

import click

from pipeline.settings import Settings, load

Answer = TypeVar("Answer")

bootstrap = click.option(
    "--bootstrap",
    metavar="HOST:PORT",
    help="The brokers to ask first, several with commas.  [env: CALLVERDICT_BOOTSTRAP; default: localhost:9092]",
)
"""Read through the settings, so that `callverdict settings` can say where it came from."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program instead of a table.")


def settings_with(*, bootstrap: str | None) -> Settings:
    """The settings in force under this command line."""
    return load(given={"bootstrap": bootstrap})


def indented(text: str) -> str:
    """What belongs to the line above, broken to the terminal's width (80 where there is none)."""
    return fill(text, width=min(get_terminal_size().columns, 120), initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


def run(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a command's talk with Kafka. Its client logs what we raise anyway; a person reads one sentence instead."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    return asyncio.run(work)
