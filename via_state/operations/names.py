"""Names that a person typed."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from via_state.operations.refusal import Refused


def check_names(names: Collection[str], known: Iterable[str], what: str) -> None:
    """Raise `Refused` for a name that is not known."""
    all_known = sorted(set(known))
    for name in names:
        if name not in all_known:
            raise Refused(f"There is no {what} {name!r}.{near(name, all_known)}")


def near(name: str, known: list[str]) -> str:
    """What was meant, perhaps."""
    if not known:
        return " There are none."
    close = difflib.get_close_matches(name, known, n=3)
    return f" Did you mean {' or '.join(close)}?" if close else f" There are: {', '.join(known[:10])}."
