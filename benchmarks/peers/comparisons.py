"""Who is measured at what, how each package is used, and what each does that the other does not."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks import layers
from benchmarks import nats as over_nats
from benchmarks import postgres as over_postgres
from benchmarks.handlers import Consumed, _deliver
from benchmarks.harness import Round
from benchmarks.peers import ours
from benchmarks.peers.other import Other
from benchmarks.peers.sizes import CALLERS, LANES, PACK, REPLAY, SECONDS, SENDERS, SINGLE

OURS = "via_state"


@dataclass(frozen=True)
class Package:
    """Another package, by the name that pip knows. ``module`` is the one of `others` that measures it."""

    name: str
    module: str
    used: str
    it_does: str
    we_do: str


@dataclass(frozen=True)
class Comparison:
    """The same work by several sides: their names, and what measures a round of each."""

    id: str
    what: str
    unit: str
    sides: Mapping[str, Round]
    lower_is_better: bool = False


PACKAGES = (
    Package(
        "eventsourcing",
        "of_eventsourcing",
        "`Application.save` of an aggregate that is in memory already; its pool has a connection for each caller, and "
        "`POSTGRES_ENABLE_DB_FUNCTIONS` makes an append one round trip. No snapshots, on either side.",
        "One order over the events of all aggregates; an append is refused where another one came first; encryption, compression; SQLite.",
        "Appends at the same time share a commit, and each returns when this process shows its event. Each process keeps the value current and reads it without a query; logs are compacted; handlers with "
        "retries; live pages.",
    ),
    Package(
        "procrastinate",
        "of_procrastinate",
        "Asynchronous tasks, deferred as a batch before the worker begins, `RetryStrategy(max_attempts=10, exponential_wait=2)`, "
        "`delete_jobs=\"successful\"`, a pool with a connection for each running task, psycopg's binary package.",
        "Priorities, times at which a task begins, periodic tasks, cancelling; any number of tasks at once.",
        "The events of a log in order, each after the one before it is done; with `atomic=True` exactly once for what the handler writes to the same database; a new handler "
        "begins with old events. A delivery is not a row of its own: a handler has a position in each log.",
    ),
    Package(
        "django-tasks-db",
        "of_django_tasks_db",
        "Its command `db_worker --batch --no-startup-delay`, a connection that stays, tasks enqueued in one transaction before it begins.",
        "Priorities, times at which a task begins, the results of tasks; every database that Django knows.",
        "Retries: there a task that raises has failed, and a task whose worker dies is never done. An append wakes our worker; `db_worker` asks "
        "each second (`--interval`). Order, and exactly once with `atomic=True`, as above.",
    ),
    Package(
        "channels-redis",
        "of_channels_redis",
        "`RedisPubSubChannelLayer` (pubsub) and `RedisChannelLayer` (lists, `capacity` 100,000), hiredis, a Redis that stores nothing on disk.",
        "Larger messages. `RedisChannelLayer` keeps messages and groups in Redis for a minute, so that those of a channel survive their sender.",
        "No Redis. Messages are signed: who has no `SECRET_KEY` of the project is not heard. Neither side stores messages for a receiver that is not there.",
    ),
)  # fmt: skip


def comparisons(others: Mapping[str, Other]) -> Sequence[Comparison]:
    """All of them. Each side does the same number of the same things."""

    def theirs(name: str, job: str) -> Round:
        return functools.partial(others[name].figure, job)

    def over_layers(measure: layers.Measure, job: str) -> dict[str, Round]:
        return {
            f"{OURS}, PostgreSQL": functools.partial(layers.through_the_layer, over_postgres.new_pod, measure),
            f"{OURS}, NATS": functools.partial(
                layers.through_the_layer, over_nats.new_pod, measure, VIA_BENCH_BACKPLANE="nats"
            ),
            "channels-redis, pubsub": theirs("channels-redis", f"pubsub-{job}"),
            "channels-redis, lists": theirs("channels-redis", f"lists-{job}"),
        }

    return (
        Comparison(
            "append",
            "events, each appended alone, by one caller",
            "appends/s",
            {OURS: lambda: ours.append(1), "eventsourcing": theirs("eventsourcing", "append")},
        ),
        Comparison(
            "append-many",
            f"the same by {CALLERS} threads, each to a log of its own",
            "appends/s",
            {OURS: lambda: ours.append(CALLERS), "eventsourcing": theirs("eventsourcing", "append-many")},
        ),
        Comparison(
            "replay",
            f"a log of {REPLAY:,} events, appended {PACK:,} at a time, folded from its beginning",
            "events/s",
            {OURS: ours.replay, "eventsourcing": theirs("eventsourcing", "replay")},
        ),
        Comparison(
            "tasks",
            "events handled, or tasks done, by one worker, one at a time",
            "events/s",
            {
                OURS: lambda: _deliver(Consumed.lane, 1),
                "procrastinate": theirs("procrastinate", "tasks"),
                "django-tasks-db": theirs("django-tasks-db", "tasks"),
            },
        ),
        Comparison(
            "tasks-many",
            f"the same, {LANES} logs, or {LANES} tasks at once",
            "events/s",
            {OURS: lambda: _deliver(Consumed.lane, LANES), "procrastinate": theirs("procrastinate", "tasks-many")},
        ),
        Comparison(
            "layer-p50",
            f"from before `group_send` to received in another process, p50 of {SINGLE:,}",
            "ms",
            over_layers(layers.one_by_one, "ages"),
            lower_is_better=True,
        ),
        Comparison(
            "layer",
            f"messages of 300 bytes by {SENDERS} senders for {SECONDS:g} s, until the last is received in another process",
            "messages/s",
            over_layers(layers.many, "last"),
        ),
    )
