"""django-tasks-db: Django's tasks, by one worker of its command."""

from __future__ import annotations

import importlib
import itertools
import os
import signal
import time
from importlib.util import find_spec

import django
from django.conf import settings

from benchmarks.peers.others.jobs import DATABASE, serve
from benchmarks.peers.sizes import SECONDS, TASKS

settings.configure(
    INSTALLED_APPS=["django_tasks_db"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": DATABASE["host"],
            "PORT": DATABASE["port"],
            "USER": DATABASE["user"],
            "NAME": DATABASE["dbname"],
            "CONN_MAX_AGE": None,
        }
    },
    TASKS={"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["default"]}},
    USE_TZ=True,
    SECRET_KEY="benchmarks",
)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import transaction  # noqa: E402
from django_tasks_db.models import DBTaskResult  # noqa: E402

tasks = importlib.import_module("django.tasks" if find_spec("django.tasks") else "django_tasks")
done = itertools.count()
ends = 0.0


@tasks.task()
def count(number: int) -> None:
    next(done)
    if time.perf_counter() > ends:
        os.kill(os.getpid(), signal.SIGTERM)  # the worker ends when this task is done


def work() -> float:
    """Tasks a second, of those that were enqueued before the worker began."""
    global done, ends
    DBTaskResult.objects.all().delete()
    with transaction.atomic():
        for number in range(TASKS):
            count.enqueue(number)
    done = itertools.count()
    started = time.perf_counter()
    ends = started + SECONDS
    call_command("db_worker", batch=True, startup_delay=False, verbosity=0)
    return next(done) / (time.perf_counter() - started)


def main() -> None:
    call_command("migrate", verbosity=0)
    serve("django-tasks-db", {"tasks": work})
