"""Encodes keys as subject tokens: readable and reversible."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from via_state.backplanes.base import check_key

#: Bytes of the longest token. A subject has to fit, with others, into one line of the protocol.
MAX_TOKEN = 200
#: Characters of a longer key that are left in sight, before the digest.
HINT = 16
PLAIN = frozenset("-_/")
#: Keys and tokens that a process remembers: an append needs them several times, and they are made character by character.
REMEMBERED = 20_000
DIGESTED, BYTE = re.compile("[^~*>]{1,200}~[0-9a-f]{40}"), re.compile(b"[0-9A-F]{2}")


@lru_cache(REMEMBERED)
def token_of(key: str) -> str:
    """``room.7 é`` becomes ``room.7=20é``: a dot parts tokens where it can, what a subject can't hold is encoded as bytes.

    Longer keys become their beginning and a digest; what they were goes along in `FULL_KEY`.
    """
    token = encoded(key)
    if len(token.encode()) <= MAX_TOKEN:
        return token
    digest = hashlib.blake2b(key.encode(), digest_size=20).hexdigest()
    return f"{encoded(key[:HINT])}~{digest}"


def encoded(key: str) -> str:
    """The key as it is encoded; `key_of` reads it."""
    parts = []
    for index, char in enumerate(key):
        # A subject has no empty tokens: a dot parts two of them, or is encoded as a byte.
        parting = char == "." and 0 < index < len(key) - 1 and key[index - 1] != "." != key[index + 1]
        if parting or char in PLAIN or char.isalnum():
            parts.append(char)
        else:
            parts += [f"={byte:02X}" for byte in char.encode()]
    return "".join(parts)


@lru_cache(REMEMBERED)
def key_of(token: str) -> str | None:
    """The key of a token, None where the token only has its digest. Raises ValueError for what `token_of` and `encoded` never give."""
    if "~" in token:
        if not DIGESTED.fullmatch(token):
            raise ValueError("its subject has no such digest")
        return None
    head, *escaped = token.encode().split(b"=")
    if not all(BYTE.match(one) for one in escaped):
        raise ValueError("its subject has no such escapes")
    key = b"".join([head, *(bytes([int(one[:2], 16)]) + one[2:] for one in escaped)]).decode()
    if encoded(key) != token:
        raise ValueError("its subject is not how we write a key")
    check_key(key)
    return key


def is_ours(token: str) -> bool:
    """Whether a token, or a key as it is encoded, is one that we make."""
    try:
        key_of(token)
    except ValueError:  # also of bytes that are not text
        return False
    return True
