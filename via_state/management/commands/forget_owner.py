"""``manage.py forget_owner``: remove all state of a user or of a session."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core.management.base import CommandError, CommandParser
from django.db import Error as DatabaseFailure
from django.db import router

from via_state.core.cells import Holds, holds_of
from via_state.declarations.accounts import account_home
from via_state.declarations.session_id import home_of_session, read_sid
from via_state.exceptions import InvalidKey, ViaStateError
from via_state.management.base import StateCommand, counted
from via_state.operations.erasures import erased, not_erased
from via_state.operations.logs import durable_pod
from via_state.pod.pod import Pod


class Command(StateCommand):
    help = (
        "Removes all state of a user (StateUser, StateUserEvents) or of a session (StateSess, StateSessEvents), also what nothing "
        "in this code declares any more. Of a log its snapshots, dead letters, positions of event handlers and what waits in the "
        "outbox go as well. It looks at every value and log that there is. What the logs of everybody say about a person stays, "
        "and is named. Example: manage.py forget_owner --user 7"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        owner = parser.add_mutually_exclusive_group(required=True)
        owner.add_argument("--user", metavar="PK", help="the user's primary key; the user need not exist any more")
        owner.add_argument(
            "--session",
            metavar="KEY",
            help="Django's key of the session, - to read it from the standard input: other users of the machine see a command line",
        )
        parser.add_argument(
            "--model",
            default=django_settings.AUTH_USER_MODEL,
            help="the user's model, app_label.Model; AUTH_USER_MODEL without it",
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")
        parser.add_argument("--json", action="store_true", help="a JSON object")

    def answer(self, *args: Any, **options: Any) -> None:
        pod = durable_pod()
        home = _home_of_session(options["session"]) if options["user"] is None else _home_of_user(**options)
        removed: list[str] = []
        failed: list[str] = []
        for key in [] if home is None else dict.fromkeys(self._keys(pod, home)):
            if options["dry_run"]:
                removed.append(_short(key, home))
                continue
            try:
                if pod.thread.call(_remove(pod, key)):
                    removed.append(_short(key, home))
            except ViaStateError as error:
                failed.append(_short(key, home))
                self.stderr.write(self.style.ERROR(f"{failed[-1]} could not be removed: {error}"))
        if home is not None and not failed and not options["dry_run"]:
            erased(home)
        self._say(removed, failed, options["dry_run"], options["json"])
        if failed:
            raise SystemExit(1)

    def _keys(self, pod: Pod, home: str) -> Iterator[str]:
        """All keys of the owner. Of a session that has ended, its tombstones stay."""
        after, seen = "", 0
        while page := pod.thread.call(pod.backplane.cells(after, begin=home)):
            for after, cell in page.items():
                if (after == home or after.startswith(f"{home}.")) and holds_of(cell.data) is Holds.VALUE:
                    yield after
            seen += len(page)
            self.progress(f"{counted(seen, 'value')} looked at")
        after, seen = "", 0
        while logs := pod.thread.call(pod.backplane.logs(after, begin=f"{home}.")):
            for after in logs:
                yield after
            seen += len(logs)
            self.progress(f"{counted(seen, 'log')} looked at")
        after = ""
        while stored := pod.thread.call(pod.erasures.store.keys(f"{home}.", after)):
            yield from stored  # of what waits in the outbox there may be no log yet
            after = stored[-1]
        self.progress("")

    def _say(self, removed: list[str], failed: list[str], dry: bool, as_json: bool) -> None:
        kept = not_erased()._asdict()
        if as_json:
            self.document({"removed": removed, "failed": failed, "dry_run": dry, "not_erased": kept})
            return
        verb = "would be removed" if dry else "removed"
        self.stdout.write(
            self.style.SUCCESS(
                f"{counted(len(removed), 'key')} {verb}{': ' if removed else '.'}{', '.join(removed)}"
            )
        )
        self.stdout.write(
            "Not erased: what the logs of everybody say. "
            f"{counted(len(kept['logs']), 'declared log')} ({', '.join(kept['logs']) or 'none'}), {counted(kept['snapshots'], 'snapshot')}, "
            f"{counted(kept['dead_letters'], 'dead letter')} and {counted(kept['outbox'], 'record')} of the outbox are left; look there "
            "yourself where they hold what is personal."
        )


async def _remove(pod: Pod, key: str) -> bool:
    value = await pod.erasures.remove(key)
    return await pod.erasures.remove_log(key) or value


def _home_of_user(*, user: str, model: str, **_: Any) -> str:
    try:
        return account_home(apps.get_model(model), user)
    except (LookupError, ValueError) as error:
        if isinstance(error, InvalidKey):
            raise CommandError(str(error), returncode=2) from error
        raise CommandError(f"There is no model {model!r}. Write app_label.Model.", returncode=2) from error


def _home_of_session(key: str) -> str | None:
    key = sys.stdin.readline().strip() if key == "-" else key
    store = import_module(django_settings.SESSION_ENGINE).SessionStore(key)
    try:
        there = store.exists(key)
        sid = read_sid(store) if there else None
    except DatabaseFailure as error:
        alias = router.db_for_read(store.model) if hasattr(store, "model") else "default"
        raise CommandError(
            f"The session can't be looked up in the database {alias!r}: {error}", returncode=2
        ) from error
    if not there:
        raise CommandError(
            "There is no such session. What an ended one held is out of reach, and expires.", returncode=2
        )
    return None if sid is None else home_of_session(sid)


def _short(key: str, home: str | None) -> str:
    """The key as it is declared."""
    return "(the list of its members)" if key == home else key.removeprefix(f"{home}.")
