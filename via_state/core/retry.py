"""How long to wait before trying again."""

from __future__ import annotations

from collections.abc import Callable


def full_jitter(attempt: int, base: float, cap: float, random: Callable[[], float]) -> float:
    """Seconds to wait after the ``attempt``-th failure (from 1): uniform in [0, min(cap, base * 2**(attempt - 1))).

    Full jitter spreads those who failed together (AWS Architecture Blog, "Exponential Backoff And Jitter").
    ``random`` gives a number in [0, 1).
    """
    ceiling = cap if attempt > 64 else min(cap, base * 2.0 ** (attempt - 1))
    return random() * ceiling
