"""One connection of our own to the project's database, and the ways in which it ends."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import select
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, TypeAlias

import psycopg
from django.db import connections

from via_state.backplanes.postgres.preparing import is_prepared, prepared_connection
from via_state.core.text import one_line
from via_state.exceptions import BackplaneUnavailable
from via_state.runtime.servers import database, did_not_answer

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
#: Seconds after which a connection that nobody uses is given back: a server has few, and others may have none.
IDLE = 20.0
#: The least that libpq takes as its ``connect_timeout``, in seconds.
_LEAST_TIMEOUT = 2


_ROLE = "SELECT set_config('role', %s, false)"


#: What poolers that know few startup parameters say of the others.
_UNKNOWN_PARAMETER = "startup parameter"


async def open_connection(
    alias: str, seconds: float, settings: Mapping[str, str] = MappingProxyType({})
) -> Connection:
    """A connection in autocommit mode, with the parameters that Django uses for ``alias`` at this moment, and prepared as
    Django's are: in the role that it assumes, and with what receivers of ``connection_created`` do.

    ``seconds``: patience with each address of each of its hosts. ``settings``: of the session, from its start. Never set by a
    statement: behind a transaction-pooling proxy that nobody told us of, a session is everybody's. Raises `BackplaneUnavailable`.
    """
    try:
        try:
            return await _connected(alias, seconds, settings)
        except psycopg.OperationalError as error:
            if not settings or _UNKNOWN_PARAMETER not in str(error):
                raise
            return await _connected(alias, seconds, {})
    except (psycopg.Error, TimeoutError, OSError) as error:
        error.with_traceback(None)  # its frames hold the password, and pages about errors show frames
        raise _unreachable(alias, seconds, error) from error
    except Exception as error:  # of a receiver, which is the project's code
        raise _unreachable(alias, seconds, error) from error


async def _connected(alias: str, seconds: float, settings: Mapping[str, str]) -> Connection:
    parameters = connections[alias].get_connection_params()
    each = max(_LEAST_TIMEOUT, math.ceil(seconds))
    addresses = await _addresses(parameters, seconds)
    added = {name: value for name, value in _DEFAULTS.items() if name not in parameters} | {
        "connect_timeout": each
    }
    if settings and "service" not in parameters:  # whose file may have options of its own
        given = parameters.get("options") or os.environ.get("PGOPTIONS", "")
        # The last one of a name counts.
        added["options"] = " ".join([given, *(f"-c {name}={value}" for name, value in settings.items())]).strip()
    async with asyncio.timeout(seconds if addresses == 1 else addresses * each + 1):
        if is_prepared(alias):
            return await prepared_connection(alias, added)
        for name in _NOT_LIBPQ:
            parameters.pop(name, None)
        connection = await psycopg.AsyncConnection.connect(
            **{**parameters, **added}, autocommit=True, prepare_threshold=None
        )
    if role := connections[alias].settings_dict["OPTIONS"].get("assume_role"):
        try:
            with deadline(connection, seconds):
                await connection.execute(_ROLE, (role,))
        except BaseException:
            await connection.close()
            raise
    return connection


async def _addresses(parameters: dict[str, Any], seconds: float) -> int:
    """How many there are to be tried, one after the other: a host's name may stand for several."""
    hosts = str(parameters.get("hostaddr") or parameters.get("host") or "").split(",")
    found = 0
    for host in hosts:
        names: Sequence[Any] = ()
        if host and not host.startswith(("/", "@")):
            with contextlib.suppress(OSError, UnicodeError, TimeoutError):  # whoever connects says so
                async with asyncio.timeout(seconds):
                    names = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        found += max(1, len(names))
    return found


def _unreachable(alias: str, seconds: float, cause: Exception) -> BackplaneUnavailable:
    reason = one_line(str(cause).strip()) or f"no answer within {seconds:g} s"
    error = BackplaneUnavailable(f"PostgreSQL (database {alias!r}) can't be reached: {reason}")
    return did_not_answer(error, database(alias))


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


_giving_back: set[asyncio.Task[None]] = set()


def give_back(connection: Connection) -> None:
    """Close one that nobody uses, soon."""
    task = asyncio.get_running_loop().create_task(connection.close())
    _giving_back.add(task)
    task.add_done_callback(_giving_back.discard)


def hang_up(connection: Connection) -> None:
    """End a connection that is in use: whoever waits for it gets an error now."""
    if not connection.closed:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)


def ended(connection: Connection) -> bool:
    """Whether the other end of an idle connection is gone, as far as this machine knows.

    An idle connection has nothing to read but its end; one with news of another kind is not a loss either.
    """
    if connection.closed:
        return True
    if not hasattr(select, "poll"):  # on Windows
        return bool(select.select([connection.fileno()], [], [], 0)[0])
    poll = select.poll()  # select() fails in a process that has more than a thousand files open
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
