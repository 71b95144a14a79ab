"""Asking a server on loopback."""

from __future__ import annotations

import http.client

from testproject.servers.ports import HOST


def answers(port: int, path: str) -> bool:
    """Whether it serves this path."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
