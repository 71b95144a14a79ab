"""What carries live pages to browsers: the channel layer, the cookies, and the policy of a project's pages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings as django_settings

from via_state.conf import settings
from via_state.core.findings import Finding, bad, unknown, well
from via_state.core.text import error_line

#: Seconds in which a channel layer gives back what was sent on it.
PING = 1.0
_HERE = "channels.layers.InMemoryChannelLayer"


def channel_layer() -> list[Finding]:
    """Whether the layer of ``CHANNEL_LAYERS`` carries a message over its server. That of via_state is its backplane: see D110."""
    layers: Any = getattr(django_settings, "CHANNEL_LAYERS", None) or {}
    path = layers.get("default", {}).get("BACKEND", "") if isinstance(layers, Mapping) else ""
    if not path or path.startswith("via_state."):
        return [well("D307", "No channel layer of another server is used.")]
    if path == _HERE:
        return [well("D307", "The channel layer is in memory: it is of one process, as W030 says.")]
    try:
        took = asyncio.run(_ping())
    except ImportError as error:
        return [unknown("D307", f"The channel layer can't be looked at: {error}")]
    except TimeoutError:
        why = f"what was sent did not come within {PING:g} s"
    except Exception as error:
        why = error_line(error)
    else:
        return [well("D307", f"The channel layer gave a message back after {took * 1000:.1f} ms.")]
    return [
        bad(
            "D307",
            f"The channel layer {path} carries nothing: {why}. Broadcasts, logouts and live.refresh reach the tabs of one process only.",
            "Start its server, or mend CHANNEL_LAYERS. Or leave it out: the backplane carries broadcasts then.",
        )
    ]


async def _ping() -> float:
    from channels.layers import channel_layers

    layer = channel_layers.make_backend("default")  # of its own: connections are of one event loop
    began = time.monotonic()
    async with asyncio.timeout(PING):
        channel = await layer.new_channel("via-state-doctor")
        await layer.send(channel, {"type": "via_state.doctor"})
        await layer.receive(channel)
    took = time.monotonic() - began
    if hasattr(layer, "close_pools"):
        await layer.close_pools()
    return took


def browsers() -> list[Finding]:
    """Whether browsers send the session's cookie with the socket of live pages, and may open it at all."""
    found = [*_cookies(), *_policies()]
    return found or [well("D308", f"Cookies go to {settings.LIVE_URL}, and no policy forbids the socket.")]


def _cookies() -> Iterable[Finding]:
    path = django_settings.SESSION_COOKIE_PATH
    if not str(settings.LIVE_URL).startswith(path):
        yield bad(
            "D308",
            f"The session's cookie is sent below {path!r} only, and the socket of live pages is {settings.LIVE_URL!r}: all visitors are "
            "strangers there.",
            "Set VIA_STATE['LIVE_URL'] to a path below SESSION_COOKIE_PATH.",
        )
    if (
        str(django_settings.SESSION_COOKIE_SAMESITE).lower() == "none"
        and not django_settings.SESSION_COOKIE_SECURE
    ):
        yield bad(
            "D308",
            "SESSION_COOKIE_SAMESITE is 'None' without SESSION_COOKIE_SECURE: browsers drop such a cookie, and nobody is signed in.",
            "Set SESSION_COOKIE_SECURE, or leave SESSION_COOKIE_SAMESITE out.",
        )


def _policies() -> Iterable[Finding]:
    for name, directives in _declared():
        given = {key.replace("_", "-"): value for key, value in directives.items()}
        for directive, use in (("connect-src", "open the socket"), ("script-src", "run the client script")):
            sources = given.get(directive, given.get("default-src"))
            if sources is not None and not _allows(sources, directive):
                yield bad(
                    "D308",
                    f"{name} lets no page {use}: its {directive} is {_shown(sources)}. Live pages poll, or stay as they were.",
                    f"""Add "'self'" to {directive}.""",
                )


def _declared() -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Policies that Django 6 and django-csp take from the settings."""
    if isinstance(own := getattr(django_settings, "SECURE_CSP", None), Mapping):
        yield "SECURE_CSP", own
    package: Any = getattr(django_settings, "CONTENT_SECURITY_POLICY", None)
    if isinstance(package, Mapping) and isinstance(inside := package.get("DIRECTIVES"), Mapping):
        yield "CONTENT_SECURITY_POLICY", inside


def _allows(sources: Any, directive: str) -> bool:
    """What may be a host of the project's own is taken for one."""
    values = [str(one) for one in ([sources] if isinstance(sources, str) else sources)]
    if any(one in ("*", "'self'", "'strict-dynamic'", "https:") or "nonce" in one.lower() for one in values):
        return True
    return any("." in one or (directive == "connect-src" and one.startswith("ws")) for one in values)


def _shown(sources: Any) -> str:
    return " ".join(map(str, [sources] if isinstance(sources, str) else sources)) or "empty"
