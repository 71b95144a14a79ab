"""What people are told: levels, lengths of time, sizes, and what an SQL error means for trying again."""

from __future__ import annotations

import pytest

from via_state.core import findings, sqlstates
from via_state.core.findings import Finding, Level
from via_state.core.project_code import contained, is_failure


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (7, "7 s"), (119, "119 s"), (720, "12 min"), (10_800, "3 h"), (777_600, "9 days")],
)
def test_a_length_of_time_is_read_at_a_glance(seconds: float, text: str) -> None:
    assert findings.lasted(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(12, "12 bytes"), (12_000, "12.0 kB"), (3.4e6, "3.4 MB"), (3.4e9, "3.4 GB")]
)
def test_a_size_is_read_at_a_glance(size: float, text: str) -> None:
    assert findings.amount(size) == text


def test_where_nothing_is_found_that_is_said() -> None:
    bad = findings.bad("D120", "It is away.", "Start it.")
    assert findings.some("D120", [bad], "All is well.") == [bad]
    assert findings.some("D120", [], "All is well.") == [Finding("D120", Level.OK, "All is well.")]
    assert findings.unknown("D120", "It could not be asked.").level is Level.UNKNOWN


@pytest.mark.parametrize(
    ("sqlstate", "meaning"),
    [
        ("08006", "unknown"),
        ("40003", "unknown"),
        ("42P01", "lasting"),
        ("28P01", "lasting"),
        ("42P05", ""),
        ("40001", "contended"),
        ("40P01", "contended"),
        ("25006", "elsewhere"),
        ("23505", ""),
    ],
)
def test_the_code_of_an_sql_error_says_whether_trying_again_helps(sqlstate: str, meaning: str) -> None:
    for name in ("unknown", "lasting", "contended", "elsewhere"):
        assert getattr(sqlstates, name)(sqlstate) is (name == meaning), name


def test_what_would_end_the_thread_becomes_an_error_of_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = ValueError("x")
    assert contained(fault) is fault
    ended = SystemExit("over")
    found = contained(ended, "A fold")
    assert str(found) == "A fold raised SystemExit: over"
    assert found.__cause__ is ended
    assert is_failure(ended)
    assert not is_failure(KeyboardInterrupt())
    monkeypatch.setattr("via_state.core.project_code.takes_signals", lambda: False)
    assert is_failure(KeyboardInterrupt()), "in a thread that no Ctrl-C reaches, somebody raised it"
