"""A session's state ends with it: tombstones make sure that a request or a connection that still has its id revives nothing.

Ending it belongs to a logout and must never prevent one. The id dies with the Django session in any case, so that state which
could not be ended is out of reach for whoever comes later; what remains are those that had loaded the session before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from django.http import HttpRequest

from via_state import telemetry
from via_state.core.specs import CellSpec, LogSpec
from via_state.declarations.definition import Definition
from via_state.declarations.registry import registry
from via_state.declarations.session_id import SESSION_KEY, home_of_session, read_sid, state_ttl
from via_state.declarations.session_scope import SESSION
from via_state.exceptions import BackplaneUnavailable, OutcomeUnknown, UpdateContended, UpdateOutcomeUnknown
from via_state.pod import members
from via_state.pod.default import current_pod, on_new_pod
from via_state.pod.pod import Pod
from via_state.pod.session_logs import EndedSessions
from via_state.runtime.backoff import patiently
from via_state.runtime.loop import in_event_loop

logger = logging.getLogger("via_state.sessions")

WAIT = 2.0  # seconds that a logout waits for all that its session holds
PATIENCE = 300.0  # seconds for which a pod tries to end it meanwhile
MOST = 1000  # sessions that a pod is ending at once

_AWAY = (BackplaneUnavailable, OutcomeUnknown)

_pending: WeakKeyDictionary[Pod, set[Future[None]]] = WeakKeyDictionary()


def end_session_state(sid: str) -> None:
    """Leave tombstones in place of all that the session holds, and remove its logs. Waits for `WAIT` seconds at most, and raises nothing."""
    try:
        ending = _begin(sid)
        if ending is not None and not in_event_loop():
            ending.result(WAIT)
    except Exception as error:
        _failed(error)


async def aend_session_state(sid: str) -> None:
    """`end_session_state`, awaited."""
    try:
        ending = _begin(sid)
        if ending is not None:
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(ending)), WAIT)
    except Exception as error:
        _failed(error)


def end_on_logout(*, request: HttpRequest | None = None, **_: Any) -> None:
    """Receiver of ``user_logged_out``, for projects without `SessionStateMiddleware`. What it raised would prevent the logout."""
    try:
        session = getattr(request, "session", None)
        if session is None or (sid := read_sid(session)) is None:
            return
        del session[SESSION_KEY]
    except Exception as error:
        _failed(error)
        return
    end_session_state(sid)


def _failed(error: Exception) -> None:
    telemetry.SessionEndFailed().emit()
    if isinstance(error, TimeoutError):
        logger.warning("The state of a session is not ended yet, after %s s. This process continues to try.", WAIT)
    else:
        logger.error("The state of a session could not be ended; it stays until it expires.", exc_info=error)


def _begin(sid: str) -> Future[None] | None:
    """Start to end it, on the pod's loop, whoever waits for how long."""
    declared = _declared_for_sessions()
    if not declared:
        return None
    pod = current_pod()
    others = pending(pod)
    if len(others) >= MOST:
        raise BackplaneUnavailable(f"{MOST:,} sessions are being ended already.")

    def step() -> Any:
        return _end(pod, sid, declared)

    ending = pod.thread.submit(patiently(PATIENCE, "Ending the state of a session", step))
    others.add(ending)
    ending.add_done_callback(others.discard)
    ending.add_done_callback(_ended)
    return ending


def pending(pod: Pod) -> set[Future[None]]:
    """What the pod is ending."""
    return _pending.setdefault(pod, set())


def _ended(ending: Future[None]) -> None:
    if not ending.cancelled() and (error := ending.exception()) is not None:
        logger.info("Ending the state of a session ended with %r.", error)


async def _end(pod: Pod, sid: str, declared: dict[str, Definition[Any]]) -> None:
    """All of it at once; what fails keeps nothing else from being ended. Harmless to repeat."""
    ttl = state_ttl(0)
    steps = [pod.aend(key, replace(spec, ttl=ttl)) for key, spec in _plain_cells(sid, declared)]
    if any(map(_is_listed, declared.values())):
        steps.append(_end_listed(pod, sid, declared, ttl))
    errors = [
        one for one in await asyncio.gather(*steps, return_exceptions=True) if isinstance(one, BaseException)
    ]
    for error in sorted(errors, key=lambda one: isinstance(one, _AWAY)):
        raise error  # what waiting does not mend is said at once


def _is_listed(definition: Definition[Any]) -> bool:
    """Whether its keys are listed at the session's home: they can't be told by the declaration, or a late append has to find it ended."""
    return definition.template().family or isinstance(definition.built(), LogSpec)


async def _end_listed(pod: Pod, sid: str, declared: dict[str, Definition[Any]], ttl: float) -> None:
    try:
        keys = await members.aclose(pod, home_of_session(sid), ttl)
    except (UpdateContended, UpdateOutcomeUnknown) as error:
        raise OutcomeUnknown(str(error)) from error  # closing it twice is harmless
    listed = [definition for definition in declared.values() if _is_listed(definition)]
    for key in keys:
        definition = next((one for one in listed if one.template().reads(key)), None)
        spec = None if definition is None else definition.built()
        if isinstance(spec, CellSpec):
            await pod.aend(f"{home_of_session(sid)}.{key}", replace(spec, ttl=ttl))
        elif isinstance(spec, LogSpec):
            await pod.erasures.remove_log(f"{home_of_session(sid)}.{key}")


def _declared_for_sessions() -> dict[str, Definition[Any]]:
    """By template. A declaration that can't work holds nothing."""
    found = {}
    for definition in registry.definitions():
        if definition.scope is SESSION and definition.problem() is None:
            found[definition.template().text] = definition
    return found


def _plain_cells(sid: str, declared: dict[str, Definition[Any]]) -> Iterator[tuple[str, CellSpec[Any]]]:
    for template, definition in declared.items():
        if not _is_listed(definition):
            yield f"{home_of_session(sid)}.{template}", definition.built()


def remove_ended(pod: Pod) -> None:
    """Have a pod remove logs that outlived their sessions, where any may be."""
    if any(isinstance(one.built(), LogSpec) for one in _declared_for_sessions().values()):
        ended = EndedSessions(pod, pod.erasures.store)
        pod.add(ended, ended.settle)


on_new_pod.append(remove_ended)
