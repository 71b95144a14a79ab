"""Files that say who we are to the servers, and whom we trust: read when a connection is made, for they may change."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from via_state.exceptions import BackplaneRefused, BackplaneUnavailable
from via_state.redacted import Secret

#: Options that are paths of files with a seed in them, which are signed with.
SIGNED = ("CREDENTIALS", "NKEY")
_BLOCK = r"-----BEGIN {}-----\s+(\S+)\s+-{{5,6}}END"
_JWT, _SEED = (re.compile(_BLOCK.format(name)) for name in ("NATS USER JWT", "USER NKEY SEED"))


def can_sign() -> bool:
    """Whether the library that signs is there: the extra ``nats`` installs it."""
    try:
        import nkeys  # noqa: F401
    except ImportError:
        return False
    return True


def signing_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """nats-py's options for ``CREDENTIALS`` or ``NKEY``. Raises `BackplaneUnavailable`, `BackplaneRefused`.

    The files are not left to nats-py: it reads one without a JWT for ever.
    """
    option = next((name for name in SIGNED if options[name] is not None), None)
    if option is None:
        return {}
    if not can_sign():
        raise BackplaneRefused(
            f"{option} needs the package nkeys, which is not installed. Run: pip install 'via-state[nats]'"
        )
    text = _read(option, options[option])
    if option == "NKEY":
        _signer(option, Secret(text.strip()))  # so that what nats-py says of a wrong one is said by us
        return {"nkeys_seed": str(options[option])}
    jwt, seed = _JWT.search(text), _SEED.search(text)
    if jwt is None or seed is None:
        raise BackplaneRefused(
            "The file of CREDENTIALS is not one: it lacks a user's JWT or its seed. Write it again with: nsc generate creds"
        )
    token = Secret(jwt[1])
    return {"user_jwt_cb": lambda: bytearray(token().encode()), "signature_cb": _signer(option, Secret(seed[1]))}


def _signer(option: str, seed: Secret) -> Callable[[str], bytes]:
    import nkeys

    def sign(nonce: str) -> bytes:
        return base64.b64encode(nkeys.from_seed(bytearray(seed().encode())).sign(nonce.encode()))

    try:
        sign("")
    except Exception:  # whatever it makes of something else; not shown, for it may hold the seed
        raise BackplaneRefused(
            f"The seed in the file of {option} is not one: it must begin with SU, and be whole."
        ) from None
    return sign


def tls_options(given: Any) -> dict[str, Any]:
    """nats-py's options for ``TLS``. Raises `BackplaneUnavailable`, `BackplaneRefused`."""
    if not given:
        return {}
    files = given if isinstance(given, Mapping) else {}
    for name in ("CA", "CERT", "KEY"):
        if name in files:
            _read(f"TLS[{name!r}]", files[name])
    try:
        context = ssl.create_default_context(cafile=files.get("CA"))
        if "CERT" in files:
            context.load_cert_chain(files["CERT"], files.get("KEY"))
    except ssl.SSLError as error:
        raise BackplaneRefused(f"The files of TLS can't be used: {error}") from error
    except OSError as error:  # gone since they were read
        raise BackplaneUnavailable(f"The files of TLS can't be read: {error.strerror}.") from error
    return {"tls": context, "tls_handshake_first": bool(files.get("HANDSHAKE_FIRST"))}


def _read(option: str, path: Any) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except (OSError, ValueError) as error:
        # Not its text, which has the path: somebody may have written a key where its file's path belongs.
        why = getattr(error, "strerror", None) or "it is not a path"
        raise BackplaneUnavailable(
            f"The file of {option} can't be read: {why}. It is tried again with the next connection."
        ) from None
