"""Several projects on one NATS server, set up as the page on NATS says: what one of them can do to another."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import nats as nats_py
import pytest
import pytest_asyncio
from nats.aio.client import Client

from testproject.servers.nats import Nats
from tests.conftest import nats_with
from via_state.backplanes.nats import NatsBackplane, log
from via_state.exceptions import BackplaneRefused, BackplaneUnavailable
from via_state.testing.conformance.harness import append, eventually, new_id, read_all
from via_state.testing.conformance.messages import hears
from via_state.testing.conformance.store import until_absent

PAGE = (Path(__file__).parents[2] / "docs/nats.md").read_text()
Make: TypeAlias = Callable[..., NatsBackplane]


def written(beginning: str) -> str:
    """The configuration on the page that begins so."""
    (found,) = re.findall(rf"```text\n({beginning} \{{.*?)```", PAGE, re.DOTALL)
    return str(found)


@asynccontextmanager
async def planes(server: Nats) -> AsyncIterator[Make]:
    """Makes backplanes, and closes them afterwards."""
    made: list[NatsBackplane] = []

    def make(**options: object) -> NatsBackplane:
        made.append(NatsBackplane({"SERVERS": server.url, "PASSWORD": "secret", **options}))
        return made[-1]

    try:
        yield make
    finally:
        for plane in made:
            await plane.close()


class Stranger:
    """Another project's user, who tries what there is. ``refused``: what the server said no to."""

    def __init__(self, client: Client, inbox: str) -> None:
        self.client, self.inbox = client, inbox
        self.refused: list[str] = []
        self.heard: list[str] = []

    async def listen(self, subject: str) -> None:
        async def hear(message: Any) -> None:
            self.heard.append(f"{subject}: {message.subject} {message.data!r}")

        await self.client.subscribe(subject, cb=hear)

    async def answered(self) -> None:
        """Wait until the server has had all of it. nats-py's ping overtakes what waits to be sent, a second one does not."""
        for _ in range(2):
            await self.client.flush()

    async def ask(self, subject: str, body: object, reply: str | None = None) -> None:
        await self.client.publish(subject, json.dumps(body).encode(), reply or f"{self.inbox}.answer")


@asynccontextmanager
async def stranger(server: Nats, user: str, inbox: str) -> AsyncIterator[Stranger]:
    async def said(error: Exception) -> None:
        who.refused.append(str(error))

    client = await nats_py.connect(
        server.url, user=user, password="secret", inbox_prefix=inbox, error_cb=said, allow_reconnect=False
    )
    who = Stranger(client, inbox)
    try:
        yield who
    finally:
        await client.close()


#: What a stranger would hear of the prefix ``via``.
EARS = (
    ">",
    "_INBOX.>",
    "_INBOX_via.>",
    "*.>",
    "via.>",
    "via.bell.>",
    "via.bell.session",
    "via.live.>",
    "via.log.>",
    "$KV.via_cells.>",
    "$JS.>",
)

#: Streams of the stranger's that would copy ours, or speak into them.
COPY: tuple[dict[str, object], ...] = (
    {"mirror": {"name": "via_log"}},
    {"sources": [{"name": "via_log"}]},
    {"sources": [{"name": "KV_via_cells"}]},
)
SPEAK: tuple[dict[str, object], ...] = tuple(
    {"subjects": ["blog.log.>"], "republish": {"src": "blog.log.>", "dest": dest}}
    for dest in ("via.log.>", "via.bell.>")
)

READS: tuple[tuple[str, object], ...] = (
    *(
        (f"$JS.API.STREAM.CREATE.theft{n}", {"name": f"theft{n}", **more})
        for n, more in enumerate((*COPY, *SPEAK))
    ),
    *(("$JS.API.STREAM.UPDATE.blog_log", {"name": "blog_log", **more}) for more in SPEAK),
    ("$JS.API.DIRECT.GET.via_log", {"seq": 1}),
    ("$JS.API.DIRECT.GET.via_log.via.log.log", {}),
    ("$JS.API.DIRECT.GET.KV_via_cells", {"seq": 1}),
    ("$JS.API.DIRECT.GET.KV_via_cells.$KV.via_cells.session", {}),
    ("$JS.API.STREAM.MSG.GET.via_log", {"seq": 1}),
    ("$JS.API.STREAM.INFO.via_log", {"subjects_filter": ">"}),
    ("$JS.API.STREAM.LIST", {}),
    ("$JS.API.STREAM.NAMES", {}),
    ("$JS.API.STREAM.SNAPSHOT.via_log", {"deliver_subject": "_INBOX_blog.copy"}),
    (
        "$JS.API.CONSUMER.CREATE.via_log",
        {"stream_name": "via_log", "config": {"deliver_subject": "_INBOX_blog.copy"}},
    ),
    ("$JS.API.CONSUMER.CREATE.via_log.mine", {"stream_name": "via_log", "config": {"name": "mine"}}),
)
WRITES: tuple[tuple[str, object], ...] = (
    ("via.log.log", "forged"),
    ("via.meta.log", {"epoch": "forged"}),
    ("$KV.via_cells.session", "forged"),
    ("via.bell.log", ""),
    ("$JS.API.STREAM.PURGE.via_log", {}),
    ("$JS.API.STREAM.DELETE.via_log", {}),
    ("$JS.API.STREAM.MSG.DELETE.via_log", {"seq": 1}),
    ("$JS.API.STREAM.UPDATE.via_log", {"name": "via_log", "max_msgs": 1, "subjects": ["via.log.>"]}),
)


