"""Tokens and tickets: what comes back counts only as it was issued, for whom, for what and for as long as it was issued.

Tests are named after the requirements of live pages' security: T1 to T6.
"""

from __future__ import annotations

import base64
import json
import pickle
from typing import Any

import pytest
from django.conf import settings
from django.core import signing
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from via_state.live.protocol.frames import TOKEN_MOST
from via_state.live.protocol.node import NodeSpec
from via_state.live.visitors import tokens
from via_state.live.visitors.tokens import NodeToken, Ticket, TokenRefused, open_ticket, open_token, sign_ticket

NOW, AGE = 1_800_000_000, 86_400
ADA = Ticket(
    "7",
    tokens.digest("key of Ada's session"),
    tokens.digest("hash"),
    "sid-of-ada",
    "en",
    "UTC",
    "/room/7/",
    ("staff",),
    NOW,
)
ROOM = NodeToken(
    NodeSpec.of("block", "chat/_room.html", {"room": 7}, "visitor"), ADA.audience, ("room.7", "~unread"), NOW
)
COUNT = NodeToken(NodeSpec.of("text", "chat.Chat.count", {}), ADA.audience, ("count",), NOW)
PUBLIC = NodeToken(NodeSpec.of("text", "chat.Chat.count", {}), "", ("count",), NOW)
SALTS = {"t": "via_state.live.text.1", "b": "via_state.live.block.1", "p": "via_state.live.page.1"}
#: All that is refused is refused with this.
ANSWER = "The token is not valid."


def refused(text: str, audience: str = ADA.audience, now: float = NOW, age: float = AGE) -> bool:
    """Whether it is refused as a token and as a ticket, each with the one answer."""
    said = []
    for attempt in (lambda: open_token(text, audience, now, age), lambda: open_ticket(text, now, age)):
        try:
            attempt()
        except TokenRefused as error:
            said.append((str(error), error.__cause__, error.__suppress_context__ or error.__context__ is None))
    assert all(one == (ANSWER, None, True) for one in said)
    return len(said) == 2


def signed(letter: str, payload: object, salt: str | None = None) -> str:
    """What our key signs, whatever it is."""
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    text = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return letter + signing.Signer(salt=salt or SALTS[letter]).sign(text)


def as_json(token: NodeToken) -> list[Any]:
    spec = token.spec
    return [
        [spec.kind, spec.name, spec.arguments, spec.audience, spec.filter, spec.prefix, spec.suffix],
        token.audience,
        token.keys,
        token.issued,
        token.code,
    ]


def test_what_was_issued_comes_back() -> None:
    assert open_ticket(sign_ticket(ADA), NOW, AGE) == ADA
    assert open_token(ROOM.sign(), ADA.audience, NOW, AGE) == ROOM
    assert open_token(COUNT.sign(), ADA.audience, NOW, AGE) == COUNT
    assert open_token(signed("b", as_json(ROOM)), ADA.audience, NOW, AGE) == ROOM


@given(st.data())
def test_t2_no_bit_can_be_changed(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([ROOM.sign(), COUNT.sign(), sign_ticket(ADA)]))
    at = data.draw(st.integers(0, len(text) - 1))
    other = chr(ord(text[at]) ^ 1 << data.draw(st.integers(0, 6)))

    assert refused(text[:at] + other + text[at + 1 :])


@given(st.data())
def test_t2_no_field_can_be_changed_without_the_key(data: st.DataObject) -> None:
    letter, payload, signature = "b", *ROOM.sign()[1:].rsplit(":", 1)
    fields = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    at = data.draw(st.integers(0, len(fields)))
    changed = [
        *fields[:at],
        data.draw(st.text() | st.integers() | st.just(["x"])),
        *fields[at + data.draw(st.integers(0, 1)) :],
    ]

    text = base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip("=")
    assert refused(f"{letter}{text}:{signature}")


@given(st.text() | st.text("abcptz0-_.:=", max_size=60) | st.sampled_from(["", "t", "p:", "b" + "A" * 5000]))
def test_t2_whatever_else_comes_is_refused_alike(text: str) -> None:
    assert refused(text)


