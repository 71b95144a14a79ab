"""The ``VIA_STATE`` setting: read live, so that ``override_settings`` works."""

from __future__ import annotations

import difflib
import importlib.util
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.conf import settings as django_settings

from via_state.redacted import redacted

#: Every name that ``VIA_STATE`` may hold, with its default. Durations are seconds.
DEFAULTS: Mapping[str, Any] = {
    "BACKEND": "via_state.backplanes.memory.MemoryBackplane",
    "OPTIONS": {},
    "DATABASE": "default",
    "PREFIX": "via",
    "RECONCILE_INTERVAL": 1.0,
    "APPEND_TIMEOUT": 10.0,
    "FOLD_TIMEOUT": 2.0,
    "READ_TIMEOUT": 5.0,
    "READY_TIMEOUT": 30.0,
    "UPDATE_TIMEOUT": 10.0,
    "OUTBOX_INTERVAL": 5.0,
    "OUTBOX_LEASE": 15.0,
    "IDLE_TTL": 600.0,
    "MAX_REPLICAS": 10_000,
    "SNAPSHOT_INTERVAL": 64,
    "COMPACT_MIN_AGE": 600.0,
    "FOLD_VERIFY": None,
    "HANDLER_LEASE": 15.0,
    "PEER_LEASE": 30.0,
    "LIVE_URL": "/via/live/",
    "LIVE_FRAMES": 20,
    "LIVE_SLEEP": 300.0,
    "LIVE_TOKEN_AGE": 86_400.0,
    "LIVE_RECHECK": 60.0,
    "LIVE_WAIT": 2.0,
    "LIVE_TABS": 10_000,
    "LIVE_NODES": 500,
    "LIVE_MESSAGE": 131_072,
    "LIVE_WINDOW": 32,
    "LIVE_RENDERERS": 4,
    "LIVE_MEMORY": 64 * 1024 * 1024,
    "LIVE_DRAIN": 5.0,
    "LIVE_RETURNS": 500,
    "LIVE_SCRIPTS": False,
    "LIVE_POLL": 15.0,
    "LIVE_GROUPS": None,
    "BROADCAST": "auto",
    "BROADCAST_KEEP": 0.0,
    "BROADCAST_RATE": 100,
    "TOKEN_USERS": False,
    "ERASE_ON_DELETE": True,
    "OTEL_PARENT": False,
    "LOG_VALUES": None,
    "DOCS_URL": "",
    "UVLOOP": False,
}

_SECONDS = tuple(name for name, default in DEFAULTS.items() if isinstance(default, float))
#: Of these, what may be 0.
_OR_ZERO = ("COMPACT_MIN_AGE", "LIVE_DRAIN", "BROADCAST_KEEP")
#: Of these, what may be None.
_OR_NONE = ("LIVE_SLEEP", "LIVE_POLL")
#: What is a number of things, from 1, with what it is the number of.
_COUNTS = {
    "MAX_REPLICAS": "keys that a process has in memory",
    "LIVE_FRAMES": "times a second that a node of a page may change",
    "LIVE_TABS": "live tabs that a process serves",
    "LIVE_NODES": "live places that a page may have",
    "LIVE_MESSAGE": "bytes that a tab may send in one message",
    "LIVE_WINDOW": "messages that may be under way to a tab",
    "LIVE_RENDERERS": "threads that render blocks of live pages",
    "LIVE_MEMORY": "bytes of rendered blocks that a process keeps",
    "LIVE_RETURNS": "tabs that a process takes back in a second",
    "BROADCAST_RATE": "broadcasts that a process may say in a second",
}
#: Switches that are None for what ``DEBUG`` says.
_AS_DEBUG = ("FOLD_VERIFY", "LOG_VALUES")
#: Why ``UVLOOP`` can't be, with what to do.
NO_UVLOOP = (
    "VIA_STATE['UVLOOP'] is True, and uvloop is not installed.",
    "Run pip install 'via-state[uvloop]', or leave it out.",
)
#: Characters in the longest prefix that all backplanes take.
MAX_PREFIX = 32