async def try_everything(who: Stranger) -> None:
    for subject in EARS:
        await who.listen(subject)
    for subject, body in (*READS, *WRITES):
        await who.ask(subject, body)
    await who.answered()


async def use(plane: NatsBackplane) -> None:
    """A project that works while others try."""
    await append(plane, "log", b"secret of ours", b"another")
    await plane.cas("session", None, b"secret of ours")
    assert len(await read_all(plane, "log")) == 2


async def untouched(plane: NatsBackplane) -> None:
    assert [data for _, data in await read_all(plane, "log")] == [b"secret of ours", b"another"]
    assert (await plane.load_many(["session"]))["session"].data == b"secret of ours"
    assert set(await plane.logs()) == {"log"}
    assert set(await plane.cells()) == {"session"}


# An account each --------------------------------------------------------------------------------------------


async def test_projects_with_an_account_each_neither_read_nor_write_nor_hear_each_other() -> None:
    """Also where their prefixes and inboxes are the same, and a stranger may do in its account whatever it likes."""
    with nats_with(written("accounts")) as server:
        async with planes(server) as make, stranger(server, "blog", "_INBOX_blog") as who:
            ours = make(USER="shop")
            await ours.head("log")
            await try_everything(who)
            await use(ours)
            for reply in ("via.log.log", "$KV.via_cells.session", "via.meta.log"):
                await who.ask("via.log.log", "forged", reply)
                await who.ask("$JS.API.STREAM.NAMES", {}, reply)
            abroad = {"name": "via_log", "external": {"api": "$JS.API", "deliver": "_INBOX_blog"}}
            await who.ask("$JS.API.STREAM.CREATE.abroad", {"name": "abroad", "mirror": abroad})
            await who.answered()
            await untouched(ours)
            assert not [one for one in who.heard if "secret of ours" in one]
            theirs = make(USER="blog")  # the same prefix
            await theirs.cas("session", None, b"of theirs")
            await untouched(ours)


# One account ------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def shared() -> AsyncIterator[tuple[Nats, Make]]:
    """A server with the page's permissions for ``via``, and the same for ``blog``; their streams are made."""
    config = written("authorization")
    (user,) = re.findall(r"\n    \{\n.*?\n    \}\n", config, re.DOTALL)
    with nats_with(config.replace(user, user + user.replace("via", "blog"))) as server:
        async with planes(server) as make:
            for prefix in ("via", "blog"):
                await make(USER="admin", PREFIX=prefix).head("log")
            yield server, make


async def test_the_permissions_of_the_how_to_suffice(
    shared: tuple[Nats, Make], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "DISCARD_AGE", timedelta(0))
    make = shared[1]
    login: dict[str, object] = {"USER": "via", "INBOX_PREFIX": "_INBOX_via"}
    plane, rung = make(**login), list[str | None]()
    plane.watch(rung.append).add("log")
    await eventually(lambda: None in rung, "the first ring")
    positions = await append(plane, "log", b"1", b"2", b"3")
    await eventually(lambda: "log" in rung, "a doorbell")
    heard: list[bytes] = []
    plane.hear("topic", heard.append)
    await hears(plane, heard, plane)
    cursor = (await plane.changed(None)).cursor
    await plane.compact("log", positions[1].offset)
    assert [data for _, data in await read_all(plane, "log")] == [b"3"]
    await plane.cas("gone", None, b"x", ttl=0.001)
    await until_absent(plane, "gone")
    await plane.cas("cell", None, b"x")
    await plane.prune()
    assert set(await plane.logs()) == {"log"}
    assert set(await plane.cells()) == {"cell"}
    assert set((await plane.changed(cursor)).cells) >= {"cell"}
    await plane.drop("log")
    with pytest.raises(BackplaneUnavailable, match=r"(?i)permissions violation"):
        await make(**login, PREFIX="other", TIMEOUT=0.5).append("log", new_id(), 1, b"x")
    connection = await plane._connections.get()
    with pytest.raises(BackplaneRefused, match=r"(?i)permissions violation"):
        raise (await connection.publish([("blog.live.topic", b"x")]))[0] or AssertionError
    await plane.publish("topic", b"x")
    with pytest.raises(BackplaneUnavailable, match=r"(?i)authorization violation|credentials may be wrong"):
        await make(**login, PASSWORD="wrong").head("log")


async def test_within_one_account_permissions_keep_a_stranger_from_reading_and_from_writing(
    shared: tuple[Nats, Make],
) -> None:
    server, make = shared
    ours = make(USER="via", INBOX_PREFIX="_INBOX_via")
    async with stranger(server, "blog", "_INBOX_blog") as who:
        await who.listen("_INBOX_blog.>")
        await try_everything(who)
        assert len(who.refused) == len(EARS) + len(READS) + len(WRITES), who.refused
        await use(ours)
        await untouched(ours)
        await who.answered()
        assert who.heard == []


async def test_within_one_account_answers_go_wherever_a_request_says(shared: tuple[Nats, Make]) -> None:
    """The limit that the page states; should the servers ever close it, the page may promise more."""
    server, make = shared
    ours = make(USER="via", INBOX_PREFIX="_INBOX_via")
    await use(ours)
    async with stranger(server, "blog", "_INBOX_blog") as who:
        await who.ask("blog.log.log", "forged", "via.log.log")
        await who.answered()
        deadline = time.monotonic() + 10
        while not any(b"blog_log" in data for _, data in await read_all(ours, "log")):
            assert time.monotonic() < deadline, await read_all(ours, "log")
        assert who.refused == []
