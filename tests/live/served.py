"""The site of `tests.live.stage` for an ASGI server."""

from __future__ import annotations

import re
import threading
from typing import Any

from django.core.asgi import get_asgi_application
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from via_state.live.asgi import live

application = live(get_asgi_application())

from tests.live import stage  # noqa: E402 - a process that was asked for no page yet knows its state as well

_queries = 0
#: Threads whose statements are of no visit: they keep the books of the process.
_BOOKS = re.compile(r"via-state-(?!live|render)")


def _count(execute: Any, *statement: Any) -> Any:
    global _queries
    if not _BOOKS.match(threading.current_thread().name):
        _queries += 1
    return execute(*statement)


@receiver(connection_created)
def _watch(connection: Any, **_: Any) -> None:
    connection.execute_wrappers.append(_count)


def counts(request: HttpRequest) -> HttpResponse:
    """What this process has done so far for its visitors."""
    return JsonResponse({"renders": sum(stage.renders.values()), "queries": _queries})


urlpatterns = [path("counts/", counts), *stage.urlpatterns]