class Settings:
    """``settings.NAME`` is the project's value or the default.

    ``BACKEND``: dotted path of the backplane; switching topology is this one line. ``OPTIONS``: its options.
    ``DATABASE``: alias of the database that keeps the outbox and the snapshots. ``PREFIX``: keeps projects apart that share a server.
    ``RECONCILE_INTERVAL``: how long a lost doorbell can delay a change. ``APPEND_TIMEOUT``, ``UPDATE_TIMEOUT``: how
    long a write is tried while the backplane is away. ``FOLD_TIMEOUT``: how long ``append`` waits for this pod's own
    fold. ``READ_TIMEOUT``: how long a read waits for the first load, or for ``at_least``.
    ``READY_TIMEOUT``: how long ``readyz`` answers 503 for declared keys that are not loaded yet. ``OUTBOX_INTERVAL``: how
    often records are looked for that a killed process left in the outbox. ``OUTBOX_LEASE``: for how long a process that is
    frozen keeps others from relaying a part of the outbox; an append from there may take half of it. ``IDLE_TTL``: how long the state of a
    family's member, a session or a user stays in memory unused. ``MAX_REPLICAS``: how many keys a
    process has in memory before the least recently used leave. ``SNAPSHOT_INTERVAL``: folds between two snapshots of a
    log, 0 for none. ``COMPACT_MIN_AGE``: records are discarded when a snapshot has covered them for that long.
    ``FOLD_VERIFY``: fold every event twice, to find folds that are not pure; what ``DEBUG`` says if it is left out.
    ``HANDLER_LEASE``: for how long a worker that is not heard of keeps its event handlers; they are taken over within twice
    that time. ``PEER_LEASE``: for how long a process that is not heard of is shown as alive. ``LIVE_WAIT``: how long the reads of a
    request wait for what its visitor wrote before (`ReadYourWritesMiddleware`), and a pod for the position that a tab shows already.

    Live pages: ``LIVE_URL``: the path of their socket, and of the POST where there is none. ``LIVE_FRAMES``: how often in a second a node
    may change. ``LIVE_SLEEP``: when a hidden tab closes its socket, None for never. ``LIVE_TOKEN_AGE``: for how long a page that nobody looks at may
    come back. ``LIVE_RECHECK``: how often it is looked whether visitors are still signed in. ``LIVE_TABS``: live tabs of one
    process. ``LIVE_NODES``: live places of one page. ``LIVE_MESSAGE``: bytes of one message from a tab. ``LIVE_WINDOW``: messages to a tab that it has not acknowledged.
    ``LIVE_RENDERERS``: threads that render. ``LIVE_MEMORY``: bytes of rendered blocks that are kept to tell what changed.
    ``LIVE_DRAIN``: over how long a pod that ends sends its tabs away. ``LIVE_RETURNS``: tabs a second that a pod takes back.
    ``LIVE_SCRIPTS``: whether `broadcast_script` may run scripts in pages. ``LIVE_POLL``: how often a tab asks that gets no socket, None for never.
    ``LIVE_GROUPS``: dotted path of a function of the request that gives the names of the groups a visitor is in. ``BROADCAST``: what carries
    broadcasts to the tabs of other processes: "layer" (Channels), "backplane", "local", or "auto". ``BROADCAST_KEEP``: for how
    long a process keeps what it broadcast, to say it again to those that missed it; 0 for not at all. ``BROADCAST_RATE``: broadcasts and refreshes a
    second that a process may say for long; five times as many at once.

    ``TOKEN_USERS``: users that are of no model, as those of a token are, are the accounts of ``AUTH_USER_MODEL`` with
    the same primary key. ``ERASE_ON_DELETE``: the state of a user goes when the user is deleted. ``OTEL_PARENT``: spans of
    deliveries are children of the append's span, and do not only link to it. ``LOG_VALUES``: what the project's code says in its errors,
    and values that messages are about, are in log lines and messages; what ``DEBUG`` says if it is left out. ``DOCS_URL``: where the
    site of the documentation is; hints of checks, and what the doctor finds, name addresses in it. ``UVLOOP``: the background thread runs
    the event loop of the package uvloop.
    """

    #: The end of ``PREFIX`` in a test that must not meet the state of others.
    _suffix = ""

    def __getattr__(self, name: str) -> Any:
        if name not in DEFAULTS:
            raise AttributeError(name)
        value = self._configured_value(name)
        if name == "PREFIX" and self._suffix:
            return self._with_suffix(value)
        if name in _AS_DEBUG and value is None:
            return django_settings.DEBUG
        return value

    def _configured_value(self, name: str) -> Any:
        configured = self._configured()
        return configured.get(name, DEFAULTS[name]) if isinstance(configured, Mapping) else DEFAULTS[name]

    @staticmethod
    def _configured() -> object:
        return getattr(django_settings, "VIA_STATE", {})

    def problems(self) -> list[tuple[str, str]]:
        """What is wrong with ``VIA_STATE``, as (message, hint) pairs; the system checks print them."""
        configured = self._configured()
        if not isinstance(configured, Mapping):
            return [("VIA_STATE is not a dictionary.", f"Write VIA_STATE = {dict(DEFAULTS)!r}, or leave it out.")]
        found = []
        for name in configured:
            if name not in DEFAULTS:
                near = difflib.get_close_matches(str(name).upper(), DEFAULTS, n=1)
                hint = f"Did you mean {near[0]!r}?" if near else f"Known names: {', '.join(DEFAULTS)}."
                found.append((f"VIA_STATE has no setting {name!r}.", hint))
        for name in _SECONDS:
            value = getattr(self, name)
            if value is None and name in _OR_NONE:
                continue
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not (value > 0 or (value == 0 and name in _OR_ZERO)):
                hint = f"Give a number of seconds{'' if name in _OR_ZERO else ' above 0'}."
                found.append((f"VIA_STATE[{name!r}] is {redacted(value)}.", hint))
        interval = self.SNAPSHOT_INTERVAL
        if isinstance(interval, bool) or not isinstance(interval, int) or interval < 0:
            hint = "Give the number of folds between two snapshots, or 0 for none."
            found.append((f"VIA_STATE['SNAPSHOT_INTERVAL'] is {interval!r}.", hint))
        for name, things in _COUNTS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                found.append(
                    (f"VIA_STATE[{name!r}] is {redacted(value)}.", f"Give the number of {things}, from 1.")
                )
        found += [
            (f"VIA_STATE[{name!r}] is {getattr(self, name)!r}.", "Give True or False, or leave it out.")
            for name in _AS_DEBUG
            if self._configured_value(name) not in (True, False, None)
        ]
        found += [
            (f"VIA_STATE[{name!r}] is {getattr(self, name)!r}.", "Give True or False.")
            for name in ("TOKEN_USERS", "ERASE_ON_DELETE", "LIVE_SCRIPTS", "OTEL_PARENT", "UVLOOP")
            if getattr(self, name) not in (True, False)
        ]
        if self.UVLOOP is True and importlib.util.find_spec("uvloop") is None:
            found.append(NO_UVLOOP)
        for name in ("BACKEND", "DATABASE", "PREFIX"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                found.append((f"VIA_STATE[{name!r}] is {redacted(value)}.", "Give a string that is not empty."))
        if not isinstance(self.DOCS_URL, str) or (self.DOCS_URL and "://" not in self.DOCS_URL):
            hint = 'Give the address of the site that `make docs` built, as "https://docs.example.com/via_state/", or "".'
            found.append((f"VIA_STATE['DOCS_URL'] is {redacted(self.DOCS_URL)}.", hint))
        found += self._live_problems()
        if not isinstance(self.OPTIONS, Mapping):
            found.append((f"VIA_STATE['OPTIONS'] is a {type(self.OPTIONS).__name__}.", "Give a dictionary."))
        return found

    def _live_problems(self) -> list[tuple[str, str]]:
        found = []
        if not isinstance(self.LIVE_URL, str) or not self.LIVE_URL.startswith("/"):
            found.append((f"VIA_STATE['LIVE_URL'] is {redacted(self.LIVE_URL)}.", 'Give a path, as "/via/live/".'))
        if self.LIVE_GROUPS is not None and not isinstance(self.LIVE_GROUPS, str):
            hint = "Give the dotted path of a function of the request, or leave it out."
            found.append((f"VIA_STATE['LIVE_GROUPS'] is {redacted(self.LIVE_GROUPS)}.", hint))
        if self.BROADCAST not in (carriers := ("auto", "layer", "backplane", "local")):
            hint = f"Give one of {', '.join(carriers)}."
            found.append((f"VIA_STATE['BROADCAST'] is {redacted(self.BROADCAST)}.", hint))
        return found

    def page(self, name: str, anchor: str) -> str:
        """Where a page of the documentation says more: on the site of ``DOCS_URL``, or in the repository."""
        site = str(self.DOCS_URL)
        return f"{site.rstrip('/')}/{name}.html#{anchor}" if site else f"docs/{name}.md#{anchor}"

    def backplane_options(self) -> dict[str, Any]:
        """``OPTIONS``, completed with the database alias and the prefix that every adapter may need."""
        options = {"DATABASE": self.DATABASE, "PREFIX": self.PREFIX, **self.OPTIONS}
        if self._suffix:
            options["PREFIX"] = self._with_suffix(self.OPTIONS.get("PREFIX", self._configured_value("PREFIX")))
        return options

    def _with_suffix(self, prefix: str) -> str:
        return prefix[: MAX_PREFIX - len(self._suffix)] + self._suffix

    @contextmanager
    def fresh_prefix(self) -> Iterator[None]:
        """Within the block ``PREFIX`` has an end that nobody used before, whatever ``VIA_STATE`` becomes. For tests."""
        before, self._suffix = self._suffix, f"-{secrets.token_hex(6)}"
        try:
            yield
        finally:
            self._suffix = before


settings = Settings()
