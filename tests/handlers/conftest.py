"""A shop over memory, PostgreSQL and NATS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.world import Shop, shop_of


@pytest.fixture(params=["memory", "postgres", "nats"])
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """On each."""
    if request.param != "memory":
        request.getfixturevalue("postgres")
    if request.param == "nats":
        request.getfixturevalue("nats")
    with shop_of(request.param) as made:
        yield made


@pytest.fixture
def durable_shop(postgres: object) -> Iterator[Shop]:
    """On PostgreSQL."""
    with shop_of("postgres") as made:
        yield made


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/handlers" in str(item.path) and (
            "shop" in getattr(item, "fixturenames", ()) or "durable_shop" in getattr(item, "fixturenames", ())
        ):
            item.add_marker(pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True))
