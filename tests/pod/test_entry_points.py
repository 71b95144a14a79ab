"""`append` and `read` from everywhere a Django project calls them. None of these may hang."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.testing import WebsocketCommunicator
from django.core.asgi import get_asgi_application
from django.core.management import BaseCommand, call_command
from django.core.wsgi import get_wsgi_application
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.test import RequestFactory, TestCase, override_settings
from django.urls import path

from tests.pod.board import Add, Board
from via_state.exceptions import Closed
from via_state.pod.default import current_pod
from via_state.pod.pod import Pod
from via_state.runtime.loop import current_loop
from via_state.testing import StateTestMixin, drain, memory_pod

WAIT = 20.0  # seconds after which something hangs


def sync_view(request: HttpRequest) -> JsonResponse:
    offset = Board.numbers.append(Add(1))
    Board.hits.update(lambda old: old + 1)
    return JsonResponse([offset, Board.numbers.read(at_least=offset), Board.hits.read()], safe=False)


async def async_view(request: HttpRequest) -> JsonResponse:
    offset = await Board.numbers.aappend(Add(1))
    await Board.hits.aupdate(lambda old: old + 1)
    return JsonResponse([offset, await Board.numbers.aread(at_least=offset), Board.hits.read()], safe=False)


urlpatterns = [path("sync/", sync_view), path("async/", async_view)]


class SyncConsumer(WebsocketConsumer):
    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        offset = Board.numbers.append(Add(1))
        self.send(str(Board.numbers.read(at_least=offset)))


class AsyncConsumer(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        offset = await Board.numbers.aappend(Add(1))
        assert Board.numbers.read() == [1]
        await self.send(str(await Board.numbers.aread(at_least=offset)))


class Command(BaseCommand):
    def handle(self, *args: Any, **options: Any) -> None:
        offset = Board.numbers.append(Add(1))
        self.stdout.write(str(Board.numbers.read(at_least=offset)))


@pytest.mark.parametrize("name", ["sync", "async"])
@override_settings(ROOT_URLCONF="tests.pod.test_entry_points", MIDDLEWARE=[])
async def test_a_view_under_asgi(state_pod: Pod, name: str) -> None:
    communicator = ApplicationCommunicator(
        get_asgi_application(),
        {
            "type": "http",
            "method": "GET",
            "path": f"/{name}/",
            "headers": [(b"host", b"testserver")],
            "query_string": b"",
        },
    )
    await communicator.send_input({"type": "http.request"})
    start = await communicator.receive_output(WAIT)
    body = await communicator.receive_output(WAIT)
    assert start["status"] == 200, body
    assert body["body"] == b"[1, [1], 1]"
    await communicator.wait(WAIT)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["sync", "async"])
@override_settings(ROOT_URLCONF="tests.pod.test_entry_points", MIDDLEWARE=[])
def test_a_view_under_wsgi(state_pod: Pod, name: str) -> None:
    environ = RequestFactory().get(f"/{name}/").environ
    status: list[str] = []
    body = b"".join(get_wsgi_application()(environ, lambda line, headers, error=None: status.append(line)))  # type: ignore[arg-type]
    assert status == ["200 OK"], body
    assert body == b"[1, [1], 1]"


@pytest.mark.django_db(transaction=True)  # Channels looks at the connections that earlier tests left open
@pytest.mark.parametrize("consumer", [SyncConsumer, AsyncConsumer])
async def test_a_channels_consumer(state_pod: Pod, consumer: Any) -> None:
    communicator = WebsocketCommunicator(consumer.as_asgi(), "/")
    connected, _ = await communicator.connect(WAIT)
    assert connected
    await communicator.send_to("go")
    assert await communicator.receive_from(WAIT) == "[1]"
    await communicator.disconnect()


def test_a_management_command(state_pod: Pod) -> None:
    out = StringIO()
    call_command(Command(), stdout=out)
    assert out.getvalue().strip() == "[1]"


def test_plain_threads(state_pod: Pod) -> None:
    with ThreadPoolExecutor(8) as threads:
        offsets = list(threads.map(lambda number: Board.numbers.append(Add(number)), range(40), timeout=WAIT))
    assert sorted(offsets) == list(range(1, 41))
    assert len(Board.numbers.read()) == 40


def test_event_loops_of_the_projects_own(state_pod: Pod) -> None:
    async def work() -> list[int]:
        return await Board.numbers.aread(at_least=await Board.numbers.aappend(Add(1)))

    assert [len(asyncio.run(work())) for _ in range(3)] == [1, 2, 3]
    assert len(async_to_sync(work)()) == 4


async def test_sync_code_in_a_thread_of_an_event_loop(state_pod: Pod) -> None:
    def work() -> list[int]:
        return Board.numbers.read(at_least=Board.numbers.append(Add(1)))

    for sensitive in (True, False):
        await asyncio.wait_for(sync_to_async(work, thread_sensitive=sensitive)(), WAIT)
    assert await Board.numbers.aread() == [1, 1]


def test_a_pod_of_the_default_setting() -> None:
    with override_settings(VIA_STATE={"RECONCILE_INTERVAL": 0.5}):
        first = current_pod()
        assert current_pod() is first
        Board.numbers.append(Add(1))
        assert Board.numbers.read() == [1]
    assert current_pod() is not first
    assert Board.numbers.read() == [], "another setting, another backplane"
    with pytest.raises(Closed):
        Board.numbers.using(first).append(Add(1))


def _in_child(pipe: Any, inherited: Pod) -> None:
    try:
        Board.numbers.using(inherited).append(Add(2))
    except Closed as error:
        refused = str(error)
    offset = Board.numbers.append(Add(3))
    pipe.send((refused, Board.numbers.read(at_least=offset), threading.active_count() > 1, os.getpid()))
    pipe.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_worker_has_a_pod_of_its_own() -> None:
    with memory_pod() as pod:
        Board.numbers.append(Add(1))  # the thread runs before the fork
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe()
        child = context.Process(target=_in_child, args=(there, pod))
        child.start()
        assert here.poll(WAIT), "the child hangs"
        refused, value, has_thread, pid = here.recv()
        child.join(WAIT)
        assert child.exitcode == 0
        assert pid != os.getpid()
        assert "another process" in refused
        assert value == [3], "memory is not shared with the child"
        assert has_thread
        assert Board.numbers.read() == [1]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_another_thread_starts_the_loop() -> None:
    loop_module = "via_state.runtime.loop._lock"
    with patch(loop_module, threading.Lock()) as lock, lock:  # held by another thread at the fork
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe()
        child = context.Process(target=lambda: there.send(current_loop().call(asyncio.sleep(0, "alive"))))
        child.start()
        assert here.poll(WAIT), "the child hangs"
        assert here.recv() == "alive"
        child.join(WAIT)


@override_settings(VIA_STATE={"RECONCILE_INTERVAL": 0.5})
def test_a_pod_that_was_closed_is_not_the_current_one_any_more() -> None:
    first = current_pod()
    Board.numbers.append(Add(1))
    assert Board.numbers.read() == [1]
    Board.hits.set(7)
    first.close()
    for stale in (
        lambda: Board.numbers.using(first).read(),
        lambda: Board.hits.using(first).read(),
        lambda: Board.hits.using(first).set(8),
        lambda: Board.numbers.using(first).append(Add(2)),
    ):
        with pytest.raises(Closed):
            stale()
    assert current_pod() is not first
    Board.numbers.read(at_least=Board.numbers.append(Add(1)))


def test_a_chosen_pod_that_was_closed_stays_and_raises() -> None:
    """Another one would be on another backplane."""
    with memory_pod() as pod:
        pod.close()
        assert current_pod() is pod
        with pytest.raises(Closed):
            Board.numbers.read()


class InsideATestCase(StateTestMixin, TestCase):
    """Django's TestCase, inside its transaction on SQLite in memory."""

    def test_reads_what_it_appends(self) -> None:
        with transaction.atomic():
            offset = Board.numbers.append(Add(1))
            assert Board.numbers.read(at_least=offset) == [1]
        Board.hits.set(3)
        assert Board.hits.read() == 3
        self.drain()

    async def test_reads_what_it_appends_in_an_async_test(self) -> None:
        offset = await Board.numbers.aappend(Add(1))
        assert await Board.numbers.aread(at_least=offset) == [1]

    def test_each_test_begins_empty(self) -> None:
        assert Board.numbers.read() == []
        assert Board.hits.read() == 0

    def test_no_database_thread_runs(self) -> None:
        Board.numbers.append(Add(1))
        Board.numbers.append_on_commit(Add(2))
        drain()
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("via-state-db")]


def test_a_process_ends_although_the_loop_runs() -> None:
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=_use_and_end)
    child.start()
    child.join(WAIT)
    assert child.exitcode == 0


def _use_and_end() -> None:
    import django

    django.setup()
    assert Board.numbers.read(at_least=Board.numbers.append(Add(1))) == [1]
