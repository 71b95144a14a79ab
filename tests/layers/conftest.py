"""Channel layers of several processes: each with a pod and a backplane of its own, over the same server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.db import connections

from testproject.servers.proxy import Proxy
from tests.conftest import POSTGRES_ALIAS
from tests.pod.world import EVERY, kind_of
from via_state.backplanes.base import Backplane
from via_state.backplanes.memory import MemoryBackplane
from via_state.backplanes.nats import NatsBackplane
from via_state.backplanes.postgres import PostgresBackplane
from via_state.layers import BackplaneChannelLayer, mailboxes
from via_state.layers import layer as layers
from via_state.pod.pod import Pod


class Layer(BackplaneChannelLayer):
    """On a pod of its own."""

    def __init__(self, pod: Pod, **options: Any) -> None:
        super().__init__(**options)
        self.of_test = pod

    def pod(self) -> Pod:
        return self.of_test


#: Makes the layer of one more process.
Make = Callable[..., Layer]


@contextmanager
def maker(kind: str, nats_port: int) -> Iterator[Make]:
    """Of layers over one server."""
    options: dict[str, Any] = {"DATABASE": POSTGRES_ALIAS, "PREFIX": uuid.uuid4().hex}
    memory = MemoryBackplane()
    with ExitStack() as pods:

        def backplane() -> Backplane:
            if kind == "nats":
                return NatsBackplane({**options, "SERVERS": f"nats://{settings.NATS_TOKEN}@127.0.0.1:{nats_port}"})
            return PostgresBackplane(options) if kind == "postgres" else memory

        def make(**layer: Any) -> Layer:
            pod = Pod(backplane(), owns_backplane=kind != "memory")
            pods.callback(pod.close)
            return Layer(pod, **{"capacity": 3, **layer})

        yield make


@pytest.fixture(params=EVERY)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    with maker(kind_of(request), settings.NATS_PORT) as make:
        yield make


@pytest.fixture(params=EVERY[1:])
def cut_off(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Proxy, Make]]:
    """What cuts the connections to the server, and makes layers that have theirs through it."""
    kind = kind_of(request)
    proxy: Proxy = request.getfixturevalue(f"{kind}_proxy")
    monkeypatch.setitem(connections.databases[POSTGRES_ALIAS], "PORT", str(proxy.port))
    with maker(kind, proxy.port) as make:
        yield proxy, make


@pytest.fixture
def one(make: Make) -> Layer:
    return make()


@pytest.fixture
def two(make: Make) -> tuple[Layer, Layer]:
    """Of two processes."""
    return make(), make()


class Clock:
    """The time that layers see."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (layers, mailboxes):
        monkeypatch.setattr(module, "time", clock)
    return clock
