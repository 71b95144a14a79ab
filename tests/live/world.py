"""Two processes with tabs, which hear each other by a carrier."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import redis as client
from channels.layers import channel_layers
from django.conf import settings
from django.test import override_settings

from tests.conftest import POSTGRES_ALIAS
from tests.live.hubs import hubs
from via_state.backplanes.base import Backplane
from via_state.backplanes.memory import MemoryBackplane
from via_state.backplanes.nats import NatsBackplane
from via_state.backplanes.postgres import PostgresBackplane
from via_state.live.announcing.carriers.layer import group_name
from via_state.pod.default import using_pod
from via_state.pod.pod import Pod

CORE, PUBSUB = "channels_redis.core.RedisChannelLayer", "channels_redis.pubsub.RedisPubSubChannelLayer"


class World:
    """``kind``: "memory", "postgres", "nats", or the dotted path of a layer, whose Redis is at the address ``url``, as NATS is."""

    def __init__(self, kind: str, url: str, stack: ExitStack) -> None:
        self.kind, self.url = kind, url
        self.prefix = f"t{uuid.uuid4().hex[:16]}"
        self.of_layer = "." in kind
        more: dict[str, Any] = {
            "PREFIX": self.prefix,
            "BROADCAST": "layer" if self.of_layer else "auto",
            "APPEND_TIMEOUT": 0.5,
        }
        stack.enter_context(override_settings(VIA_STATE={**getattr(settings, "VIA_STATE", {}), **more}))
        if self.of_layer:
            layers = {"default": {"BACKEND": kind, "CONFIG": {"hosts": [url], "prefix": self.prefix}}}
            stack.enter_context(override_settings(CHANNEL_LAYERS=layers))
            stack.callback(channel_layers.backends.clear)
        memory = MemoryBackplane()
        in_memory = self.of_layer or kind == "memory"
        self.pods = [
            Pod(memory if in_memory else self._backplane(), owns_backplane=not in_memory) for _ in range(2)
        ]
        for pod in self.pods:
            stack.callback(pod.close)
        self.here, self.there = stack.enter_context(hubs(*self.pods))
        stack.enter_context(using_pod(self.pods[0]))

    def _backplane(self) -> Backplane:
        options: dict[str, Any] = {"DATABASE": POSTGRES_ALIAS, "PREFIX": self.prefix, "CONNECT_TIMEOUT": 2.0}
        return (
            PostgresBackplane(options)
            if self.kind == "postgres"
            else NatsBackplane({**options, "SERVERS": self.url})
        )

    def write(self, data: bytes) -> None:
        """As a stranger does who may write to the server."""
        pod = self.pods[0]
        if not self.of_layer:
            pod.thread.call(pod.backplane.publish("b", data))
            return
        with client.Redis.from_url(self.url) as server:
            if self.kind == PUBSUB:
                server.publish(f"{self.prefix}__group__{group_name()}", data)
                return
            for channel in self.members(server):
                server.zadd(f"{self.prefix}{channel.decode().partition('!')[0]}!", {data: 0})

    def members(self, server: Any) -> list[bytes]:
        """Who is in the group, as `CORE` keeps it."""
        found: list[bytes] = server.zrange(f"{self.prefix}:group:{group_name()}", 0, -1)
        return found

    def forget_members(self) -> None:
        """As somebody does by hand."""
        with client.Redis.from_url(self.url) as server:
            server.delete(f"{self.prefix}:group:{group_name()}")


@contextmanager
def world_of(kind: str, url: str = "") -> Iterator[World]:
    with ExitStack() as stack:
        yield World(kind, url, stack)
