"""System checks: what can't work is said before it fails."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.contrib.sessions.backends import signed_cookies
from django.core.checks import CheckMessage, Error, Tags
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.utils import load_backend
from django.template import TemplateDoesNotExist, TemplateSyntaxError
from django.urls import get_resolver
from django.utils.module_loading import import_string

from via_state.backplanes.base import Backplane
from via_state.bookkeeping.database import tables
from via_state.conf import settings
from via_state.core.events import Unreadable
from via_state.declarations.bridges import missing_bridge, parse_manifests
from via_state.declarations.catalog import concrete_logs, handler_problems
from via_state.declarations.log_definition import LogDefinition
from via_state.declarations.registry import registry
from via_state.declarations.session_scope import SESSION
from via_state.declarations.user_scope import USER
from via_state.documented import register
from via_state.exceptions import NotMigrated, ViaStateError
from via_state.live.rendering.blocks import template_of
from via_state.live.rendering.fragments import fragments
from via_state.operations.handlers import perhaps_renamed
from via_state.pod.default import current_pod
from via_state.pod.sampling import DeclaredLog, Unread, sample
from via_state.redacted import redacted

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet

    from via_state.core.manifest import Manifest
    from via_state.core.snapshots import SnapshotSpec
    from via_state.models import SnapshotRow

# Checks that ask a database have no tag of ours: from Django 6.1 on ``check --tag via_state`` would run them for every database.

SESSION_MIDDLEWARE = "django.contrib.sessions.middleware.SessionMiddleware"
#: The backplanes of via_state, with the extra that each needs.
BACKENDS = {
    "via_state.backplanes.memory.MemoryBackplane": None,
    "via_state.backplanes.postgres.PostgresBackplane": "postgres",
    "via_state.backplanes.nats.NatsBackplane": "nats",
}
STATE_MIDDLEWARE = "via_state.middleware.SessionStateMiddleware"


@register("via_state")
def check_declarations(**_: Any) -> list[CheckMessage]:
    """E001 to E009, E014: declarations that can't work.

    E001 keys that collide; E002 a bad key; E003 no event class; E004 an event without fold; E005 no value type; E006
    events that fold different types; E007 no initial value; E008 a type that can't be stored; E009 bad event names; E014 a bad
    version or snapshot interval.
    """
    found: list[CheckMessage] = []
    definitions = list(registry.definitions())
    for index, definition in enumerate(definitions):
        problems = [definition.problem(), *definition.collisions(definitions[:index])]
        found += [
            Error(problem.message, hint=problem.hint, obj=definition, id=f"via_state.{problem.id}")
            for problem in problems
            if problem is not None
        ]
    return found


@register("via_state")
def check_handlers(**_: Any) -> list[CheckMessage]:
    """E030 events that a handler wants and its log does not have; E031 two handlers of one name on one key."""
    definitions = list(registry.definitions())
    return [
        Error(problem.message, hint=problem.hint, obj=definition, id=f"via_state.{problem.id}")
        for index, definition in enumerate(definitions)
        if isinstance(definition, LogDefinition) and definition.problem() is None
        for problem in handler_problems(definition, definitions[:index])
    ]


@register("via_state")
def check_fragments(**_: Any) -> list[CheckMessage]:
    """E041: a fragment without its template. E042: a fragment whose function can't be called as its tag does."""
    found: list[CheckMessage] = []
    for fragment in fragments:
        try:
            template_of(fragment)
        except (TemplateDoesNotExist, TemplateSyntaxError, ImproperlyConfigured) as error:
            hint = "Put it into the templates folder of an app, for Django's engine."
            found.append(
                Error(f"{fragment} has no template: {error}.", hint=hint, obj=fragment, id="via_state.E041")
            )
        if (problem := fragment.problem()) is not None:
            found.append(Error(problem.message, hint=problem.hint, obj=fragment, id=f"via_state.{problem.id}"))
    return found


