"""The options of the NATS backplane, and what is wrong with them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.core.checks import CheckMessage, Error, Warning
from django.utils.module_loading import import_string

from via_state.backplanes.nats.addresses import WRONG, Address, address_of
from via_state.backplanes.nats.login import SIGNED, can_sign, signing_options, tls_options
from via_state.core.text import error_line
from via_state.redacted import Secret, redacted

#: Option names with their defaults. Durations are seconds.
DEFAULTS: Mapping[str, Any] = {
    "DATABASE": "default",
    "PREFIX": "via",
    "SERVERS": "nats://127.0.0.1:4222",
    "CONNECTION": None,
    "CREDENTIALS": None,
    "NKEY": None,
    "USER": None,
    "PASSWORD": None,
    "TOKEN": None,
    "TLS": None,
    "INBOX_PREFIX": "_INBOX",
    "DOMAIN": None,
    "REPLICAS": 1,
    "STORAGE": "file",
    "CONNECT_TIMEOUT": 5.0,
    "TIMEOUT": 5.0,
}

#: What JetStream takes in the names of streams, of a length that leaves room for keys.
PREFIX = re.compile(r"[A-Za-z0-9_-]{1,32}")
#: Words of a subject, joined by dots; each connection puts one more at its end.
INBOX_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){0,4}")
DOMAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")
TLS_FILES = ("CA", "CERT", "KEY")
SECRETS = ("PASSWORD", "TOKEN")
#: Options whose values no message shows: somebody may have written a key where its file's path belongs. What is shown of
#: SERVERS is without logins.
HIDDEN = (*SECRETS, *SIGNED, "TLS")
#: What the project's own connection decides.
ITS_OWN = ("SERVERS", "USER", "INBOX_PREFIX", *HIDDEN)


def addresses(options: Mapping[str, Any]) -> list[Address]:
    """The servers. Raises ValueError, which does not say what was given."""
    given = options["SERVERS"]
    if not isinstance(given, str | list | tuple):
        raise ValueError(WRONG)
    return [address_of(one) for one in ([given] if isinstance(given, str) else given)]


def concealed(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with secrets that nothing prints, and SERVERS as `addresses`. Raises what that raises."""
    hidden = {name: Secret(options[name]) for name in SECRETS if options[name] is not None}
    return {**options, **hidden, "SERVERS": addresses(options)}


def client_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """What nats-py is given, of `concealed` options. Raises `BackplaneUnavailable` and `BackplaneRefused` for files that are
    not what they should be.
    """
    named = {"user": "USER", "password": "PASSWORD", "token": "TOKEN"}
    found = {name: options[option] for name, option in named.items() if options[option] is not None}
    return {
        **found,
        "inbox_prefix": options["INBOX_PREFIX"],
        **signing_options(options),
        **tls_options(options["TLS"]),
    }


def problems(given: Mapping[str, Any]) -> Iterator[CheckMessage]:
    """E020 an unknown option; E025 the prefix; E024 the others."""
    for name in given:
        if name not in DEFAULTS:
            hint = f"Known options: {', '.join(DEFAULTS)}."
            yield Error(f"The NATS backplane has no option {name!r}.", hint=hint, id="via_state.E020")
    options = {**DEFAULTS, **given}
    if not (isinstance(options["PREFIX"], str) and PREFIX.fullmatch(options["PREFIX"])):
        hint = "Give 1 to 32 letters, digits, hyphens and underscores: it is part of the streams' names."
        yield Error(f"The NATS backplane's prefix is {options['PREFIX']!r}.", hint=hint, id="via_state.E025")
    for name, hint in _wrong(options):
        shown = "not what it should be" if name in HIDDEN else redacted(options[name])
        yield Error(f"The NATS backplane's option {name!r} is {shown}.", hint=hint, id="via_state.E024")


