"""The headers of messages, as NATS writes them.

nats-py looks at each character of each name, which takes longer than all else that is done for a message. Where it finds
fast-mail-parser, which it takes instead, it is no faster, and gives lists, and what e-mail means by ``=?``. It has no way to be given
another one but this.
"""

from __future__ import annotations

import inspect

from nats.aio.client import Client

VERSION = "NATS/1.0"


def headers_of(block: bytes) -> dict[str, str]:
    """By name, the last one of each. A status, which the first line may say, is ``Status``, and what it says of that ``Description``."""
    first, *lines = block.decode(errors="replace").split("\r\n")  # somebody else's may be any bytes
    headers: dict[str, str] = {}
    if said := first.removeprefix(VERSION).strip():
        headers["Status"], _, headers["Description"] = said.partition(" ")
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name] = value.strip()
    return headers


async def _process_headers(block: bytes | None) -> dict[str, str] | None:
    return headers_of(block) if block else None


def read_headers(client: Client) -> None:
    """Have a client read headers so. A nats-py that does it in another way than those that are known keeps its own."""
    if inspect.iscoroutinefunction(getattr(client, "_process_headers", None)):
        client._process_headers = _process_headers  # type: ignore[method-assign, assignment]