@register("via_state")
def check_late_declarations(**_: Any) -> list[CheckMessage]:
    """W009: state and event handlers that only those processes know which happen to import their module."""
    with suppress(Exception):  # Django's own check says what is wrong with it
        len(get_resolver().url_patterns)  # views import what they use
    return [
        CheckWarning(
            f"{what} is declared in {module} after Django had started: other processes, and workers among them, may not know it.",
            hint="Declare it in the state.py of an app, or in a module that one imports.",
            id="via_state.W009",
        )
        for what, module in registry.late.items()
    ]


@register("via_state")
def check_settings(**_: Any) -> list[CheckMessage]:
    """E010 the setting itself; E011 its backend; E012 its database. And what the backend itself checks."""
    found: list[CheckMessage] = [
        Error(message, hint=hint, id="via_state.E010") for message, hint in settings.problems()
    ]
    if found:
        return found
    if settings.DATABASE not in django_settings.DATABASES:
        hint = f"Known aliases: {', '.join(django_settings.DATABASES)}."
        message = f"VIA_STATE['DATABASE'] is {redacted(settings.DATABASE)}, which DATABASES does not have."
        found.append(Error(message, hint=hint, id="via_state.E012"))
    backend, trouble = _backend()
    own = [] if backend is None else backend.check(settings.backplane_options())
    if found:  # which the backend would say once more of an alias that it has from there
        own = [one for one in own if not (one.id == "via_state.E021" and redacted(settings.DATABASE) in one.msg)]
    return [*found, *trouble, *own]


@register("via_state")
def check_schemas(**_: Any) -> list[CheckMessage]:
    """E026: a ``DATABASE`` whose engine changes schemas. E027: state of users where each schema has users of its own."""
    if settings.problems():
        return []
    engines = {alias: str(one.get("ENGINE", "")) for alias, one in django_settings.DATABASES.items()}
    changing = {alias for alias, engine in engines.items() if _changes_schemas(engine)}
    backend = _backend()[0]
    found: list[CheckMessage] = []
    if settings.DATABASE in changing and backend is not None and backend.shared:
        found.append(
            Error(
                f"The engine of the database {settings.DATABASE!r}, {engines[settings.DATABASE]!r}, changes schemas while a "
                "process runs. via_state knows nothing of tenants: what one writes would be in the state of all, or wait "
                "in an outbox where nobody looks.",
                hint="Give via_state an alias of its own in DATABASES, with the engine 'django.db.backends.postgresql', name it "
                "in VIA_STATE['DATABASE'], and let keys name the tenant, as in key='room.{tenant}.{room}'. Or run each "
                "tenant in processes of its own, with that engine and a PREFIX each.",
                id="via_state.E026",
            )
        )
    if changing and (of_users := [one for one in registry.definitions() if one.scope is USER]):
        found.append(
            Error(
                f"The engine of the database {min(changing)!r} changes schemas: users of several tenants have the same "
                "primary keys, and so the same state.",
                hint="Use an event log or a family instead, whose key names tenant and user.",
                obj=of_users[0],
                id="via_state.E027",
            )
        )
    return found


@register("via_state")
def check_sessions(**_: Any) -> list[CheckMessage]:
    """E013: session state without sessions. E040: session state in sessions that the browser keeps."""
    if not any(definition.scope is SESSION for definition in registry.definitions()):
        return []
    return list(_session_problems(django_settings.MIDDLEWARE))


@register("via_state")
def check_snapshots(**_: Any) -> list[CheckMessage]:
    """W003: a value that can't be stored in a snapshot, so that its log only grows."""
    found: list[CheckMessage] = []
    for definition in registry.definitions():
        if not isinstance(definition, LogDefinition) or definition.problem() is not None:
            continue
        if (problem := definition.unstorable) is not None and definition.options.get("snapshot_interval") != 0:
            hint = f"{problem.hint} Or write snapshot_interval=0: every start then folds the whole log."
            message = f"Its value can't be stored in a snapshot. {problem.message}"
            found.append(CheckWarning(message, hint=hint.strip(), obj=definition, id="via_state.W003"))
    return found


