"""The options of the NATS backplane, and what is wrong with them."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.core.checks import CheckMessage, Error, Warning

#: Option names with their defaults. Durations are seconds.
DEFAULTS: Mapping[str, Any] = {
    "DATABASE": "default",
    "PREFIX": "via",
    "SERVERS": "nats://127.0.0.1:4222",
    "CREDENTIALS": None,
    "USER": None,
    "PASSWORD": None,
    "TOKEN": None,
    "TLS": None,
    "REPLICAS": 1,
    "STORAGE": "file",
    "CONNECT_TIMEOUT": 5.0,
    "TIMEOUT": 5.0,
}

#: What JetStream takes in the names of streams, of a length that leaves room for keys.
PREFIX = re.compile(r"[A-Za-z0-9_-]{1,32}")
TLS_FILES = ("CA", "CERT", "KEY")


def servers(options: Mapping[str, Any]) -> list[str]:
    """The addresses, each with its scheme."""
    given = options["SERVERS"]
    return [given] if isinstance(given, str) else list(given)


def client_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """What nats-py is given. Raises OSError for files that can't be read."""
    named = {"user": "USER", "password": "PASSWORD", "token": "TOKEN", "user_credentials": "CREDENTIALS"}
    found = {name: options[option] for name, option in named.items() if options[option] is not None}
    if "user_credentials" in found:
        found["user_credentials"] = str(found["user_credentials"])
    if options["TLS"]:
        files = options["TLS"] if isinstance(options["TLS"], Mapping) else {}
        context = ssl.create_default_context(cafile=files.get("CA"))
        if "CERT" in files:
            context.load_cert_chain(files["CERT"], files.get("KEY"))
        found["tls"] = context
    return found


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
        yield Error(f"The NATS backplane's option {name!r} is {options[name]!r}.", hint=hint, id="via_state.E024")


def risks(given: Mapping[str, Any]) -> Iterator[CheckMessage]:
    """W004: one server keeps everything. W005: servers that answer before the disk has it. The servers don't tell us."""
    if {**DEFAULTS, **given}["REPLICAS"] == 1:
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
    given: Any = options["SERVERS"]
    addresses = [given] if isinstance(given, str) else given
    if not (isinstance(addresses, list | tuple) and addresses and all(isinstance(one, str) for one in addresses)):
        yield "SERVERS", "Give an address as in 'nats://10.0.0.1:4222', or a list of them."
    if options["REPLICAS"] not in (1, 3, 5):
        yield "REPLICAS", "Give 1, 3 or 5: on how many servers each stream is kept."
    if options["STORAGE"] not in ("file", "memory"):
        yield "STORAGE", "Write 'file', or 'memory' for state that may be gone when the servers end."
    for name in ("CONNECT_TIMEOUT", "TIMEOUT"):
        value = options[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            yield name, "Give a number above 0."
    if options["CREDENTIALS"] is not None and not Path(options["CREDENTIALS"]).is_file():
        yield "CREDENTIALS", "Give the path of a credentials file that this process can read."
    tls = options["TLS"]
    if isinstance(tls, Mapping):
        if set(tls) - set(TLS_FILES) or not all(Path(path).is_file() for path in tls.values()):
            yield "TLS", "Give True, or paths of readable files: CA, CERT, KEY."
    elif tls not in (None, False, True):
        yield "TLS", "Give True, or paths of readable files: CA, CERT, KEY."
