"""Whether a function of the project can be called as it will be."""

from __future__ import annotations

import inspect
from typing import Any


def fault_of(function: Any, *arguments: str, sync: bool = False) -> str | None:
    """Why calling ``function`` with these positional arguments can't work, for people; None where it may.

    A generator is called and never runs. With ``sync`` the same holds for an async function. What is called is judged, not
    what a decorator has wrapped; a function that does not show its parameters is believed.
    """
    for one in (function, getattr(function, "__call__", None)):  # noqa: B004 - objects that are called like functions
        if inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one):
            return "is a generator: calling it runs nothing of it. Remove the yield"
        if sync and inspect.iscoroutinefunction(one):
            return "is async, and is called without an event loop. Write it without async"
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except Exception:  # of a builtin, or annotations that do not resolve
        return None
    try:
        signature.bind(*arguments)
    except TypeError:
        taken = ", ".join(str(one).partition(":")[0] for one in signature.parameters.values())
        return f"takes ({taken}), and is called with ({', '.join(arguments)}). Give it these parameters"
    return None