@register(Tags.database)
def check_bridges(databases: Collection[str] | None = None, **_: Any) -> list[CheckMessage]:
    """E015, E016: code that can't continue from the snapshots of the code before, where the records are gone.

    Looks into the database, so it runs with ``migrate`` and with ``check --database``.
    """
    if settings.problems() or settings.DATABASE not in (databases or ()):
        return []
    connection = connections[settings.DATABASE]
    if tables.snapshots.model._meta.db_table not in connection.introspection.table_names():
        return []
    rows = tables.snapshots.rows()
    found: list[CheckMessage] = []
    for definition in registry.definitions():
        if not isinstance(definition, LogDefinition) or definition.problem() is not None:
            continue
        spec = definition.built()
        if spec.snapshots is None:
            continue
        problem = missing_bridge(spec.snapshots, _unbridged(rows.filter(template=spec.name), spec.snapshots))
        if problem is not None:
            found.append(Error(problem.message, hint=problem.hint, obj=definition, id=f"via_state.{problem.id}"))
    return found


@register(Tags.database)
def check_records(databases: Collection[str] | None = None, **_: Any) -> list[CheckMessage]:
    """E018 stored records that this code can't decode; W006 stored events that it does not declare, or of a newer version.

    W007: the backplane did not answer, so nobody knows. Decodes a sample of each log, with ``migrate`` and with ``check
    --database``.
    """
    if settings.problems() or settings.DATABASE not in (databases or ()):
        return []
    backend = _backend()[0]
    logs = {one.built().name: DeclaredLog(one.built(), one.wire().reads) for one in concrete_logs()}
    if backend is None or not backend.durable or not logs:
        return []
    if not _has_table(tables.outbox.model):
        return []  # migrate makes the tables after this; a pod would say that they are missing
    pod = current_pod()
    if not pod.books.shared:
        return []
    try:
        found = pod.thread.call(sample(pod.backplane, list(logs.values())))
    except NotMigrated:
        return []
    except ViaStateError as error:
        message = f"Whether this code reads the records that are stored could not be looked at: {error}"
        return [CheckWarning(message, hint="Run manage.py check --database again.", id="via_state.W007")]
    return [_unread_record(one) for one in found]


@register(Tags.database)
def check_renamed(databases: Collection[str] | None = None, **_: Any) -> list[CheckMessage]:
    """W008: a registered event handler that nothing declares, on a log that declares one which is not registered: perhaps renamed."""
    if settings.problems() or settings.DATABASE not in (databases or ()):
        return []
    if not _has_table(tables.handlers.model):
        return []
    found: list[CheckMessage] = []
    for one in perhaps_renamed():
        old, new = ", ".join(map(repr, one.orphans)), ", ".join(map(repr, one.newcomers))
        found.append(
            CheckWarning(
                f"Registered and no longer declared: the event handler {old}. Declared and not registered yet: {new}, which begins with "
                "the first event, or with the head.",
                hint=f"If it was renamed, stop the workers and run: manage.py rename_handler {one.orphans[0]} {one.newcomers[0]}"
                f" --log '{one.log}'. If it was not: manage.py retire_handler {one.orphans[0]}.",
                obj=one.log,
                id="via_state.W008",
            )
        )
    return found


def _unread_record(one: Unread) -> CheckMessage:
    where = f"stored in the log {one.key!r} at offset {one.offset}"
    if one.kind is Unreadable.UNDECODABLE:
        event = f"The event {one.name}, version {one.version}," if one.name else "A record"
        return Error(
            f"{event} {where} can't be decoded by this code: {one.why}.",
            hint="Give a new field a default; raise event_version and say in event_upcasters how an old payload becomes a new one; "
            "or take the change back. The value would lack such records, and event handlers would put them aside.",
            obj=one.spec.name,
            id="via_state.E018",
        )
    if one.kind is Unreadable.NEWER:
        message = f"The event {one.name}, {where}, is of version {one.version}, which this code does not know."
        hint = "Only newer code may fold it: the key halts until that is deployed."
    else:
        message = f"The event {one.name}, {where}, is not declared by this code."
        hint = "Name it in aliases= of its class if that was renamed, or in retired= if it folds to nothing."
    return CheckWarning(message, hint=hint, obj=one.spec.name, id="via_state.W006")


