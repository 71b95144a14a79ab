"""Libraries that put greenlets in the place of Python's threads: our loop would run inside of whoever called it."""

from __future__ import annotations

import sys

from via_state.exceptions import GreenThreads


def refuse_green_threads() -> None:
    """Raise `GreenThreads` where gevent or eventlet has replaced threads, or what an event loop waits with."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    by = None
    if gevent is not None and any(map(gevent.is_module_patched, ("_thread", "threading", "select"))):
        by = "gevent"
    elif eventlet is not None and any(map(eventlet.is_monkey_patched, ("thread", "select"))):
        by = "eventlet"
    if by is not None:
        raise GreenThreads(
            f"{by} has replaced the threads of this process, and via_state needs one of its own. Nothing was read or written. "
            "Serve the project with real threads or with asyncio: gunicorn --worker-class gthread, uvicorn, daphne."
        )
