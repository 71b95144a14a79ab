"""Which logs an operation is about."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from django.utils.module_loading import import_string

from via_state.conf import settings
from via_state.core.records import LogBounds
from via_state.declarations.catalog import concrete_logs
from via_state.declarations.log_definition import LogDefinition
from via_state.operations.names import check_names
from via_state.operations.refusal import Refused
from via_state.pod.default import current_pod, sheltered
from via_state.pod.pod import Pod


class Selected(NamedTuple):
    """A log, and what declares it; None when nothing in this code does."""

    key: str
    head: LogBounds
    definition: LogDefinition | None


def durable_pod() -> Pod:
    """The pod of this command. Raises `Refused` where a command has nothing to look at."""
    pod = current_pod()
    if not pod.books.shared:
        if sheltered() and import_string(settings.BACKEND).durable:
            raise Refused(
                "State is in memory while tests run, where a command finds nothing. For this test use settings_pod of "
                "via_state.testing.",
            )
        raise Refused(
            "The memory backplane keeps state inside each process, where a command can't see it. Set VIA_STATE['BACKEND'].",
        )
    return pod


def check_keys(keys: Collection[str], stored: Iterable[str]) -> None:
    """Raise `Refused` for a key that is neither in ``stored`` nor declared, nor a member of a declared family."""
    templates = [one.wire() for one in concrete_logs()]
    if unknown := [key for key in keys if not any(one.text == key or one.reads(key) for one in templates)]:
        check_names(unknown, [*stored, *(one.text for one in templates)], "log")


def selected(pod: Pod, keys: Sequence[str]) -> Iterator[Selected]:
    """The logs that exist on the backplane and that ``keys`` name. Raises `Refused` for a key that names none."""
    declared = list(concrete_logs())
    left = set(keys)
    after, known = "", []
    while page := pod.thread.call(pod.backplane.logs(after)):
        for key, head in page.items():
            definition = next((one for one in declared if one.wire().reads(key)), None)
            names = {key} if definition is None else {key, definition.wire().text}
            left -= names
            if not keys or names & set(keys):
                yield Selected(key, head, definition)
            if left:
                known.append(key)
        after = key
    left -= {one.wire().text for one in declared}
    if left:
        check_names([min(left)], [*known, *(one.wire().text for one in declared)], "log")
