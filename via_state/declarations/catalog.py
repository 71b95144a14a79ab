"""The declared event handlers, as workers need them; and those of a process that keeps its state to itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, Protocol, TypeVar, cast

from via_state.bookkeeping.peers import Code
from via_state.declarations.log_definition import LogDefinition
from via_state.declarations.problems import Problem
from via_state.declarations.registry import registry
from via_state.handlers.declaration import Delivery, HandlerSpec
from via_state.handlers.known_keys import HandledLog
from via_state.handlers.worker import Worker
from via_state.pod.default import in_tests, on_new_pod
from via_state.pod.pod import Pod

E = TypeVar("E")
R = TypeVar("R")


class Decorator(Protocol[E]):
    """Registers a function of an event and a delivery, and gives it back."""

    def __call__(self, function: Callable[[E, Delivery], R], /) -> Callable[[E, Delivery], R]: ...


def concrete_logs() -> Iterator[LogDefinition]:
    """The declared logs that can work."""
    for one in registry.definitions():
        usable = isinstance(one, LogDefinition) and one.state is not None and not one.state._abstract
        if usable and one.problem() is None:
            yield one


def handled_logs(
    names: Collection[str] = (), logs: Collection[str] = (), *, without_handlers: bool = False
) -> list[HandledLog]:
    """The logs with handlers; only handlers of these names and logs of these keys, where any are given."""
    found: dict[str, HandledLog] = {}
    for definition in concrete_logs():
        spec = definition.built()
        if logs and spec.name not in logs:
            continue
        handlers = {name: one for name, one in definition.handlers.items() if not names or name in names}
        if not handlers and not without_handlers:
            continue
        before = found.get(spec.name)
        merged = handlers if before is None else {**handlers, **before.handlers}
        found[spec.name] = HandledLog(spec, merged, definition.wire().reads)
    return list(found.values())


def handler_problems(definition: LogDefinition, others: Collection[Any]) -> Iterator[Problem]:
    """What is wrong with the handlers of a declaration."""
    for handler in definition.handlers.values():
        foreign = [one.__name__ for one in handler.events if not _is_event_of(one, definition)]
        if foreign:
            declared = ", ".join(one.__name__ for one in definition.events)
            yield Problem(
                "E030",
                f"Its event handler {handler.name!r} wants {', '.join(foreign)}, which this log does not have.",
                f"Name some of its events: {declared}.",
            )
    for other in others:
        if not isinstance(other, LogDefinition) or other is definition or other.problem() is not None:
            continue
        if other.wire().text != definition.wire().text:
            continue
        for name in set(definition.handlers) & set(other.handlers):
            if definition.handlers[name] is not other.handlers[name]:
                yield Problem(
                    "E031",
                    f"Its event handler {name!r} has the same name as one of {other}, which shares its key.",
                    "Give one of them another name: the position is kept under it.",
                )


def _is_event_of(event: type[Any], definition: LogDefinition) -> bool:
    return any(isinstance(one, type) and issubclass(one, event) for one in definition.events)


def add_handler(definition: LogDefinition, make: Callable[[Any], HandlerSpec]) -> Decorator[Any]:
    """The decorator that `on_event` returns."""
    from via_state.handlers.declaration import declare

    def register(function: Any) -> Any:
        handler = make(function)
        declare(definition.handlers, handler, str(definition))
        if registry.is_late() and definition.problem() is None:
            for problem in handler_problems(definition, list(registry.definitions())):  # no check sees it
                del definition.handlers[handler.name]
                raise problem._replace(where=str(definition)).error()
        registry.note(f"The event handler {handler.name!r} of {definition}", getattr(function, "__module__", "?"))
        return function

    return cast(Decorator[Any], register)


def run_in_process(pod: Pod) -> None:
    """Run the handlers in this process, where no other one can see the events. In tests `drain` runs them, on the test's thread."""
    if pod.books.shared or in_tests():
        return
    logs = handled_logs()
    if logs:
        worker = Worker(pod.reconciler, pod.books.positions(), logs)
        pod.add(worker, worker.settle)


def code_of_process() -> Code:
    """What this process reads, for the list of processes."""
    fingerprints, events = {}, {}
    for definition in concrete_logs():
        spec = definition.built()
        if spec.snapshots is not None:
            fingerprints[spec.name] = spec.snapshots.manifest.fingerprint
        events[spec.name] = {one.name: one.version for one in spec.events.types}
    return Code(fingerprints, events)


def _describe(pod: Pod) -> None:
    pod.peer.code = code_of_process


on_new_pod += [_describe, run_in_process]
