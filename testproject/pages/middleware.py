"""What every answer carries, and what a visitor sees while the backplane is away."""

from __future__ import annotations

import logging
import secrets

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin

from testproject.pages.answers import wants_json
from via_state.exceptions import OutcomeUnknown, Transient

logger = logging.getLogger(__name__)

#: For our pages: one script, which knows the nonce of this very answer. Nothing is evaluated, and markup becomes part of a page through
#: the client's policy ``via`` alone.
POLICY = [
    "default-src 'none'",
    "script-src 'nonce-{nonce}'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types via",
]
#: For Django's admin, whose scripts are files and know neither nonces nor Trusted Types.
ADMIN_POLICY = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    *(
        part
        for part in POLICY
        if part.startswith(("img-src", "connect-src", "form-action", "base-uri", "frame-ancestors"))
    ),
]

#: Nothing was done: the visitor may simply try again. The database's errors are those of the pages' own tables.
NOT_NOW = (Transient, OperationalError, InterfaceError)


class ContentSecurityPolicyMiddleware(MiddlewareMixin):
    """A strict policy. ``request.csp_nonce`` is where the tags of live pages look for the nonce."""

    def process_request(self, request: HttpRequest) -> None:
        request.csp_nonce = secrets.token_urlsafe(16)  # type: ignore[attr-defined]

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        match = request.resolver_match
        policy = ADMIN_POLICY if match is not None and match.app_name == "admin" else POLICY
        nonce = getattr(request, "csp_nonce", "")
        response.headers.setdefault("Content-Security-Policy", "; ".join(policy).format(nonce=nonce))
        return response


class UnavailableMiddleware(MiddlewareMixin):
    """503 and a sentence instead of a crash, for errors that pass by themselves."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, OutcomeUnknown):
            text = "It may or may not have been done: look before you try again."
        elif isinstance(error, NOT_NOW):
            text = "This can't be done at the moment. Nothing was changed; try again soon."
        else:
            return None
        logger.warning("%r: %s: %r", request.path, type(error).__name__, str(error))
        if wants_json(request):
            return JsonResponse({"error": text, "kind": type(error).__name__}, status=503)
        return render(request, "pages/unavailable.html", {"text": text}, status=503)
