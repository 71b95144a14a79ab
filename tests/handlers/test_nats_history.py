"""NATS loses its stream, or gets an old copy of it back, under running pods and a worker."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from typing import TypeVar

import nats as nats_py
import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings
from prometheus_client import REGISTRY

from testproject.servers import nats_backup
from testproject.servers.nats import Nats
from tests.conftest import POSTGRES_ALIAS, server_folder
from tests.handlers.observed import metric, position, recorder
from tests.handlers.world import Placed, Shop, shop_of, until
from via_state.backplanes.nats import NatsBackplane
from via_state.exceptions import BackplaneUnavailable, OutcomeUnknown
from via_state.pod.default import use_pod
from via_state.pod.pod import Pod

T = TypeVar("T")


@pytest.fixture
def server(postgres: object) -> Iterator[Nats]:
    """A server whose store a test may replace."""
    with server_folder() as folder:
        nats = Nats(folder / "nats")
        nats.start()
        with override_settings(NATS_PORT=nats.port, NATS_TOKEN=nats.token):
            yield nats
        nats.stop()


@pytest.fixture
def shop(server: Nats) -> Iterator[Shop]:
    with shop_of("nats") as made:
        yield made


@pytest.fixture
def pods(shop: Shop) -> Iterator[list[Pod]]:
    """Three pods, each with connections of its own."""
    others = [Pod(another_plane(shop)) for _ in range(2)]
    yield [shop.pod, *others]
    for pod in others:
        pod.close()


def another_plane(shop: Shop) -> NatsBackplane:
    servers = f"nats://{settings.NATS_TOKEN}@127.0.0.1:{settings.NATS_PORT}"
    return NatsBackplane({"SERVERS": servers, "PREFIX": shop.world.prefix})


def persist(step: Callable[[], T]) -> T:
    """Ask again until there is an answer."""
    answers: list[T] = []

    def answered() -> bool:
        try:
            answers.append(step())
        except (BackplaneUnavailable, OutcomeUnknown):
            return False
        return True

    until(answered, "an answer")
    return answers[0]


def agree(shop: Shop, pods: list[Pod], numbers: list[int]) -> None:
    until(lambda: all(shop.orders().using(pod).read() == numbers for pod in pods), f"{numbers} everywhere")


def numbers(*them: int) -> list[Placed]:
    return [Placed(number) for number in them]


def resets() -> float:
    """Folds that began again, in this process."""
    return REGISTRY.get_sample_value("via_events_epoch_reset_total", {"key": "orders"}) or 0.0


async def delete_stream(server: Nats, name: str) -> None:
    client = await nats_py.connect(server.url)
    await nats_backup.delete(client, name)
    await client.close()


def test_a_stream_that_was_recreated_is_a_reset_and_no_handler_runs_again(
    server: Nats, shop: Shop, pods: list[Pod]
) -> None:
    got = recorder(shop)
    shop.settle(shop.work())
    shop.place(1, 2, 3, 4, 5)
    agree(shop, pods, [1, 2, 3, 4, 5])
    until(lambda: got == [1, 2, 3, 4, 5])
    before = resets()
    asyncio.run(delete_stream(server, f"{shop.world.prefix}_log"))
    with pytest.raises(BackplaneUnavailable, match="the stream is gone"):
        while True:
            shop.world.run(shop.world.inner.head("orders"))
    newcomer = Pod(another_plane(shop))
    persist(lambda: shop.orders().using(newcomer).append_many(numbers(1, 2, 3, 4, 5, 6, 7), wait=False))
    newcomer.close()
    agree(shop, pods, [1, 2, 3, 4, 5, 6, 7])
    assert resets() - before == len(pods), "each pod's fold, once"
    until(lambda: metric("via_consumer_halted", reason="history") == 1)
    assert got == [1, 2, 3, 4, 5]


@pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)
@pytest.mark.parametrize("had", [1, 5], ids=["first", "later"])
def test_handlers_of_another_backplane_halt_on_nats(server: Nats, postgres: object, had: int) -> None:
    """The database stays, the setting changes: another history, not an outage."""
    with shop_of("postgres") as shop:
        got = recorder(shop)
        shop.settle(worker := shop.work())
        shop.place(*range(1, had + 1))
        until(lambda: position(shop).offset == had)
        shop.stop(worker)
        shop.world.stop(shop.pod)
        before = shop.world.inner
        options = {"SERVERS": server.url, "PREFIX": shop.world.prefix}
        shop.world.inner = shop.world.plane.inner = NatsBackplane(options)
        shop.world.run(before.close())
        shop.pod = shop.world.start()
        shop.place(1, 2, 3)
        errors = REGISTRY.get_sample_value("via_backplane_errors_total")
        shop.work()
        until(lambda: position(shop).halted == "history")
        assert got == [*range(1, had + 1)]
        assert REGISTRY.get_sample_value("via_backplane_errors_total") == errors
        assert "restored or recreated" in position(shop).halted_text
        with use_pod(shop.pod), pytest.raises(SystemExit):
            call_command("state_status", "--halted")


@pytest.mark.parametrize("later", [(), (6,), (6, 7, 8, 9)], ids=["nothing", "less", "more"])
def test_a_store_restored_from_a_copy_is_a_reset_and_no_handler_runs_again(
    server: Nats, shop: Shop, pods: list[Pod], later: tuple[int, ...]
) -> None:
    """Afterwards nothing, less or more is appended than was lost."""
    got = recorder(shop)
    shop.settle(shop.work())
    shop.place(1, 2)
    agree(shop, pods, [1, 2])
    server.stop()
    copy = server.folder.with_name("copy")
    shutil.copytree(server.folder / "jetstream", copy)
    server.start()
    persist(lambda: shop.orders().using(shop.pod).append_many(numbers(3, 4, 5), wait=False))
    agree(shop, pods, [1, 2, 3, 4, 5])
    until(lambda: got == [1, 2, 3, 4, 5])
    epoch, before = position(shop).epoch, resets()
    server.stop()
    shutil.rmtree(server.folder / "jetstream")
    shutil.copytree(copy, server.folder / "jetstream")
    server.start()
    for number in later:
        persist(lambda n=number: shop.place(n))  # type: ignore[misc]
    agree(shop, pods, [1, 2, *later])
    assert shop.world.run(shop.world.inner.head("orders")).position.epoch == epoch, "it came back with the copy"
    assert resets() - before == len(pods)
    until(lambda: metric("via_consumer_halted", reason="history") == 1)
    assert position(shop).halted == "history"
    assert got == [1, 2, 3, 4, 5]
