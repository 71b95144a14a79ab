"""`state_load` writes under a prefix of its own, says what came of it, and leaves nothing."""

from __future__ import annotations

import asyncio
import io
import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import nats as nats_py
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import override_settings

from tests.conftest import POSTGRES_ALIAS
from via_state.operations.load import LoadReport

pytestmark = [
    pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True),
    pytest.mark.usefixtures("postgres"),
]
SHORT = ("--seconds", "0.3", "--writers", "6", "--keys", "2")


@pytest.fixture(params=["postgres", "nats"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    kind = str(request.param)
    options: dict[str, Any] = {"DATABASE": POSTGRES_ALIAS}
    path = "via_state.backplanes.postgres.PostgresBackplane"
    if kind == "nats":
        request.getfixturevalue("nats")
        path = "via_state.backplanes.nats.NatsBackplane"
        options["SERVERS"] = f"nats://{settings.NATS_TOKEN}@127.0.0.1:{settings.NATS_PORT}"
    with override_settings(
        VIA_STATE={"BACKEND": path, "OPTIONS": options, "DATABASE": POSTGRES_ALIAS, "PREFIX": uuid.uuid4().hex}
    ):
        yield kind


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("state_load", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def left(kind: str) -> list[str]:
    """What the load left on the server."""
    if kind == "postgres":
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute(
                "SELECT prefix FROM via_state_log WHERE prefix LIKE 'load-%' "
                "UNION SELECT prefix FROM via_state_cell WHERE prefix LIKE 'load-%' UNION SELECT log_id::text FROM via_state_pack WHERE log_id NOT IN (SELECT id FROM via_state_log)"
            )
            return [str(row[0]) for row in cursor.fetchall()]
    return asyncio.run(_streams())


async def _streams() -> list[str]:
    client = await nats_py.connect(f"nats://{settings.NATS_TOKEN}@127.0.0.1:{settings.NATS_PORT}")
    names = [one.config.name for one in await client.jetstream().streams_info()]
    await client.close()
    return [str(name) for name in names if "load-" in str(name)]


@pytest.mark.parametrize("cells", [False, True])
def test_it_says_what_came_of_it_and_leaves_nothing(backend: str, cells: bool) -> None:
    found = json.loads(run(*SHORT, "--json", *(["--cells"] if cells else [])))
    assert found["errors"] == {}
    assert found["writes"] > 0
    assert 0 < found["seconds_p50"] <= found["seconds_p99"] <= found["seconds_longest"]
    assert (found["store_appends"] > 0) is not cells
    assert left(backend) == []


def test_it_is_read_at_a_glance(backend: str) -> None:
    said = run(*SHORT, "--size", "500")
    assert re.search(r"Backplane: 6 writers on 2 keys, 500 bytes each, 0\.\d s$", said, re.MULTILINE)
    assert re.search(r"events appended: [\d,]+/s, ", said)
    assert re.search(r"a write took: p50 [\d.]+ ms, p95 [\d.]+ ms, p99 [\d.]+ ms, the longest", said)
    assert "\nLimited by " in said


@pytest.mark.parametrize(
    ("report", "limit"),
    [
        (LoadReport(1.0, [0.1] * 10, [0.1] * 2, cpu=0.9), "this process"),
        (LoadReport(1.0, [0.1] * 10, [0.1] * 2, cpu=0.2, writers=16), "the answers of the store"),
        (
            LoadReport(1.0, [0.1] * 10, [0.1] * 2, cpu=0.2, writers=5),
            "the writers: one append of the store carried",
        ),
        (LoadReport(1.0, [0.1] * 10, [], conflicts=11, cpu=0.2), "writers of the same cell"),
        (LoadReport(1.0, [0.1] * 10, [0.1] * 10, cpu=0.2), "the writers"),
        (LoadReport(), "the writers"),
    ],
)
def test_what_limits_is_named(report: LoadReport, limit: str) -> None:
    assert report.limit.startswith(limit)


@pytest.mark.parametrize("argument", ["--writers=0", "--keys=-1", "--size=0", "--seconds=0", "--seconds=nan"])
def test_what_makes_no_sense_is_refused(backend: str, argument: str) -> None:
    with pytest.raises(CommandError, match="Give a number above 0"):
        run(argument)


def test_the_memory_backplane_has_no_server() -> None:
    with pytest.raises(CommandError, match="memory backplane"):
        run()
