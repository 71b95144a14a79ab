"""Errors that are kept, or given to several callers."""

from __future__ import annotations

import copy
from typing import TypeVar

E = TypeVar("E", bound=BaseException)


def again(error: E) -> E:
    """A new error that says the same. One that is kept, or given to several callers, must not be raised itself: it collects the
    frames of all who get it, and keeps alive what those hold.
    """
    try:
        new = copy.copy(error)
    except Exception:  # a class of somebody else's, which can't be copied
        return error
    new.__cause__ = error.__cause__
    return new
