"""The list of processes, with real ones."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from django.db import connections
from django.test import override_settings

from testproject.servers.waiting import wait_until
from tests.cluster.child import Child
from tests.conftest import POSTGRES_ALIAS
from via_state.bookkeeping.database.peers import known
from via_state.bookkeeping.peers import KnownPeer

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.usefixtures("postgres"),
    pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True),
]


@pytest.fixture
def start() -> Iterator[Callable[[], Child]]:
    prefix = uuid.uuid4().hex
    started: list[Child] = []

    def start() -> Child:
        environment = {
            "DJANGO_SETTINGS_MODULE": "tests.cluster.settings",
            "VIA_DATABASE_PORT": str(settings.POSTGRES_PORT),
            "VIA_DATABASE_NAME": connections[POSTGRES_ALIAS].settings_dict["NAME"],
            "VIA_PREFIX": prefix,
            "VIA_PEER_LEASE": "1.5",
        }
        started.append(Child("tests.cluster.peer_worker", environment=environment))
        return started[-1]

    with override_settings(VIA_STATE={"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix}):
        yield start
    for child in started:
        child.end()


def peers() -> dict[int, KnownPeer]:
    """By process id."""
    return {one.peer.pid: one for one in known()}


def test_a_process_that_is_killed_is_shown_as_gone_after_its_lease(start: Callable[[], Child]) -> None:
    first, second = start(), start()
    pids = {int(first.answer()), int(second.answer())}
    wait_until(lambda: {pid for pid, one in peers().items() if one.alive} == pids, "both processes")
    wait_until(lambda: {one.peer.doorbell for one in peers().values()} == {"clustered"}, "their doorbells")
    (code,) = {repr(one.peer.code) for one in peers().values()}
    assert "Step" in code
    second.tell("fork")
    forked = int(second.answer())
    wait_until(lambda: forked in peers(), "the process that was forked")
    for pid in (first.process.pid, forked):
        os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: not any(peers()[pid].alive for pid in (first.process.pid, forked)), "the end of their leases"
    )
    assert peers()[second.process.pid].alive
    wait_until(lambda: peers()[second.process.pid].peer.doorbell == "solitary", "that nobody else is heard")
    second.tell("end")
    assert second.process.wait(60) == 0
    assert set(peers()) == {first.process.pid, forked}, "who ends well leaves no row"
