"""The demo: a real Kafka, a worker, a real switch's events, a board that fills up, one call explained.

    demo(Plan(...), stage)    returns when everything has stopped again

Whatever happens, the worker is ended, then Kafka; on somebody else's Kafka the demo's own topics are removed.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from aiokafka.errors import KafkaError

from pipeline.app import broker
from pipeline.app.topics import topics
from pipeline.core.model import LegRow
from pipeline.settings import Settings, policy
from pipeline.settings.reading import FILE_NAME
from pipeline.workbench import explain, programme, showcase
from pipeline.workbench.board import total_of
from pipeline.workbench.brokers import free_ports
from pipeline.workbench.kafka import LocalKafka
from pipeline.workbench.ownworker import OwnWorker
from pipeline.workbench.programme import PARTS
from pipeline.workbench.show import Ending, Scene, Show, ShowError, scenes, within
from pipeline.workbench.stage import Stage, totals

READY_S = 60.0
TIDY_S = 20.0
LOOK_S = 0.2
RACE_QUEUE = "sales"


class Plan(NamedTuple):
    """What was asked for. Without a bootstrap a temporary Kafka is started; `speed` goes on top of each recording's own.

    `program`: how this machine calls callverdict, for the hints of `keep`.
    """

    bootstrap: str | None = None
    recordings: Path | None = None
    speed: float = 1.0
    keep: bool = False
    program: str = "callverdict"


def demo(plan: Plan, stage: Stage) -> None:
    """Raises what says that it cannot begin (ProgrammeError, LocalKafkaError, SettingsError, aiokafka's KafkaConnectionError), and ShowError,
    WorkerEndedError or PlayError if it breaks off.
    """
    folder = programme.recordings(plan.recordings)
    with ExitStack() as stack:
        bootstrap = found(plan.bootstrap, stage) if plan.bootstrap else started(stage, stack)
        worker = stack.enter_context(OwnWorker(web_port=free_ports(1)[0]))
        apart = programme.name_apart() if plan.bootstrap else ""
        text = programme.settings_text(bootstrap, programme.queues(folder), apart=apart)
        settings = programme.written_settings(worker.folder, text)
        if plan.bootstrap:
            stack.callback(remove_topics, settings, stage)
        make_topics(settings, stage)
        stack.callback(worker.stop)
        call_id = asyncio.run(performed(plan, folder, settings, worker, stage))
        if plan.keep:
            keep(plan, call_id, worker, stage)
        end(worker, stage)
    stage.say("Kafka and worker have stopped, nothing is left behind." if plan.bootstrap is None else "The worker has stopped.")


def found(bootstrap: str, stage: Stage) -> str:
    """Return the address once a Kafka has answered there. Raises aiokafka's KafkaConnectionError."""

    async def answered() -> None:
        async with broker.admin(bootstrap):
            pass

    with stage.step(f"looking for Kafka at {bootstrap}") as done:
        asyncio.run(answered())
        done(f"the Kafka at {bootstrap}")
    return bootstrap


def started(stage: Stage, stack: ExitStack) -> str:
    """Start a Kafka that lives as long as the stack; return its address."""
    with stage.step("starting a Kafka on this machine (the first time it fetches 44 MB)") as done:
        bootstrap = stack.enter_context(LocalKafka()).bootstrap
        done(f"a real Apache Kafka at {bootstrap}, for this show only")
    return bootstrap


def make_topics(settings: Settings, stage: Stage) -> None:
    with stage.step("making topics") as done:
        made = asyncio.run(broker.create(settings.bootstrap, topics(settings)))
        prefix = settings.topics.topic_prefix
        done(f"{len(made)} topics" + (f", all named {prefix}*" if prefix else ""))


def remove_topics(settings: Settings, stage: Stage) -> None:
    """Take away what the demo made on somebody else's Kafka; what it cannot take away it names."""
    ours = [topic.name for topic in topics(settings)]

    async def remove() -> None:
        async with asyncio.timeout(TIDY_S), broker.admin(settings.bootstrap) as client:
            there = await broker.described(client)
            await client.delete_topics([name for name in ours if name in there])

    try:
        asyncio.run(remove())
    except (KafkaError, TimeoutError) as error:
        stage.say(f"the topics {settings.topics.topic_prefix}* could not be removed ({error}): remove them by hand")


async def performed(plan: Plan, folder: Path, settings: Settings, worker: OwnWorker, stage: Stage) -> str:
    """Play, watch, and tell what came of it. Return the id of the call that was explained."""
    try:
        played = await ready(plan, folder, worker, stage)
        stage.say()
        ending = await Show(settings, worker, stage, played).run()
        legs = showcase.race(ending.legs, RACE_QUEUE)
        events = await showcase.events_of(settings, frozenset(row.leg_id for row in legs))
    except KafkaError as error:
        raise ShowError(
            f"Kafka at {settings.bootstrap} did not do its part ({error}); the worker's log says: {worker.last_words()}"
        ) from error
    check(ending, legs)
    stage.title(f"One call to {RACE_QUEUE}, leg by leg")
    stage.say(explain.story(events, policy(settings), legs[0].call_id))
    tell_totals(ending, stage)
    return legs[0].call_id


async def ready(plan: Plan, folder: Path, worker: OwnWorker, stage: Stage) -> list[Scene]:
    """Return the scenes once the worker has its partitions."""
    with stage.step("starting the worker, reading the recordings") as done:
        worker.start()
        reading = asyncio.create_task(asyncio.to_thread(scenes, PARTS, folder, plan.speed))

        async def is_ready() -> bool:
            return reading.done() and await asyncio.to_thread(worker.is_ready)

        await within(READY_S, is_ready, "the worker was not ready")
        played = await reading
        done(f"a worker, and {len(played)} recordings of a real FreeSWITCH with {sum(scene.found.records for scene in played):,} events")
    return played


def check(ending: Ending, legs: tuple[LegRow, ...]) -> None:
    """Raises ShowError if what the topics say cannot be right."""
    if not legs:
        raise ShowError(
            f"none of {len(ending.legs)} legs belongs to a race that could be drawn: this is a mistake of ours, please report it"
        )
    if ending.dead_letters:
        raise ShowError(f"{ending.dead_letters} events of the recordings became dead letters: this is a mistake of ours, please report it")


def tell_totals(ending: Ending, stage: Stage) -> None:
    total = total_of(ending.queues.values())
    stage.title("What became of all of them")
    stage.say(totals(ending.queues))
    stage.say(f"Everything offered has one result: {total['legs_offered']:,} legs, {total['calls_offered']:,} calls; nothing is open.")
    left = sum(row.records for row in ending.lag)
    stage.say(
        f"The lag is {left} records in {len(ending.lag)} partitions of {len({row.topic for row in ending.lag})} topics, "
        f"{ending.dead_letters} dead letters, {ending.events:,} events in {ending.seconds:.0f} s."
    )


def keep(plan: Plan, call_id: str, worker: OwnWorker, stage: Stage) -> None:
    """Let Kafka and worker run until Ctrl-C. Raises WorkerEndedError."""
    stage.title("Kafka and the worker go on running; in another terminal")
    for line in (
        f"export CALLVERDICT_CONFIG={worker.folder / FILE_NAME}",
        f"{plan.program} lag",
        f"{plan.program} topics list",
        f"{plan.program} explain --call {call_id}",
        f"curl -s {worker.url}/metrics",
    ):
        stage.say(f"  {line}")
    stage.say("Ctrl-C here stops both and removes what they wrote.")
    with suppress(KeyboardInterrupt):
        while True:
            worker.check()
            time.sleep(LOOK_S)


def end(worker: OwnWorker, stage: Stage) -> None:
    """Stop the worker as an operator would. Raises ShowError if it did not end well."""
    with stage.step("stopping") as done:
        code = worker.stop()
        if code:
            raise ShowError(f"the worker ended with exit code {code} when it was told to stop; its log says: {worker.last_words()}")
        done("SIGTERM: the worker finished what it had begun and ended with exit code 0")
