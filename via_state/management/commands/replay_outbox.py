"""``manage.py replay_outbox``: relay records again that the outbox set aside."""

from __future__ import annotations

import getpass
from typing import Any

from django.core.management.base import CommandError, CommandParser

from via_state.exceptions import ViaStateError
from via_state.management.base import StateCommand, counted
from via_state.operations.logs import durable_pod
from via_state.operations.outbox import put_back, set_aside
from via_state.pod.pod import Pod


class Command(StateCommand):
    help = (
        "Puts records that the outbox set aside back into it, oldest first, and relays them. A record that can't be appended this "
        "time either is set aside once more, with its new error. Exits with 1 when one was. Examples: "
        "manage.py replay_outbox --dry-run; manage.py replay_outbox --key items --id 17"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        many: dict[str, Any] = {"action": "append", "default": []}
        parser.add_argument("--key", help="only of these keys", metavar="KEY", **many)
        parser.add_argument("--id", help="only these records", type=int, metavar="ID", **many)
        parser.add_argument("--dry-run", action="store_true", help="list them, and relay nothing")

    def answer(self, *args: Any, **options: Any) -> None:
        pod = durable_pod()
        chosen = list(set_aside(options["key"], options["id"]).values_list("pk", "key", "error"))
        if options["dry_run"]:
            for pk, key, error in chosen:
                self.stdout.write(f"{pk}: {key}: {error}")
            self.stdout.write(f"{counted(len(chosen), 'record')} would be relayed.")
            return
        by = f"manage.py ({getpass.getuser()})"
        put = [pk for pk, _, _ in chosen if put_back(pk, by)]
        self._relay(pod)
        failed = set_aside().filter(pk__in=put)
        for row in failed:
            self.stdout.write(self.style.ERROR(f"{row.pk}: {row.key}: {row.error}"))
        count = len(failed)
        self.stdout.write(
            self.style.SUCCESS(
                f"{len(put) - count:,} of {counted(len(put), 'record')} relayed, {count:,} set aside again."
            )
        )
        if count:
            raise SystemExit(1)

    @staticmethod
    def _relay(pod: Pod) -> None:
        try:
            pod.thread.call(pod.outbox.settle())
        except ViaStateError as error:
            raise CommandError(
                f"The records are in the outbox again, and are relayed when this is over: {error}", returncode=2
            ) from error
