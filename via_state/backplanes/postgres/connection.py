"""One connection of our own to the project's database, and the ways in which it ends."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import psycopg
from django.db import connections

from via_state.exceptions import BackplaneUnavailable

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]

#: What Django adds to its parameters and libpq does not know.
_NOT_LIBPQ = ("cursor_factory", "context", "prepare_threshold")
#: A peer that vanished is noticed within seconds, not hours. Django's OPTIONS go before these.
_DEFAULTS = {
    "application_name": "via_state",
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15000,
}
#: The least that libpq takes as its ``connect_timeout``, in seconds.
_LEAST_TIMEOUT = 2


async def open_connection(alias: str, seconds: float) -> Connection:
    """A connection in autocommit mode, with the parameters that Django uses for ``alias`` at this moment.

    ``seconds``: patience with each of its hosts. Raises `BackplaneUnavailable`.
    """
    parameters = {**_DEFAULTS, **connections[alias].get_connection_params()}
    for name in _NOT_LIBPQ:
        parameters.pop(name, None)
    each = max(_LEAST_TIMEOUT, math.ceil(seconds))
    hosts = str(parameters.get("host", "")).count(",") + 1
    try:
        async with asyncio.timeout(seconds if hosts == 1 else hosts * each + 1):
            return await psycopg.AsyncConnection.connect(
                **{**parameters, "connect_timeout": each}, autocommit=True, prepare_threshold=None
            )
    except (psycopg.Error, TimeoutError, OSError) as error:
        reason = str(error).strip() or f"no answer within {seconds:g} s"
        raise BackplaneUnavailable(f"PostgreSQL (database {alias!r}) can't be reached: {reason}") from error


@contextmanager
def deadline(connection: Connection, seconds: float) -> Iterator[None]:
    """Hang up when what is asked inside takes longer.

    Not asyncio.timeout: psycopg answers a cancellation by asking the server to cancel, which takes seconds more when the
    network is what went quiet.
    """
    timer = asyncio.get_running_loop().call_later(seconds, hang_up, connection)
    try:
        yield
    finally:
        timer.cancel()


def hang_up(connection: Connection) -> None:
    """End a connection that is in use: whoever waits for it gets an error now."""
    if not connection.closed:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)


def ended(connection: Connection) -> bool:
    """Whether the other end of an idle connection is gone, as far as this machine knows.

    An idle connection has nothing to read but its end; one with news of another kind is no loss either.
    """
    if connection.closed:
        return True
    poll = select.poll()  # select() fails in a process that has more than a thousand files open
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
