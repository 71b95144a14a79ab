"""A shop over PostgreSQL, whose project's admin is looked at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.admin.office import Office
from tests.handlers.world import shop_of
from via_state.pod.default import use_pod


@pytest.fixture
def office(postgres: object, transactional_db: None) -> Iterator[Office]:
    """The shop is the process's own, and a superuser is signed in. Rows of the outbox, and of erasures, stay while one looks at them."""
    with shop_of("postgres", OUTBOX_INTERVAL=3600) as shop, use_pod(shop.pod):
        client = Client()
        client.force_login(User.objects.create_superuser("ann"))
        yield Office(shop, client)