def risks(given: Mapping[str, Any]) -> Iterator[CheckMessage]:
    """W004: one server keeps everything. W005: servers that answer before the disk has it; they don't tell us. W020: a
    password that the network can read. W022: a login that Django's error reports show.
    """
    options = {**DEFAULTS, **given}
    try:
        servers = addresses(options)
    except ValueError:
        servers = []  # E024 says so
    if options["CONNECTION"] is not None:
        servers = []
    secret = options["PASSWORD"] or options["TOKEN"] or any(one.login for one in servers)
    if secret and not (options["TLS"] or any(one.tls for one in servers) or all(one.loopback for one in servers)):
        yield Warning(
            "A password or a token is sent to NATS in clear: whoever can see the network between can read it, and the "
            "state as well.",
            hint="Set TLS in OPTIONS, and give the servers a tls block. If something else encrypts what goes there, "
            "silence this check.",
            id="via_state.W020",
        )
    if any(one.login for one in servers):
        yield Warning(
            "An address in SERVERS holds a login, which Django's error reports show: they hide settings by their names.",
            hint="Use USER and PASSWORD, TOKEN or CREDENTIALS instead.",
            id="via_state.W022",
        )
    if options["REPLICAS"] == 1:
        yield Warning(
            "Streams that via_state makes on NATS are kept on one server: what it acknowledged is gone with its disk.",
            hint="Set REPLICAS to 3, on a cluster of three servers; for streams that are there: nats stream edit --replicas 3",
            id="via_state.W004",
        )
    yield Warning(
        "NATS servers write to disk every two minutes unless they are told otherwise: what was acknowledged since can be "
        "lost with their power, also by a cluster.",
        hint="Set sync_interval: always in the jetstream block of each server's configuration, then silence this check.",
        id="via_state.W005",
    )


def _wrong(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names of options, with what to write instead."""
    try:
        known = bool(addresses(options))
    except ValueError:
        known = False
    if not known:
        yield (
            "SERVERS",
            "Give an address as in 'nats://10.0.0.1:4222' or 'tls://10.0.0.1:4222', or a list of them.",
        )
    for name in ("USER", *SECRETS):
        if not isinstance(options[name], str | None):
            yield name, "Give a string."
    if not (isinstance(options["INBOX_PREFIX"], str) and INBOX_PREFIX.fullmatch(options["INBOX_PREFIX"])):
        yield (
            "INBOX_PREFIX",
            "Give letters, digits, hyphens and underscores; dots between words, as in '_INBOX_shop'.",
        )
    if options["REPLICAS"] not in (1, 3, 5):
        yield "REPLICAS", "Give 1, 3 or 5: on how many servers each stream is kept."
    if options["STORAGE"] not in ("file", "memory"):
        yield "STORAGE", "Write 'file', or 'memory' for state that may be gone when the servers end."
    for name in ("CONNECT_TIMEOUT", "TIMEOUT"):
        value = options[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            yield name, "Give a number above 0."
    for name, what in zip(SIGNED, ("a credentials file", "a file with a user's seed"), strict=True):
        if options[name] is not None and not _is_file(options[name]):
            yield name, f"Give the path of {what} that this process can read."
        elif options[name] is not None and not can_sign():
            yield name, "The package nkeys is missing, which signs with it. Run: pip install 'via-state[nats]'"
    domain = options["DOMAIN"]
    if domain is not None and not (isinstance(domain, str) and DOMAIN.fullmatch(domain)):
        yield "DOMAIN", "Give the name of a JetStream domain, as in the servers' jetstream block."
    if options["CONNECTION"] is not None:
        yield from _wrong_connection(options)
    if not _is_tls(options["TLS"]):
        yield (
            "TLS",
            "Give True, or a dictionary: CA, CERT, KEY, paths of readable files; HANDSHAKE_FIRST, True or False.",
        )


def _wrong_connection(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    try:
        found = import_string(options["CONNECTION"])
    except Exception as error:  # of the project's module
        yield "CONNECTION", f"Give the dotted path of an async function: {error_line(error)}"
        return
    if not inspect.iscoroutinefunction(found):
        yield (
            "CONNECTION",
            "Give the dotted path of an async function that takes **options and returns a client of nats-py.",
        )
    for name in ITS_OWN:
        if options[name] != DEFAULTS[name]:
            yield (
                name,
                "Leave it out, or CONNECTION: what the project's own connection is made with, it decides itself.",
            )


def _is_tls(given: object) -> bool:
    if not isinstance(given, Mapping):
        return given in (None, False, True)
    files = {name: path for name, path in given.items() if name != "HANDSHAKE_FIRST"}
    return (
        not set(files) - set(TLS_FILES)
        and all(_is_file(path) for path in files.values())
        and given.get("HANDSHAKE_FIRST") in (None, False, True)
    )


def _is_file(path: Any) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, TypeError, ValueError):
        return False
