"""What all commands have in common: what they print stays one line and moves nothing on a terminal, and so does what keeps them
from their work.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, OutputWrapper
from django.core.management.color import Style
from django.db import Error as DatabaseFailure

from via_state.conf import settings
from via_state.core.text import one_line
from via_state.exceptions import ViaStateError
from via_state.runtime.database_errors import sentence

MOST = 10_000  # characters of a line


def counted(number: int, noun: str) -> str:
    """``1 log``, ``2 logs``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


class _Ready(str):
    """Text that is clean, with the escape sequences that it should have: a stream adds no colour of its own."""

    __slots__ = ()


class _Output(OutputWrapper):
    def __init__(self, out: OutputWrapper) -> None:
        super().__init__(out._out, out.ending)  # type: ignore[arg-type]
        self.style_func = out.style_func

    def write(  # type: ignore[override]
        self, msg: str = "", style_func: Callable[[str], str] | None = None, ending: str | None = None
    ) -> None:
        if isinstance(msg, _Ready):
            super().write(msg, style_func or str, ending)
        else:
            super().write(one_line(msg, MOST), style_func, ending)


class _Colours:
    """Django's styles; each cleans the text before it colours it."""

    def __init__(self, style: Style) -> None:
        self._style = style

    def __getattr__(self, role: str) -> Callable[[str], str]:
        colour: Callable[[str], str] = getattr(self._style, role)
        return lambda text: _Ready(colour(one_line(text, MOST)))


class StateCommand(BaseCommand):
    """A command: it implements `answer` where Django's implement ``handle``.

    What keeps a command from its work becomes one sentence and exit code 2: every error of ours and of a database, and a setting that
    Django refuses. The cause is kept for ``--traceback``.
    """

    def handle(self, *args: Any, **options: Any) -> None:
        before = self.stdout, self.stderr, self.style
        self.stdout, self.stderr = _Output(self.stdout), _Output(self.stderr)
        self.style = _Colours(self.style)  # type: ignore[assignment]
        try:
            self.answer(*args, **options)
        except CommandError as error:
            raise CommandError(one_line(str(error), MOST), returncode=error.returncode) from error.__cause__
        except (ViaStateError, ImproperlyConfigured) as error:
            raise CommandError(one_line(str(error) or type(error).__name__, MOST), returncode=2) from error
        except DatabaseFailure as error:
            raise CommandError(one_line(sentence(error, settings.DATABASE), MOST), returncode=2) from error
        except KeyboardInterrupt as error:
            if not self._called_from_command_line:  # type: ignore[attr-defined]
                raise
            raise CommandError("Interrupted.", returncode=130) from error
        finally:
            self.progress("")
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
