"""Appends to many logs that are under way together on NATS: what is said of each when an answer is missing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from django.conf import settings

from testproject.servers.proxy import Proxy
from tests.backplanes.conftest import MakeNats
from tests.backplanes.cutting import persist
from via_state.backplanes.nats import api, log_metas
from via_state.backplanes.nats.api import Found
from via_state.backplanes.nats.connection import Connection
from via_state.backplanes.nats.log_meta import LogMeta
from via_state.backplanes.nats.log_metas import LogMetas
from via_state.core.records import Position
from via_state.exceptions import BackplaneUnavailable, OutcomeUnknown
from via_state.testing.conformance.harness import read_all
from via_state.testing.conformance.many_logs import append_each, one_each

KEYS = [f"log.{number}" for number in range(20)]


async def test_what_is_stored_and_can_not_be_placed_is_of_unknown_outcome(
    make_nats: MakeNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To say that nothing was written would have it written again under another id."""
    plane = make_nats()
    await append_each(plane, one_each(*KEYS))
    load = LogMetas.load_many

    async def unreachable(self: LogMetas, connection: Connection, keys: Sequence[str], seq: int) -> None:
        raise BackplaneUnavailable("cut")

    monkeypatch.setattr(LogMetas, "load_many", unreachable)
    train = one_each(*KEYS)
    found = await plane.append_many(train)
    assert found.keys() == {*KEYS}
    assert all(isinstance(answer, OutcomeUnknown) for answer in found.values())
    monkeypatch.setattr(LogMetas, "load_many", load)
    answers = await append_each(plane, train)
    for key in KEYS:
        assert [offset for offset, _ in await read_all(plane, key)][1:] == [answers[key].offset]


async def test_a_silent_network_leaves_each_outcome_unknown_and_each_counts_once(
    make_nats: MakeNats, nats_proxy: Proxy
) -> None:
    server = f"nats://{settings.NATS_TOKEN}@{nats_proxy.host}:{nats_proxy.port}"
    plane = make_nats(SERVERS=server, TIMEOUT=1.0)
    await persist(lambda: append_each(plane, one_each(*KEYS)))
    nats_proxy.freeze()
    train = one_each(*KEYS)
    found = await plane.append_many(train)
    assert found.keys() == {*KEYS}
    assert all(isinstance(answer, OutcomeUnknown) for answer in found.values())
    nats_proxy.thaw()
    answers = await persist(lambda: append_each(plane, train))
    for key in KEYS:
        assert [offset for offset, _ in await read_all(plane, key)][1:] == [answers[key].offset]


async def test_a_server_that_lags_behind_is_not_asked_for_the_epoch(
    make_nats: MakeNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader is, for each."""
    plane = make_nats()
    before = await append_each(plane, one_each(*KEYS))
    get_many = api.get_many

    async def late(*args: object, **which: object) -> object:
        found = await get_many(*args, **which)  # type: ignore[arg-type]
        return found._replace(messages=[], last_seq=1)

    monkeypatch.setattr(log_metas, "get_many", late)
    found = await plane.append_many(one_each(*KEYS))
    assert all(isinstance(answer, Position) for answer in found.values())
    after = {key: answer for key, answer in found.items() if isinstance(answer, Position)}
    assert {key: answer.epoch for key, answer in after.items()} == {
        key: answer.epoch for key, answer in before.items()
    }


async def test_known_logs_cost_one_question_for_all_of_them(
    make_nats: MakeNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server says up to which message it has looked: of one that has the new records nothing else is asked."""
    plane = make_nats()
    before = await append_each(plane, one_each(*KEYS))
    alone: list[str] = []
    load = LogMetas.load

    async def counted(self: LogMetas, connection: Connection, key: str) -> LogMeta | None:
        alone.append(key)
        return await load(self, connection, key)

    monkeypatch.setattr(LogMetas, "load", counted)
    for _ in range(3):
        found = await plane.append_many(one_each(*KEYS))
        assert {one.epoch for one in found.values() if isinstance(one, Position)} == {
            one.epoch for one in before.values()
        }
    assert alone == []


async def test_known_logs_are_proven_by_one_answer_for_all_of_them(
    make_nats: MakeNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server says what is newer than what is known of them, and that is nothing but where a log was compacted or dropped."""
    plane, other = make_nats(), make_nats()
    before = await append_each(plane, one_each(*KEYS))
    answers: list[Found] = []
    get_many = api.get_many

    async def noted(*args: object, **which: object) -> Found:
        answers.append(await get_many(*args, **which))  # type: ignore[arg-type]
        return answers[-1]

    monkeypatch.setattr(log_metas, "get_many", noted)
    for _ in range(3):
        await append_each(plane, one_each(*KEYS))
    assert [len(found.messages) for found in answers] == [1, 1, 1], "the witness"
    answers.clear()
    await other.drop(KEYS[0])
    await other.compact(KEYS[1], before[KEYS[1]].offset)
    after = await append_each(plane, one_each(*KEYS))
    assert [len(found.messages) for found in answers] == [3]
    assert [key for key in KEYS if after[key].epoch != before[key].epoch] == [KEYS[0]]
    assert (await other.head(KEYS[0])).position == after[KEYS[0]]


async def test_of_a_stream_that_was_made_again_nothing_is_taken_for_known(make_nats: MakeNats) -> None:
    """Its metadata may have the numbers of the former one's."""
    plane = make_nats()
    before = await append_each(plane, one_each(*KEYS))
    await plane.erase()
    other = make_nats()  # which makes the streams
    await append_each(other, one_each(*KEYS))
    after = await append_each(plane, one_each(*KEYS))
    for key in KEYS:
        assert after[key].epoch != before[key].epoch
        assert (await other.head(key)).position == after[key]
