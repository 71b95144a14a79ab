"""The verbs: something is said to tabs at once, in every process, and kept nowhere.

Each has a twin for event loops. They give the number of *this process's* live tabs that matched, and say it to all others at most
once. In a database transaction say ``transaction.on_commit(lambda: broadcast_notify(...))``.
"""

from __future__ import annotations

import datetime
import logging
import re
import sys
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import TypeAlias

from django.utils.functional import Promise

from via_state.conf import settings
from via_state.exceptions import LiveScriptsDisabled
from via_state.live.announcing.announcement import LEVELS, NAME, Code, Content, Level, Notice, Signals
from via_state.live.announcing.announcer import announcer_of
from via_state.live.announcing.audience import ALL, To
from via_state.live.announcing.script import Script
from via_state.pod.default import current_pod
from via_state.runtime.loop import refuse_in_event_loop

logger = logging.getLogger("via_state.broadcast")

#: What has one text.
Plain: TypeAlias = str | int | float | Decimal | datetime.date | datetime.time | uuid.UUID | Promise
_PLAIN = (str, int, float, Decimal, datetime.date, datetime.time, uuid.UUID, Promise)
#: Signals in one message.
MOST_SIGNALS = 100


def broadcast_notify(text: str, to: To = ALL, *, level: Level = "info") -> int:
    """Show a notice in tabs: "info", "success", "warning" or "error". It is text, never HTML. The number of this process's live tabs.

    Raises ValueError (the level), `BroadcastTooLarge`, `BroadcastTooOften`, and `BroadcastFailed` after this process's tabs were told.
    """
    refuse_in_event_loop("broadcast_notify", "abroadcast_notify")
    return _say(_notice(text, level), to)


async def abroadcast_notify(text: str, to: To = ALL, *, level: Level = "info") -> int:
    """`broadcast_notify`, awaited."""
    return await _asay(_notice(text, level), to)


def broadcast_signals(values: Mapping[str, Plain], to: To = ALL) -> int:
    """Give tabs texts by name: elements with ``data-via-signal="name"`` show them. The number of this process's live tabs.

    Names begin with a letter, of letters, digits and ``_ . : -``. Raises ValueError (a name), TypeError (a value), `BroadcastTooLarge`,
    `BroadcastTooOften`, `BroadcastFailed`.
    """
    refuse_in_event_loop("broadcast_signals", "abroadcast_signals")
    return _say(_signals(values), to)


async def abroadcast_signals(values: Mapping[str, Plain], to: To = ALL) -> int:
    """`broadcast_signals`, awaited."""
    return await _asay(_signals(values), to)


def broadcast_script(script: Script, to: To = ALL) -> int:
    """Run a script in tabs, with the page's nonce. Only with ``VIA_STATE["LIVE_SCRIPTS"] = True``, here and in the processes of the tabs.

    Raises `LiveScriptsDisabled`, TypeError (a text that is not a `Script`), `BroadcastTooLarge`, `BroadcastTooOften`,
    `BroadcastFailed`.
    """
    refuse_in_event_loop("broadcast_script", "abroadcast_script")
    return _say(_code(script), to)


async def abroadcast_script(script: Script, to: To = ALL) -> int:
    """`broadcast_script`, awaited."""
    return await _asay(_code(script), to)


broadcast, abroadcast = broadcast_script, abroadcast_script


def _say(content: Content, to: To) -> int:
    pod = current_pod()
    return pod.thread.call(announcer_of(pod).say(content, _audience(to)))


async def _asay(content: Content, to: To) -> int:
    pod = current_pod()
    return await pod.thread.acall(announcer_of(pod).say(content, _audience(to)))


def _audience(to: To) -> To:
    if not isinstance(to, To):
        raise TypeError(
            f"to= is a {type(to).__name__}. Give ALL, Page(path), Session(request), User(user), Group(name) or "
            "Viewing(fragment, ...)."
        )
    return to


def _notice(text: str, level: Level) -> Notice:
    if level not in LEVELS:
        raise ValueError(f"level= is {level!r:.80}. Give one of {', '.join(map(repr, LEVELS))}.")
    if not isinstance(text, str | Promise):
        raise TypeError(f"A notice is a text, not a {type(text).__name__}.")
    return Notice(_encodable(str(text)), level)


def _signals(values: Mapping[str, Plain]) -> Signals:
    if not 1 <= len(values) <= MOST_SIGNALS:
        raise ValueError(f"{len(values)} signals: give 1 to {MOST_SIGNALS} at once.")
    for name, value in values.items():
        if not re.search(NAME, name):
            raise ValueError(
                f"{name!r:.80} is not the name of a signal: give a letter, then letters, digits and _ . : -, 64 at most, and "
                "neither 'constructor', 'prototype' nor what begins with 'data-via'."
            )
        if not isinstance(value, _PLAIN):
            raise TypeError(
                f"The signal {name!r} is a {type(value).__name__}. Signals are texts: give a str or a number."
            )
    return Signals({name: _encodable(str(value)) for name, value in values.items()})


def _code(script: Script) -> Code:
    if not settings.LIVE_SCRIPTS:
        raise LiveScriptsDisabled(
            "VIA_STATE['LIVE_SCRIPTS'] is not True, so no script is sent to pages. Use broadcast_signals for texts and live "
            "blocks for HTML, or say that scripts are wanted."
        )
    if not isinstance(script, Script):
        raise TypeError(f'broadcast_script takes a Script("..."), not a {type(script).__name__}.')
    caller = sys._getframe(2)
    logger.info(
        "A script of %s characters is broadcast by %s, line %s.",
        len(script.code),
        caller.f_globals.get("__name__"),
        caller.f_lineno,
    )
    return Code(_encodable(script.code))


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("The text has lone surrogates, which have no UTF-8.") from None
    return text
