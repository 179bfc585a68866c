"""The ring-all job on Faust as its manual shows it: `stock_faust.py BOOTSTRAP APPLICATION INPUT OUTPUT CHANGELOG`.

One agent, one table, one event at a time, at least once: what `exactly_once` of this version sends is in no transaction. The table's
changelog is of Faust's own making, under the application's name.
"""

from __future__ import annotations

import sys

import faust
from verdicts import CONTROL, Call, answered, ended, is_full, offered, read_event

bootstrap, application, source, output, _ = sys.argv[1:]

app = faust.App(
    application, broker=f"kafka://{bootstrap}", value_serializer="raw", key_serializer="raw", topic_partitions=4, topic_replication_factor=1,
    topic_disable_leader=True, web_enabled=False, store="memory://", datadir="faust", broker_commit_interval=1.0, table_standby_replicas=0,
    producer_linger=0.02, producer_max_batch_size=262_144, broker_max_poll_records=500, stream_buffer_maxsize=4_096,
)  # fmt: skip
events = app.topic(source, key_type=bytes, value_type=bytes, partitions=4)
legs = app.topic(output, key_type=bytes, value_type=bytes, partitions=4)
calls = app.Table("calls", partitions=4, key_type=str, value_type=list)


@app.agent(events)
async def judge(stream: faust.StreamT[bytes]) -> None:
    async for item in stream.events():
        value = item.value
        if value.startswith(CONTROL):
            continue
        event = read_event(value)
        if event.kind not in ("offered", "answered", "ended") or not is_full(event):
            continue
        key = item.key.decode()
        call = Call(*calls.get(key) or (None, {}))
        if event.kind == "offered":
            offered(call, event)
        elif event.kind == "answered":
            answered(call, event)
        else:
            await legs.send(key=item.key, value=ended(call, event, value))
        if call.legs:
            calls[key] = [call.winner, call.legs]
        else:
            del calls[key]


@app.on_worker_init.connect
def ready(*_: object, **__: object) -> None:
    print("ready", flush=True)  # noqa: T201 - the bench waits for it


if __name__ == "__main__":
    sys.argv[1:] = ["worker", "--loglevel", "warn"]
    app.main()
