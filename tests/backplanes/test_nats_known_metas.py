"""What a process remembers of the metadata of logs on NATS is what a server would say, whatever became of the stream meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from via_state.backplanes.nats.api import Message
from via_state.backplanes.nats.known_metas import KnownMetas, Question
from via_state.backplanes.nats.log_meta import LogMeta, StoredMeta, log_meta_of
from via_state.core.records import Position

KEYS = ["a", "b", "c", "d"]
START = datetime(2026, 1, 1, tzinfo=UTC)


class Stream:
    """A stream, one of whose servers may lag behind, which may be restored or made again."""

    def __init__(self) -> None:
        self.history: list[Message] = []
        self._stored = 0

    def write(self, key: str, epoch: str = "") -> LogMeta:
        self._stored += 1  # no two messages have one time
        data = msgspec.json.encode(StoredMeta(epoch or f"epoch {self._stored}", 0))
        seq = len(self.history) + 1
        self.history.append(Message(key, seq, START + timedelta(seconds=self._stored), {}, data))
        return log_meta_of(self.history[-1])

    def restore(self, length: int) -> None:
        del self.history[length:]

    def last(self, lag: int) -> dict[str, Message]:
        """The last message of each key, as a server has it that lacks the last ``lag`` of all."""
        return {message.subject: message for message in self.history[: max(len(self.history) - lag, 0)]}

    def answer(self, question: Question, lag: int) -> dict[str, Message]:
        last = self.last(lag)
        return {key: last[key] for key in question.keys if key in last and last[key].seq >= question.since}


keys = st.lists(st.sampled_from(KEYS), min_size=1, unique=True)
steps = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(KEYS)),
    st.tuples(st.just("make"), st.sampled_from(KEYS)),
    st.tuples(st.just("restore"), st.integers(0, 12)),
    st.tuples(st.just("ask"), keys, st.integers(0, 2)),
    st.tuples(st.just("ask"), keys, st.just(0)),
    st.tuples(st.just("begin"), keys, st.integers(0, 1)),
    st.tuples(st.just("end")),
)


@given(st.lists(steps, max_size=40))
def test_what_is_said_of_a_log_is_what_the_server_has(script: list[tuple[object, ...]]) -> None:
    """Also when several questions are under way, and answered by servers that lag behind."""
    known, stream = KnownMetas(), Stream()
    under_way: list[tuple[Question, dict[str, Message], dict[str, Message]]] = []

    def learn(question: Question, answer: dict[str, Message], last: dict[str, Message]) -> bool:
        found = known.learn(question, answer)
        if found is None:
            assert question.since, "all of it is always an answer"
            return False
        assert found == {key: log_meta_of(last[key]) for key in question.known if key in last}
        return True

    for what, *rest in script:
        match what, rest:
            case "write", [str(key)]:
                stream.write(key)
            case "make", [str(key)] if key not in stream.last(0):
                known.made(key, stream.write(key))
            case "restore", [int(length)]:
                stream.restore(length)
            case "ask", [list(some), int(lag)]:
                question = known.question(some)
                if not learn(question, stream.answer(question, lag), stream.last(lag)):
                    question = known.question(some, all_of_it=True)
                    assert learn(question, stream.answer(question, lag), stream.last(lag))
            case "begin", [list(some), int(lag)]:
                question = known.question(some)
                under_way.append((question, stream.answer(question, lag), stream.last(lag)))
            case "end", [] if under_way:
                learn(*under_way.pop())


def test_of_logs_that_did_not_change_only_the_witness_is_answered() -> None:
    known, stream = KnownMetas(), Stream()
    for key in KEYS:
        stream.write(key)
    question = known.question(KEYS)
    assert len(stream.answer(question, 0)) == len(KEYS)
    known.learn(question, stream.answer(question, 0))
    again = known.question(["a", "b"])
    assert list(stream.answer(again, 0)) == ["d"], "the newest"
    stream.write("b")
    assert sorted(stream.answer(again, 0)) == ["b", "d"]
    assert known.learn(again, stream.answer(again, 0)) == {
        key: log_meta_of(stream.last(0)[key]) for key in ("a", "b")
    }


def test_a_stream_that_was_made_again_is_not_taken_for_the_former_one() -> None:
    """Its metadata may have the numbers of the former one's."""
    known, stream = KnownMetas(), Stream()
    former = stream.write("a", "epoch")
    question = known.question(["a"])
    assert known.learn(question, stream.answer(question, 0)) == {"a": former}
    stream.restore(0)
    assert stream.write("a", "epoch") == former, "but for its time"
    question = known.question(["a"])
    assert known.learn(question, stream.answer(question, 0)) is None


def made_again(known: KnownMetas, stream: Stream) -> None:
    """Another history, with all that was known of the former one before the first message that is known of it."""
    stream.restore(0)
    for key in ("a", "c", "d", "b"):
        stream.write(key)
    known_of(known, stream, "b")


def known_of(known: KnownMetas, stream: Stream, key: str) -> LogMeta | None:
    question = known.question([key])
    found = known.learn(question, stream.answer(question, 0))
    return None if found is None else found.get(key)


@pytest.mark.parametrize("late", [False, True])
def test_nothing_of_a_former_history_is_kept_with_the_next_one(late: bool) -> None:
    """``late``: not even what is told of it only now."""
    known, stream = KnownMetas(), Stream()
    for key in ("a", "c", "d"):
        stream.write(key)
    question = known.question(["a", "c", "d"])
    known.learn(question, stream.answer(question, 0))
    again = known.question(["a"])
    former = stream.answer(again, 0)
    made_again(known, stream)
    if late:
        known.learn(again, former)
    assert known_of(known, stream, "a") == log_meta_of(stream.last(0)["a"])


def test_what_can_not_be_read_is_left_out_and_not_remembered() -> None:
    known = KnownMetas()
    foreign = Message("a", 1, START, {}, b"theirs")
    question = known.question(["a"])
    assert known.learn(question, {"a": foreign}) == {}
    assert known.question(["a"]).since == 0


def test_a_process_remembers_so_many_logs_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("via_state.backplanes.nats.known_metas.REMEMBERED", 2)
    known = KnownMetas()
    for seq, key in enumerate("abc", start=1):
        known.made(key, LogMeta("e", 0, Position("e", 0, ""), seq))
    assert {key: one is not None for key, one in known.question(["a", "b", "c"]).known.items()} == {
        "a": False,
        "b": True,
        "c": True,
    }
