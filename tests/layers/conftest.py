"""Channel layers of several processes: each with a pod and a backplane of its own, over the same server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.conf import settings

from tests.conftest import POSTGRES_ALIAS
from tests.pod.world import EVERY, kind_of
from via_state.backplanes.base import Backplane
from via_state.backplanes.memory import MemoryBackplane
from via_state.backplanes.nats import NatsBackplane
from via_state.backplanes.postgres import PostgresBackplane
from via_state.layers import BackplaneChannelLayer
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


@pytest.fixture(params=EVERY)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    kind = kind_of(request)
    options: dict[str, Any] = {"DATABASE": POSTGRES_ALIAS, "PREFIX": uuid.uuid4().hex}
    memory = MemoryBackplane()
    with ExitStack() as pods:

        def backplane() -> Backplane:
            if kind == "nats":
                address = f"nats://{settings.NATS_TOKEN}@127.0.0.1:{settings.NATS_PORT}"
                return NatsBackplane({**options, "SERVERS": address})
            return PostgresBackplane(options) if kind == "postgres" else memory

        def make(**layer: Any) -> Layer:
            pod = Pod(backplane(), owns_backplane=kind != "memory")
            pods.callback(pod.close)
            return Layer(pod, **{"capacity": 3, **layer})

        yield make


@pytest.fixture
def one(make: Make) -> Layer:
    return make()


@pytest.fixture
def two(make: Make) -> tuple[Layer, Layer]:
    """Of two processes."""
    return make(), make()
