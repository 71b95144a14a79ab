"""Backups of streams, as ``nats stream backup`` and ``nats stream restore`` make them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client


@dataclass
class Backup:
    """A stream, with the messages that it had."""

    name: str
    description: dict[str, Any]
    chunks: list[bytes]


async def back_up(client: Client, stream: str) -> Backup:
    """Copy a stream while it is used."""
    inbox = client.new_inbox()
    arriving = await client.subscribe(inbox)
    try:
        description = await _ask(
            client, f"STREAM.SNAPSHOT.{stream}", {"deliver_subject": inbox, "no_consumers": True}
        )
        chunks: list[bytes] = []
        while (message := await arriving.next_msg(10)).data:
            chunks.append(message.data)
            if message.reply:
                await client.publish(message.reply)
        return Backup(stream, description, chunks)
    finally:
        await arriving.unsubscribe()


async def delete(client: Client, stream: str) -> None:
    """Remove a stream with all its messages."""
    await _ask(client, f"STREAM.DELETE.{stream}")


async def restore(client: Client, backup: Backup) -> None:
    """Put a stream back, which must not be there."""
    what = {"config": backup.description["config"], "state": backup.description["state"]}
    subject = (await _ask(client, f"STREAM.RESTORE.{backup.name}", what))["deliver_subject"]
    for chunk in backup.chunks:
        await client.request(subject, chunk, timeout=10)
    _checked(json.loads((await client.request(subject, b"", timeout=10)).data))


async def _ask(client: Client, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    reply = await client.request(f"$JS.API.{verb}", json.dumps(body).encode() if body else b"", timeout=10)
    return _checked(json.loads(reply.data))


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise RuntimeError(f"NATS refused: {answer['error']}")
    return answer
