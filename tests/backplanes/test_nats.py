"""NATS JetStream: the contract, on a real server."""

from __future__ import annotations

import uuid

import pytest

from testproject.servers.nats import Nats
from via_state.backplanes.base import Backplane
from via_state.backplanes.nats import NatsBackplane
from via_state.testing.conformance import BackplaneConformance


def prefix() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


class TestNatsBackplane(BackplaneConformance):
    @pytest.fixture(autouse=True)
    def server(self, nats: Nats) -> None:
        self.options = {"SERVERS": nats.url, "PREFIX": prefix()}

    def make(self) -> Backplane:
        return NatsBackplane(self.options)