@register(Tags.security, "via_state", deploy=True)
def check_deployment(**_: Any) -> list[CheckMessage]:
    """W002: a backplane of one process only, where several are likely. And what the backend itself warns of."""
    backend = None if settings.problems() else _backend()[0]
    if backend is None:
        return []
    if backend.shared:
        return backend.check_deployment(settings.backplane_options())
    return [
        CheckWarning(
            f"{backend.__name__} keeps state in one process: several would each have a state of their own, and a restart "
            "loses it.",
            hint="Set VIA_STATE['BACKEND'] to 'via_state.backplanes.postgres.PostgresBackplane', or run one process.",
            id="via_state.W002",
        )
    ]


def _has_table(model: type[Model]) -> bool:
    return model._meta.db_table in connections[settings.DATABASE].introspection.table_names()


def _changes_schemas(engine: str) -> bool:
    """Whether an engine's connections are told a tenant, as those of django-tenants are."""
    try:
        wrapper = load_backend(engine).DatabaseWrapper
    except (ImportError, ImproperlyConfigured):
        return False  # Django itself complains about it
    return any(hasattr(wrapper, name) for name in ("set_schema", "set_tenant", "schema_name"))


def _unbridged(rows: QuerySet[SnapshotRow], spec: SnapshotSpec[Any]) -> list[Manifest]:
    """The manifests of compacted logs that have no snapshot from which this code continues."""
    compacted = rows.filter(log_hash__in=rows.filter(compacted__gt=0).values("log_hash"), data__isnull=False)
    known = parse_manifests(compacted.values_list("manifest", flat=True).distinct())
    usable = [one.fingerprint for one in known if spec.manifest.folds_like(one)]
    left = compacted.exclude(
        log_hash__in=rows.filter(fingerprint__in=usable, data__isnull=False).values("log_hash")
    )
    return parse_manifests(left.values_list("manifest", flat=True).distinct())


def _backend() -> tuple[type[Backplane] | None, list[CheckMessage]]:
    path = settings.BACKEND
    try:
        backend = import_string(path)
    except ImportError as error:
        message = f"VIA_STATE['BACKEND'] {path!r} can't be imported: {error}."
        return None, [Error(message, hint=_missing(path), id="via_state.E011")]
    if not (isinstance(backend, type) and issubclass(backend, Backplane)):
        message = f"VIA_STATE['BACKEND'] {path!r} is not a backplane."
        hint = "Name a subclass of via_state.backplanes.base.Backplane."
        return None, [Error(message, hint=hint, id="via_state.E011")]
    return backend, []


def _missing(path: str) -> str:
    """What to do about a backplane that can't be imported."""
    if extra := BACKENDS.get(path):
        return f"Install what it needs: pip install 'via-state[{extra}]'"
    return f"Check the path. Those of via_state are {', '.join(BACKENDS)}."


def _session_problems(middleware: list[str]) -> Iterator[CheckMessage]:
    sessions, states = _position(SESSION_MIDDLEWARE, middleware), _position(STATE_MIDDLEWARE, middleware)
    if sessions is None or (states is not None and states < sessions):
        where = "" if states is None else f", before {STATE_MIDDLEWARE!r}"
        yield Error(
            "Session state is declared, but requests have no session"
            + ("." if sessions is None else " early enough."),
            hint=f"Add {SESSION_MIDDLEWARE!r} to MIDDLEWARE{where}.",
            id="via_state.E013",
        )
    if _sessions_are_cookies():
        yield Error(
            "Session state is declared, and sessions are kept in signed cookies: an old cookie would open the state of its "
            "session after a logout, and after a login or a new password.",
            hint="Set SESSION_ENGINE to one that stores sessions, such as 'django.contrib.sessions.backends.cached_db'.",
            id="via_state.E040",
        )


def _sessions_are_cookies() -> bool:
    try:
        store = import_string(f"{django_settings.SESSION_ENGINE}.SessionStore")
    except ImportError:
        return False  # Django itself complains about it
    return issubclass(store, signed_cookies.SessionStore)


def _position(path: str, middleware: list[str]) -> int | None:
    """Where a middleware, or a subclass of it, stands."""
    wanted = import_string(path)
    for index, one in enumerate(middleware):
        try:
            found = import_string(one)
        except ImportError:
            continue  # Django itself complains about it
        if isinstance(found, type) and issubclass(found, wanted):
            return index
    return None
