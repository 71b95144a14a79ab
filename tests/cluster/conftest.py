"""What tests of several processes share."""

from __future__ import annotations

import pytest
from django.conf import settings


@pytest.fixture(params=["postgres", "nats"])
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """Over which backplane the pods speak."""
    found: dict[str, str] = request.getfixturevalue("postgres_environment")
    if request.param == "nats":
        port = request.getfixturevalue("nats").port
        found = {**found, "VIA_NATS_SERVERS": f"nats://{settings.NATS_TOKEN}@127.0.0.1:{port}"}
    return found
