"""Texts that somebody else wrote, and values that no message shows."""

from __future__ import annotations

import enum
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from via_state.core.cells import CellCodec
from via_state.core.event_types import EventType
from via_state.core.events import EventCodec
from via_state.core.text import error_line, error_trace, lines, one_line, reason, shown
from via_state.core.values import ValueCodec
from via_state.core.verifier import Verifier
from via_state.exceptions import CellUnreadable, EventRefused, ValueRefused

CARD = "4111111111111111"
anything = st.text(st.characters())  # with surrogates, unlike what st.text() makes


@pytest.mark.parametrize(
    ("foreign", "line"),
    [
        ("plain, ünïcode and 日本語", "plain, ünïcode and 日本語"),
        ("a\nERROR forged", "a\\nERROR forged"),
        ("a\r\n\x0b\x0c\x85\u2028\u2029b", "a\\r\\n\\x0b\\x0c\\x85\\u2028\\u2029b"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("user\u202etxt.exe", "user\\u202etxt.exe"),
        ("\u2066left\u2069 \ufeff \u200b", "\\u2066left\\u2069 \\ufeff \\u200b"),
        ("half \ud800 and \x00", "half \\ud800 and \\x00"),
        ("family 👨\u200d👩\u200d👧 and a\u200cb", "family 👨\u200d👩\u200d👧 and a\u200cb"),
    ],
)
def test_a_foreign_text_is_one_line_that_moves_nothing(foreign: str, line: str) -> None:
    assert one_line(foreign) == line


@given(anything, st.integers(1, 50))
def test_a_line_is_storable_and_bounded(foreign: str, most: int) -> None:
    line = one_line(foreign, most)
    assert len(line) <= most
    assert line.replace("\u200c", "").replace("\u200d", "").isprintable()
    line.encode()
    assert one_line(line, most) == line


@given(anything, st.integers(1, 50))
def test_several_lines_stay_so_and_lose_the_rest(foreign: str, most: int) -> None:
    kept = lines(foreign, most)
    assert len(kept) <= most
    assert all(one_line(part, most) == part for part in kept.replace("\t", "\n").split("\n"))


def test_a_traceback_keeps_its_lines_and_loses_escape_sequences() -> None:
    try:
        raise ValueError("first\x1b[2J\nsecond\x00")
    except ValueError as error:
        found, line = error_trace(error), error_line(error)
    assert found.startswith("Traceback (most recent call last):\n  File ")
    assert found.endswith("ValueError: first\\x1b[2J\nsecond\\x00\n")
    assert line == "ValueError: first\\x1b[2J\\nsecond\\x00"


def test_an_error_whose_own_text_raises_has_a_line() -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert "Rude" in error_line(Rude())


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Paid:
    card: str
    note: Any = None
    colour: Colour = Colour.RED

    def fold(self, old: int) -> int:
        return old

    def __post_init__(self) -> None:
        if self.note == "picky":
            raise ValueError(f"{self.card} is no card")


@dataclass
class Stamped:
    card: str
    parts: list[str] = field(default_factory=list)

    def fold(self, old: int) -> int:
        return old

    def __post_init__(self) -> None:
        self.parts = [*self.parts, CARD]


def _picky() -> Paid:
    paid = Paid(CARD)
    paid.note = "picky"
    return paid


def _event(event: Any) -> None:
    EventCodec([EventType.of(type(event))]).encode([event])


def _cell(value_type: Any, value: Any) -> None:
    CellCodec[Any](value_type).encode(value, write_id="w", writes=(), pause=0)


def _unreadable() -> None:
    codec = CellCodec[Any](dict)
    data = codec.encode({"card": CARD, "note": "picky"}, write_id="w", writes=(), pause=0)
    CellCodec[Any](Paid).decode(data)


REFUSALS: list[tuple[Callable[[], object], str]] = [
    (lambda: _event(Paid(int(CARD))), r"Expected `str`, got `int` - at `\$\.card`"),  # type: ignore[arg-type]
    (lambda: _event(Paid("", {CARD: {CARD}})), r"note\[a value of type str of 16 characters\] is a value of type set"),
    (lambda: _event(Paid("", colour=CARD)), r"ValidationError was raised at \$\.colour"),  # type: ignore[arg-type]
    (lambda: _event(_picky()), r"ValueError was raised \(LOG_VALUES shows its text\)"),
    (lambda: _event(Stamped(CARD)), r"parts is a value of type list"),
    (lambda: _cell(int, CARD), "a value of type str of 16 characters is not stored as int: Expected `int`"),
    (lambda: _cell(dict, {int(CARD): CARD}), "it is a value of type dict"),
    (lambda: _cell(Paid, _picky()), "ValueError was raised"),
    (_unreadable, "ValueError was raised"),
    (lambda: ValueCodec[Any](list[int]).encode([CARD]), r"Expected `int`, got `str` - at `\$\[0\]`"),
    (lambda: ValueCodec[Any](Any).encode({"a": (CARD,)}), r"is a tuple and would come back as a list"),
]  # fmt: skip


@pytest.mark.parametrize(("refused", "says"), REFUSALS)
def test_an_error_names_fields_and_types_and_no_value(refused: Callable[[], object], says: str) -> None:
    with pytest.raises((EventRefused, ValueRefused, CellUnreadable), match=says) as caught:
        refused()
    # What a log holds: the texts of all causes as well, and no lines of code (those of this test quote the number).
    told = [line for line in traceback.format_exception(caught.value) if not line.startswith("  ")]
    assert CARD not in "".join(told)


def test_a_value_that_can_not_even_be_shown_is_refused_by_its_own_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where values are shown, as with DEBUG: the message is about the value, not about its ``repr()``."""

    class Mute:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    monkeypatch.setattr("via_state.core.text.show_values", lambda: True)
    codec: CellCodec[Any] = CellCodec(dict, 1)
    for value, says in ((deep, "nested too deeply|nested more than"), ({"a": Mute()}, "Mute")):
        with pytest.raises(ValueRefused, match=says):
            codec.encode(value, write_id="", writes=(), pause=0.0)


def test_values_are_shown_where_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("via_state.core.text.show_values", lambda: True)
    for refused, _ in REFUSALS[1:4]:
        with pytest.raises(EventRefused, match=CARD):
            refused()


def test_the_verifier_names_no_value_either() -> None:
    class Impure:
        def fold(self, old: list[str]) -> list[str]:
            old.append(CARD)
            return old

    verifier = Verifier[list[str]]()
    verifier.fold(Impure(), [])
    assert verifier.found is not None
    assert "changed the value" in verifier.found
    assert CARD not in verifier.found


def test_of_a_long_text_the_beginning_is_shown_and_halves_of_pairs_are_named_without_the_text() -> None:
    assert shown("first\nsecond\x1b[2J and more", 20) == "first\nsecond\\x1b[2J and"
    with pytest.raises(UnicodeEncodeError) as raised:
        "secret \ud800".encode()
    assert reason(raised.value) == "surrogates not allowed"
