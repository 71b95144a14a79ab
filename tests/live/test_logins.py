"""What a process knows of sessions whose pages come back."""

from __future__ import annotations

from via_state.live.serving.logins import Logins


def test_a_session_that_was_over_is_doubted_until_it_is_proven() -> None:
    logins = Logins()
    assert not logins.doubted("a")
    logins.doubt("a")
    assert logins.doubted("a")
    assert not logins.proven("a", 0.0, 60.0)
    logins.prove("a", 100.0)
    assert not logins.doubted("a")


def test_a_proof_has_an_age() -> None:
    logins = Logins()
    logins.prove("a", 100.0)
    assert logins.proven("a", 159.0, 60.0)
    assert not logins.proven("a", 160.0, 60.0)
    assert not logins.proven("b", 100.0, 60.0)


def test_who_has_no_session_is_nobody_and_the_longest_unseen_is_forgotten() -> None:
    logins = Logins(most=2)
    logins.doubt("")
    assert not logins.doubted("")
    for one in "abac":
        logins.doubt(one)
    assert [logins.doubted(one) for one in "abc"] == [True, False, True]
