"""Processes that write to the outbox and end: nobody else needs to relay what they wrote."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest
from django.test import override_settings

from testproject.servers.nats import Nats
from tests.conftest import POSTGRES_ALIAS
from via_state.models import OutboxLane, OutboxRecord

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)

WRITE = """
import django
from tests.cluster.shared_state import Shared, Step
django.setup()
from django.db import transaction
with transaction.atomic():
    for number in range(3):
        Shared.steps.append_on_commit(Step(number))
"""


@pytest.fixture
def prefix() -> Iterator[str]:
    name = uuid.uuid4().hex
    with override_settings(VIA_STATE={"DATABASE": POSTGRES_ALIAS, "PREFIX": name}):
        yield name


@pytest.mark.parametrize("backplane", ["postgres", "nats"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_process_that_ends_relays_what_it_wrote(
    postgres_environment: dict[str, str], nats: Nats, prefix: str, backplane: str, host: str
) -> None:
    environment = {**os.environ, **postgres_environment, "VIA_PREFIX": prefix, "VIA_DATABASE_HOST": host}
    environment |= {"DJANGO_SETTINGS_MODULE": "tests.cluster.settings"}
    if backplane == "nats":
        environment["VIA_NATS_SERVERS"] = nats.url.replace("127.0.0.1", host)
    done = subprocess.run(
        [sys.executable, "-c", WRITE], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    assert not OutboxRecord.objects.using(POSTGRES_ALIAS).filter(prefix=prefix).exists()
    assert not OutboxLane.objects.using(POSTGRES_ALIAS).filter(prefix=prefix).exclude(lease_owner="").exists()
