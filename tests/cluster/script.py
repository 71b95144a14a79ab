"""A script that drives the test project over HTTP, with cookies, as anybody could."""

from __future__ import annotations

import json
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener


class Script:
    """Cookies do not tell ports apart: one script keeps its session on all pods of a host."""

    def __init__(self) -> None:
        self._cookies = CookieJar()
        self._opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(self._cookies))

    def get(self, url: str) -> Any:
        """The JSON answer of a page. Raises OSError (HTTPError) for anything but success."""
        return self._ask(Request(f"{url}?format=json"))

    def post(self, url: str, **fields: str) -> Any:
        """The JSON answer to a form, sent with the token."""
        self.get(url)
        headers = {"X-CSRFToken": self._token()}
        return self._ask(Request(f"{url}?format=json", urlencode(fields).encode(), headers, method="POST"))

    def sign_in(self, url: str, user: str, password: str) -> str:
        """The page of the admin that follows its login page."""
        self._open(Request(url))
        fields = {"username": user, "password": password, "csrfmiddlewaretoken": self._token()}
        return self._open(Request(url, urlencode(fields).encode(), method="POST")).decode()

    def _token(self) -> str:
        return next(cookie.value or "" for cookie in self._cookies if cookie.name == "csrftoken")

    def _ask(self, request: Request) -> Any:
        return json.loads(self._open(request))

    def _open(self, request: Request) -> bytes:
        with self._opener.open(request, timeout=30) as answer:
            return bytes(answer.read())
