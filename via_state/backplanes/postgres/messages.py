"""Messages by NOTIFY: taken apart, because PostgreSQL takes 7,999 bytes at once, and put together again."""

from __future__ import annotations

import base64
import secrets

from via_state.backplanes.postgres.code import WIDTH

#: Characters of a message's id, and of each number.
ID, NUMBER = 12, 2
HEAD = WIDTH + ID + 2 * NUMBER
#: Characters of data in one part: a multiple of four, so that base64 can be cut there.
CHUNK = (7999 - HEAD) // 4 * 4
#: Bytes of the largest message: less than the 255 parts that can be numbered. What is large is slow: see docs/figures.md.
MAX_MESSAGE = 1024 * 1024


def parts(topic: str, data: bytes) -> list[str]:
    """The payloads of a message, for one transaction. ``topic``: its name, of `WIDTH` characters."""
    text = base64.b64encode(data).decode()
    chunks = [text[at : at + CHUNK] for at in range(0, len(text), CHUNK)] or [""]
    message = secrets.token_hex(ID // 2)
    return [f"{topic}{message}{index:02x}{len(chunks):02x}{chunk}" for index, chunk in enumerate(chunks)]


class Assembler:
    """Puts the parts of one channel together. Those of a message come one after the other, or not all of them."""

    def __init__(self) -> None:
        self._begun: tuple[str, str] | None = (
            None  # the message's head without the number of the part, and its count
        )
        self._chunks: list[str] = []

    def take(self, payload: str) -> tuple[str, bytes] | None:
        """The topic's name and the data, when a message is whole. What is not ours is ignored."""
        message = payload[: WIDTH + ID]
        count = payload[HEAD - NUMBER : HEAD]
        try:
            index, total = int(payload[WIDTH + ID : HEAD - NUMBER], 16), int(count, 16)
        except ValueError:
            return None
        if index >= total:
            return None
        if index == 0:
            self._begun, self._chunks = (message, count), []
        elif self._begun != (message, count) or index != len(self._chunks):
            return None
        self._chunks.append(payload[HEAD:])
        if len(self._chunks) < total:
            return None
        text, self._begun, self._chunks = "".join(self._chunks), None, []
        try:
            return payload[:WIDTH], base64.b64decode(text, validate=True)
        except ValueError:
            return None
