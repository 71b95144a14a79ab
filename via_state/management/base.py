"""What all commands have in common: whatever a line quotes, it stays one line and moves nothing on a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, OutputWrapper
from django.core.management.color import Style

from via_state.core.text import one_line

MOST = 10_000  # characters of a line


class _Ready(str):
    """Text that is clean, with escape sequences of ours."""

    __slots__ = ()


class _Output(OutputWrapper):
    def __init__(self, out: OutputWrapper) -> None:
        super().__init__(out._out, out.ending)  # type: ignore[arg-type]
        self.style_func = out.style_func

    def write(  # type: ignore[override]
        self, msg: str = "", style_func: Callable[[str], str] | None = None, ending: str | None = None
    ) -> None:
        super().write(msg if isinstance(msg, _Ready) else one_line(msg, MOST), style_func, ending)


class _Colours:
    """Django's styles; each cleans the text before it colours it."""

    def __init__(self, style: Style) -> None:
        self._style = style

    def __getattr__(self, role: str) -> Callable[[str], str]:
        colour: Callable[[str], str] = getattr(self._style, role)
        return lambda text: _Ready(colour(one_line(text, MOST)))


class StateCommand(BaseCommand):
    """A command: it implements `answer` where Django's implement ``handle``."""

    def handle(self, *args: Any, **options: Any) -> None:
        before = self.stdout, self.stderr, self.style
        self.stdout, self.stderr = _Output(self.stdout), _Output(self.stderr)
        self.style = _Colours(self.style)  # type: ignore[assignment]
        try:
            self.answer(*args, **options)
        except CommandError as error:
            raise CommandError(one_line(str(error), MOST), returncode=error.returncode) from error.__cause__
        finally:
            self.stdout, self.stderr, self.style = before

    def answer(self, *args: Any, **options: Any) -> None:
        """What the command does."""
        raise NotImplementedError

    def progress(self, text: str) -> None:
        """A line on a terminal that the next one replaces; an empty one removes it."""
        if self.stderr.isatty():
            self.stderr.write(_Ready(f"\r\033[K{one_line(text, MOST)}"), ending="")

    def document(self, found: Any) -> None:
        """A value as JSON, of several lines."""
        self.stdout.write(_Ready(json.dumps(found, indent=2)))
