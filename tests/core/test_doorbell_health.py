"""What a process can say about its doorbell."""

from __future__ import annotations

import pytest

from via_state.core.doorbell_health import doorbell_health


@pytest.mark.parametrize(
    ("asked", "own", "other", "health"),
    [
        (None, None, None, "unknown"),  # it carries no messages, or has said nothing
        (95.0, None, None, "unknown"),
        (80.0, None, None, "isolated"),
        (80.0, 85.0, 85.0, "isolated"),  # since then it heard nothing
        (80.0, 95.0, None, "solitary"),
        (80.0, 95.0, 85.0, "solitary"),
        (80.0, 95.0, 95.0, "clustered"),
        (80.0, None, 95.0, "clustered"),
    ],
)
def test_a_doorbell_is_judged_by_what_is_heard(
    asked: float | None, own: float | None, other: float | None, health: str
) -> None:
    assert doorbell_health(100.0, asked, own, other, patience=10.0) == health
