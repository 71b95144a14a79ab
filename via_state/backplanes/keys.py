"""What a key may be."""

from __future__ import annotations

from via_state.exceptions import InvalidKey

#: Characters in the longest key.
MAX_KEY = 512


def check_key(key: str) -> None:
    """Raise `InvalidKey` for what no backplane stores under."""
    try:
        # A lone surrogate has no UTF-8: servers could not store it.
        if key.encode() and len(key) <= MAX_KEY and "\0" not in key:
            return
    except UnicodeEncodeError:
        pass
    raise InvalidKey(
        f"{key!r:.80} is not a key: give 1 to {MAX_KEY} characters other than NUL and lone surrogates."
    )
