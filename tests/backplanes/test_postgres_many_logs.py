"""Appends to many logs in one statement: who waits for whom, and what one of them does to the others."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from testproject.servers.proxy import Proxy
from tests.backplanes.conftest import Make
from tests.backplanes.cutting import append_many_while_cut
from via_state.backplanes.postgres import PostgresBackplane
from via_state.core.records import Append, Position
from via_state.exceptions import OutcomeUnknown
from via_state.testing.conformance.harness import append, new_id, read_all
from via_state.testing.conformance.many_logs import append_each, one_each

LOCK = "SELECT 1 FROM via_state_log WHERE prefix = %s AND key = %s FOR UPDATE"


async def test_a_log_that_is_locked_is_left_out_and_the_others_do_not_wait(plane: PostgresBackplane) -> None:
    keys = [f"log.{number}" for number in range(20)]
    await append_each(plane, one_each(*keys))
    async with plane._connections.use(write=True) as connection, connection.transaction():
        await connection.execute(LOCK, (plane.options["PREFIX"], keys[5]))
        found = await asyncio.wait_for(plane.append_many(one_each(*keys)), 8)
        assert found.keys() == {*keys} - {keys[5]}
    assert {answer.offset for answer in found.values() if isinstance(answer, Position)} == {2}
    assert len(await plane.append_many(one_each(*keys))) == 20


async def test_a_log_that_the_server_refuses_leaves_the_others_to_themselves(plane: PostgresBackplane) -> None:
    """A trigger of the operator's refuses one key: nothing of the statement is done, and nobody is told a lie."""
    keys = [f"log.{number}" for number in range(5)]
    await append_each(plane, one_each(*keys))
    prefix = plane.options["PREFIX"]
    refuse = (
        f"CREATE FUNCTION refuse_{prefix}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF NEW.key = 'log.2' AND NEW.prefix = '{prefix}' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$; "
        f"CREATE TRIGGER refuse_{prefix} BEFORE UPDATE ON via_state_log FOR EACH ROW EXECUTE FUNCTION refuse_{prefix}()"
    )
    async with plane._connections.use(write=True) as connection:
        await connection.execute(refuse)
    try:
        found = await plane.append_many(one_each(*keys, "new"))
        assert not any(isinstance(answer, Position) for answer in found.values())
        assert [(await plane.head(key)).position.offset for key in keys] == [1] * 5
    finally:
        async with plane._connections.use(write=True) as connection:
            await connection.execute(f"DROP FUNCTION refuse_{prefix} CASCADE")


async def test_a_train_that_is_cut_lands_once(make: Make, through_proxy: Proxy) -> None:
    await append_many_while_cut(make(TIMEOUT=2.0), through_proxy)


async def test_a_connection_that_ends_between_two_statements_says_what_is_known(
    plane: PostgresBackplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The known logs have theirs; whether the new ones were made is not known."""
    from via_state.backplanes.postgres import appends

    await append(plane, "known", b"x")
    rows = appends._rows

    async def cut(connection: psycopg.AsyncConnection, statement: str, values: dict[str, object]) -> object:
        found = await rows(connection, statement, values)
        if statement == appends.CREATE_MANY:
            raise psycopg.OperationalError("the connection is gone")
        return found

    monkeypatch.setattr(appends, "_rows", cut)
    train = [*one_each("known", "new"), Append("also new", new_id(), 2, b"xx")]
    found = await plane.append_many(train)
    assert isinstance(found["known"], Position)
    assert isinstance(found["new"], OutcomeUnknown)
    assert isinstance(found["also new"], OutcomeUnknown)
    monkeypatch.undo()
    again = await append_each(plane, train)
    assert again["known"] == found["known"]
    assert [again[key].offset for key in ("new", "also new")] == [1, 2]
    assert len(await read_all(plane, "new")) == 1
