"""The project's database, whichever vendor's."""

from __future__ import annotations

import time
from collections.abc import Iterator

from django.apps import apps
from django.db import Error as DatabaseFailure
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.utils.module_loading import import_string

from via_state.conf import settings
from via_state.core.findings import Finding, bad, several, unknown, well
from via_state.runtime.database_errors import sentence

#: Seconds by which clocks may differ.
SKEW = 1.0


def database() -> list[Finding]:
    """Whether it answers, whether its clock is ours (on PostgreSQL), and whether ``migrate`` was run."""
    alias = settings.DATABASE
    try:
        began = time.monotonic()
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
        took = time.monotonic() - began
        found = [well("D100", f"The database {alias!r} answered after {took * 1000:.1f} ms.")]
        if connections[alias].vendor == "postgresql":
            found.append(_clock(alias))
    except DatabaseFailure as error:
        return [bad("D100", sentence(error, alias), "Start it, or mend DATABASES.")]
    for label, one in _tables():
        found += _migrated(label, one)
    return found


def _clock(alias: str) -> Finding:
    with connections[alias].cursor() as cursor:
        began = time.time()
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float")
        ((theirs,),) = cursor.fetchall()
        ended = time.time()
    wrong = max(began - theirs, theirs - ended, 0.0)
    if wrong <= SKEW:
        return well("D102", "The database's clock is right, as far as this machine's is.")
    return bad(
        "D102",
        f"The clock of this machine is {wrong:.1f} s {'slow' if theirs > ended else 'fast'} beside that of the database {alias!r}: the "
        "times of events, and the ages that metrics and alerts show, are wrong by that.",
        "Run NTP on both.",
    )


def _tables() -> Iterator[tuple[str, str]]:
    """The apps that have tables, each with the alias of the database."""
    yield "via_state", settings.DATABASE
    app = apps.get_containing_app_config(import_string(settings.BACKEND).__module__)
    if app is not None and app.label != "via_state":
        yield app.label, str(settings.backplane_options()["DATABASE"])


def _migrated(label: str, alias: str) -> list[Finding]:
    try:
        executor = MigrationExecutor(connections[alias])
        targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] == label]
        missing = [step.name for step, _ in executor.migration_plan(targets) if step.app_label == label]
    except DatabaseFailure as error:
        return [unknown("D104", sentence(error, alias))]
    if not missing:
        return [well("D104", f"The tables of {label} are those of this code.")]
    return [
        bad(
            "D104",
            f"The database {alias!r} lacks {several(len(missing), 'migration', 'migrations')} of {label}, from {missing[0]} on.",
            f"manage.py migrate --database {alias}",
        )
    ]
