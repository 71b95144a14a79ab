"""TCP ports of this machine's loopback address."""

from __future__ import annotations

import contextlib
import random
import socket

HOST = "127.0.0.1"
# Below those that Linux, macOS and the BSDs give to outgoing connections: nobody takes one of these by accident between
# our choice and the server's start, or while a proxy or a server on it is down.
CHOICE = range(20000, 32000)
_random = random.SystemRandom()  # seeding `random` must not make two processes choose alike


def free_port() -> int:
    """A port that nobody listens on at this moment. Raises OSError when there is none."""
    for port in _random.sample(CHOICE, 200):
        if why_unusable(port) is None:
            return port
    raise OSError(f"no free port from {CHOICE.start} to {CHOICE.stop - 1}")


def why_unusable(port: int) -> OSError | None:
    """What a server meets that wants to listen on the port: None, or the error of its bind."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return error
    return None


def answers(port: int) -> bool:
    """Whether somebody listens on the port."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=0.5):
        return True
    return False
