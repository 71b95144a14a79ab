"""The other process of a benchmark: ``python -m benchmarks.child folded|listen|hear|layer|raw-notify|raw-subscribe|update|raw-update|visit|hold|sweep|tab-memory``."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import django
import nats
import psycopg
from django.test import override_settings

if TYPE_CHECKING:
    from via_state.pod.pod import Pod


def say(text: object) -> None:
    print(text, flush=True)


def folded() -> None:
    """Print how old each stamp is when this process has folded it."""
    from benchmarks.state import Bench

    async def follow() -> None:
        first = True
        async for at in Bench.stamps.changes():
            say("ready" if first else time.monotonic() - at)
            first = False

    asyncio.run(follow())


def listen(dsn: str) -> None:
    """The same by hand."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("LISTEN raw_stamp")
        say("ready")
        while list(connection.notifies(stop_after=1)):
            row = connection.execute("SELECT at FROM raw_stamp ORDER BY id DESC LIMIT 1").fetchone()
            assert row is not None
            say(time.monotonic() - row[0])


def hear() -> None:
    """The same by hand, over NATS."""

    async def follow() -> None:
        client = await nats.connect(os.environ["VIA_BENCH_NATS"])
        messages = await client.subscribe("raw.stamp")
        await client.flush()
        say("ready")
        async for message in messages.messages:
            say(time.monotonic() - float(message.data))

    asyncio.run(follow())


def heard(stamp: float, what: str) -> None:
    """A message came. ``what`` to say: "ages" of all, or when the "last" is there."""
    if what == "ages":
        say(time.monotonic() - stamp)
    elif stamp == 1.0:
        say("last")


def receive(what: str) -> None:
    """Receive from a group of the channel layer."""
    from via_state.layers import BackplaneChannelLayer

    async def follow() -> None:
        layer = BackplaneChannelLayer(capacity=100_000)
        channel = await layer.new_channel()
        await layer.group_add("bench", channel)
        say("ready")
        while True:
            heard((await layer.receive(channel))["stamp"], what)

    asyncio.run(follow())


def raw_notify(dsn: str, what: str) -> None:
    """The same by hand, over PostgreSQL."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("LISTEN raw_message")
        say("ready")
        for notification in connection.notifies():
            heard(float(notification.payload.split()[0]), what)


def raw_subscribe(what: str) -> None:
    """The same by hand, over NATS."""

    async def follow() -> None:
        client = await nats.connect(os.environ["VIA_BENCH_NATS"])
        messages = await client.subscribe(
            "raw.message", pending_msgs_limit=0, pending_bytes_limit=0
        )  # as much as comes
        await client.flush()
        say("ready")
        async for message in messages.messages:
            heard(float(message.data.split()[0]), what)

    asyncio.run(follow())


def update() -> None:
    """Count up a shared cell."""
    from prometheus_client import REGISTRY

    from benchmarks.state import Bench

    Bench.hits.read()
    say("ready")
    seconds, done = float(sys.stdin.readline()), 0
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        Bench.hits.update(lambda old: old + 1)
        done += 1
    ended = time.monotonic()
    conflicts = REGISTRY.get_sample_value("via_cell_conflicts_total", {"key": "bench.hits"}) or 0.0
    say(json.dumps({"began": began, "ended": ended, "done": done, "conflicts": conflicts}))


def held(keys: int) -> float:
    """How many bytes this process needs for each key that it holds, of so many that another pod's backplane keeps."""
    from benchmarks.live import resident
    from benchmarks.state import Bench, Tick
    from via_state.conf import settings
    from via_state.testing import pods

    spec = Bench.bare.definition.spec()
    names = [f"bench.bare.{number}" for number in range(keys)]

    async def fill(pod: Pod) -> None:
        for first in range(0, keys, 1000):
            await asyncio.gather(*(pod.aappend(name, spec, [Tick()]) for name in names[first : first + 1000]))

    async def follow(pod: Pod) -> None:
        for first in range(0, keys, 1000):
            for name in names[first : first + 1000]:
                pod.replicas.log(name, spec)
            await pod.replicas.settle()

    with override_settings(VIA_STATE={"MAX_REPLICAS": 2 * keys, "IDLE_TTL": 3600.0}), pods(2) as (writer, reader):
        assert 2 * keys == settings.MAX_REPLICAS
        writer.thread.call(fill(writer))
        before = resident()
        reader.thread.call(follow(reader))
        assert len(reader.replicas.logs()) == keys
        return (resident() - before) / keys


def raw_update(dsn: str) -> None:
    """The same by hand."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        say("ready")
        seconds, done = float(sys.stdin.readline()), 0
        began, conflicts = time.monotonic(), 0
        while time.monotonic() < began + seconds:
            while True:
                row = connection.execute("SELECT value, rev FROM raw_cell WHERE id = 1").fetchone()
                assert row is not None
                updated = connection.execute(
                    "UPDATE raw_cell SET value = %s, rev = rev + 1 WHERE id = 1 AND rev = %s", (row[0] + 1, row[1])
                )
                if updated.rowcount:
                    break
                conflicts += 1
            done += 1
        say(json.dumps({"began": began, "ended": time.monotonic(), "done": done, "conflicts": conflicts}))


def visit(port: int) -> None:
    """Load a page again and again, 50 times a second; when told to end, print within how many milliseconds 99 of 100 were answered."""
    took: list[float] = []
    ends = threading.Event()

    def wait() -> None:
        sys.stdin.readline()
        ends.set()

    threading.Thread(target=wait, daemon=True).start()
    while not ends.wait(0.02):
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/quick/")
        connection.getresponse().read()
        connection.close()
        if not took:
            say("ready")
        took.append((time.monotonic() - began) * 1000)
    say(sorted(took)[int(len(took) * 0.99)])


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")
    address = f"host=127.0.0.1 port={os.environ['VIA_DATABASE_PORT']} user=postgres dbname=postgres"
    job = sys.argv[1]
    if job == "visit":
        visit(int(sys.argv[2]))
    elif job == "tab-memory":
        django.setup()
        from benchmarks.live import memory_here

        say(memory_here(sys.argv[2]))
    elif job in ("hold", "sweep"):
        django.setup()
        from benchmarks.memory import sweep_here

        say((held if job == "hold" else sweep_here)(int(sys.argv[2])))
    elif job == "hear":
        hear()
    elif job == "raw-notify":
        raw_notify(address, sys.argv[2])
    elif job == "raw-subscribe":
        raw_subscribe(sys.argv[2])
    elif job in ("listen", "raw-update"):
        (listen if job == "listen" else raw_update)(address)
    else:
        django.setup()
        if job == "layer":
            receive(sys.argv[2])
        else:
            (folded if job == "folded" else update)()