@pytest.mark.parametrize(
    "payload",
    [
        [*as_json(ROOM), "more"], as_json(ROOM)[:3], {"spec": as_json(ROOM)[0]}, None, [], 7, "x",
        [[*as_json(ROOM)[0], "more"], *as_json(ROOM)[1:]], [["script", *as_json(ROOM)[0][1:]], *as_json(ROOM)[1:]],
        [["block", "x", [["a", 1.5]]], "", [], NOW], [["block", "x", [["a", {"b": 1}]]], "", [], NOW], [["block", "x"], "", [], -1],
        [["block", "x", [], "everybody"], "", [], NOW], b"not json", b"\xff",
    ],
)  # fmt: skip
def test_t2_even_what_our_key_signed_must_be_of_exactly_this_form(payload: object) -> None:
    assert refused(signed("b", payload))


def test_t1_a_salt_belongs_to_one_purpose_and_one_version() -> None:
    room, count, page = ROOM.sign(), COUNT.sign(), sign_ticket(ADA)

    for text in (room, count, page):
        for letter in "tbp":
            assert (letter == text[0]) is not refused(letter + text[1:])
    for salt in ("via_state.live.block.2", "via_state.live.block", "django.core.signing", "via_state.live.text.1"):
        assert refused(signed("b", as_json(ROOM), salt))
    assert refused(signed("t", as_json(ROOM)))
    assert refused(signed("b", as_json(COUNT)))


def test_t1_a_pickle_is_never_loaded() -> None:
    assert refused(signed("b", pickle.dumps(as_json(ROOM))))


def test_t1_a_token_of_the_last_key_counts_while_that_is_a_fallback() -> None:
    text, old = ROOM.sign(), settings.SECRET_KEY

    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["older", old]):
        assert open_token(text, ADA.audience, NOW, AGE) == ROOM
        assert ROOM.sign() != text
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["older"]):
        assert refused(text)


IDENTITIES = st.builds(Ticket, *[st.sampled_from(["", "a", "[a"])] * 4)


@given(IDENTITIES, IDENTITIES)
def test_t3_a_token_is_refused_in_any_other_session_login_or_account(one: Ticket, other: Ticket) -> None:
    token = NodeToken(ROOM.spec, one.audience, (), NOW).sign()

    assert refused(token, other.audience) is (one != other)


def test_t3_the_audience_is_the_same_on_all_pages_of_a_login() -> None:
    other_page = Ticket(
        ADA.user, ADA.session, ADA.login, ADA.sid, "de", "Europe/Vienna", "/elsewhere/", (), NOW + 9
    )

    assert other_page.audience == ADA.audience


def test_t3_a_public_token_is_for_everybody() -> None:
    assert open_token(PUBLIC.sign(), Ticket().audience, NOW, AGE) == PUBLIC


def test_t3_neither_the_session_key_nor_the_hash_can_be_read_in_a_ticket() -> None:
    payload = sign_ticket(ADA)[1:].rsplit(":", 1)[0]
    shown = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode()

    assert ADA.path in shown
    assert "key of Ada" not in shown
    assert "hash" not in shown


@given(st.integers(-2 * AGE, 2 * AGE))
def test_t4_a_token_counts_for_its_age_and_never_before_it_was_issued(passed: int) -> None:
    fresh = -tokens.SKEW <= passed <= AGE

    assert refused(ROOM.sign(), now=NOW + passed) is not fresh
    assert refused(sign_ticket(ADA), now=NOW + passed) is not fresh


@pytest.mark.parametrize(
    "value", ["", "a.b", "via", "via.sess.x", "../x", "{room}", "~2E", "\u2028", "😀", 0, -1, 2**60, True]
)
def test_t6_parameters_travel_as_they_were_given(value: str | int | bool) -> None:
    token = NodeToken(NodeSpec.of("text", "chat.Chat.room", {"room": value}), "", (), NOW)

    ((name, back),) = open_token(token.sign(), "", NOW, AGE).spec.arguments
    assert (name, back, type(back)) == ("room", value, type(value))


def test_a_token_is_short_enough_to_be_sent_back() -> None:
    long = NodeToken(
        NodeSpec.of("block", "x" * 100, {"room": "y" * 1000}, "visitor"), ADA.audience, ("k" * 400,), NOW
    )

    assert len(long.sign()) < TOKEN_MOST
    assert open_token(long.sign(), ADA.audience, NOW, AGE) == long
