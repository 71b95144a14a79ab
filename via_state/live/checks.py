"""System checks of what carries broadcasts, of the groups that they go to, and of the server."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags
from django.core.checks import Warning as CheckWarning
from django.template.autoreload import get_template_directories
from django.utils.module_loading import import_string

from via_state.backplanes.base import Backplane
from via_state.conf import settings
from via_state.documented import register
from via_state.live.announcing.carriers.choice import IN_MEMORY, chosen, layer_backend
from via_state.live.announcing.carriers.layer import ALIAS


@register("via_state")
def check_carrier(**_: Any) -> list[CheckMessage]:
    """E045: BROADCAST is "layer", and there is none."""
    if settings.problems() or settings.BROADCAST != "layer":
        return []
    try:
        import_string(layer_backend() or "no.layer")
    except ImportError as error:
        what = f"can't be imported: {error}" if layer_backend() else "is missing"
        return [
            Error(
                f"VIA_STATE['BROADCAST'] is 'layer', and CHANNEL_LAYERS[{ALIAS!r}] {what}.",
                hint="Set CHANNEL_LAYERS, or leave BROADCAST out: the backplane carries broadcasts then.",
                id="via_state.E045",
            )
        ]
    return []


@register("via_state")
def check_groups(**_: Any) -> list[CheckMessage]:
    """E043: LIVE_GROUPS names nothing that can be called."""
    path = settings.LIVE_GROUPS
    if settings.problems() or path is None:
        return []
    try:
        what = "" if callable(import_string(path)) else "is not a function"
    except ImportError as error:
        what = f"can't be imported: {error}"
    if not what:
        return []
    hint = "Name a function of the request that gives the names of its visitor's groups, or leave it out."
    return [Error(f"VIA_STATE['LIVE_GROUPS'] {path!r} {what}.", hint=hint, id="via_state.E043")]


@register("via_state")
def check_validation(**_: Any) -> list[CheckMessage]:
    """W035: a form is to be checked while it is filled in, and no template loads the script that does that."""
    forms: list[str] = []
    for path in (file for folder in get_template_directories() for file in Path(folder).rglob("*.html")):
        source = path.read_bytes()
        if re.search(rb"{%-?\s*via_validate\b", source):
            return []
        if b"data-via-validate" in source:
            forms.append(str(path))
    if not forms:
        return []
    return [
        CheckWarning(
            f"{min(forms)} has a form with data-via-validate, and no template has {{% via_validate %}}: nothing checks that form.",
            hint="Write {% via_validate %} once into the page, after {% via_scripts %}.",
            id="via_state.W035",
        )
    ]


@register(Tags.security, "via_state", deploy=True)
def check_carrier_of_deployment(**_: Any) -> list[CheckMessage]:
    """W030: broadcasts stay in one process. W031: scripts in pages. W032: broadcasts in clear in a Redis elsewhere."""
    if settings.problems() or (backplane := _backplane()) is None:
        return []
    found: list[CheckMessage] = []
    carrier = chosen(backplane)
    in_memory = carrier == "layer" and layer_backend() == IN_MEMORY
    if backplane.shared and (carrier == "local" or in_memory):
        why = (
            "VIA_STATE['BROADCAST'] is 'local'"
            if carrier == "local"
            else f"CHANNEL_LAYERS[{ALIAS!r}] is in memory"
        )
        found.append(
            CheckWarning(
                f"{why}: broadcasts, logouts and live.refresh reach the tabs of one process only.",
                hint="Leave BROADCAST out, which takes what there is, or set it to 'backplane'. If there is one process, silence this check.",
                id="via_state.W030",
            )
        )
    if settings.LIVE_SCRIPTS:
        found.append(
            CheckWarning(
                "VIA_STATE['LIVE_SCRIPTS'] is True: whoever may call broadcast_script runs what they like in every page.",
                hint="Use broadcast_signals and live blocks. If scripts are wanted, set a Content-Security-Policy with a nonce, which they carry.",
                id="via_state.W031",
            )
        )
    if carrier == "layer" and _in_clear():
        found.append(
            CheckWarning(
                "Broadcasts go to a Redis on another machine, and channels-redis does not encrypt them: they are sealed, so that nobody "
                "can make them up, and who reads there reads them.",
                hint=f"Give CHANNEL_LAYERS[{ALIAS!r}]['CONFIG'] symmetric_encryption_keys, or set BROADCAST to 'backplane'.",
                id="via_state.W032",
            )
        )
    return found


@register(Tags.security, "via_state", deploy=True)
def check_server_of_deployment(**_: Any) -> list[CheckMessage]:
    """W033: any host is taken for the site's own. W034: a daphne that takes frames of any size."""
    found: list[CheckMessage] = []
    if "*" in django_settings.ALLOWED_HOSTS:
        found.append(
            CheckWarning(
                "ALLOWED_HOSTS has '*': a page under any host name that leads to this server may open live connections to it.",
                hint="Name the hosts of the site: a live page may connect to the host that it came from.",
                id="via_state.W033",
            )
        )
    if (version := _version_of("daphne")) and version < BOUNDED_DAPHNE:
        found.append(
            CheckWarning(
                f"daphne {'.'.join(map(str, version))} keeps frames of any size in memory (CVE-2026-44545), before live pages can refuse them.",
                hint="pip install 'daphne>=4.2.2', or uninstall it where another server serves the project.",
                id="via_state.W034",
            )
        )
    return found


#: Since then it bounds what one frame may have.
BOUNDED_DAPHNE = (4, 2, 2)


def _version_of(package: str) -> tuple[int, ...]:
    """The numbers of the version that is installed; none where it is not."""
    try:
        return tuple(int(one) for one in re.findall(r"\d+", metadata.version(package))[:3])
    except metadata.PackageNotFoundError:
        return ()


def _backplane() -> type[Backplane] | None:
    try:
        found = import_string(settings.BACKEND)
    except ImportError:
        return None  # E011 says so
    return found if isinstance(found, type) and issubclass(found, Backplane) else None


def _in_clear() -> bool:
    """Whether the layer is one of channels-redis that sends to another machine, and does not encrypt."""
    if not layer_backend().startswith("channels_redis."):
        return False
    layers: Any = getattr(django_settings, "CHANNEL_LAYERS", {})
    config = layers[ALIAS].get("CONFIG", {})
    if config.get("symmetric_encryption_keys"):
        return False
    return any(not any(here in str(host) for here in _HERE) for host in config.get("hosts", []))


_HERE = ("127.0.0.1", "localhost", "[::1]", "unix:")
