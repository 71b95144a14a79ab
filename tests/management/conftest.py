"""What the tests of the operators' pages and commands share."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.admin.office import Office
from tests.handlers.world import shop_of
from via_state.pod.default import use_pod


@pytest.fixture
def office(postgres: object, transactional_db: None) -> Any:
    with shop_of("postgres") as shop, use_pod(shop.pod):
        client = Client()
        client.force_login(User.objects.create_superuser("ann"))
        yield Office(shop, client)
