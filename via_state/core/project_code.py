"""What code of the project raises, which runs inside ours: it fails what it was called for, and ends nothing else."""

from __future__ import annotations

from collections.abc import Callable

from via_state.core.text import error_line

#: Whether a Ctrl-C reaches the calling thread. Whoever starts threads says.
takes_signals: Callable[[], bool] = lambda: True  # noqa: E731 - a hook, not a function


def is_failure(error: BaseException) -> bool:
    """Whether what was caught around the project's code is a failure of that code: whatever it is, but for a real Ctrl-C.

    `SystemExit`, `asyncio.CancelledError`, `GeneratorExit` would end the thread or the task of ours that called it.
    """
    return not isinstance(error, KeyboardInterrupt) or not takes_signals()


def contained(error: BaseException, who: str = "Code of the project") -> Exception:
    """The error itself; in place of one that would end the thread or the task that gets it, another one that says so."""
    if isinstance(error, Exception):
        return error
    failure = RuntimeError(f"{who} raised {error_line(error)}")
    failure.__cause__ = error
    return failure
