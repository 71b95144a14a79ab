"""Every place where a text of somebody else could be logged, stored or printed goes through the one that cleans it."""

from __future__ import annotations

import ast
import importlib
import logging
import pkgutil
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management.base import CommandError
from django.db import models

import via_state
from via_state import logs
from via_state.fields import LineField, NameField, TraceField
from via_state.management import commands
from via_state.management.base import StateCommand

ROOT = Path(via_state.__file__).parent
SOURCES = [one for one in ROOT.rglob("*.py") if "testing" not in one.parts]


def calls(name: str) -> list[ast.Call]:
    """Of a function or method, wherever."""
    nodes = [node for source in SOURCES for node in ast.walk(ast.parse(source.read_text()))]
    found = [node for node in nodes if isinstance(node, ast.Call)]
    return [one for one in found if getattr(one.func, "attr", getattr(one.func, "id", "")) == name]


def test_every_logger_has_the_filter() -> None:
    names = {ast.unparse(call.args[0]).strip("'\"") for call in calls("getLogger")} - {"name"}
    assert names <= set(logs.LOGGERS), "name it in via_state/logs.py"
    for name in logs.LOGGERS:
        assert logs._FILTER in logging.getLogger(name).filters


def test_a_template_of_the_log_is_never_put_together() -> None:
    """Only arguments are cleaned: no f-string, and no text that a variable brings."""
    for name in ("debug", "info", "warning", "error", "exception"):
        for call in calls(name):
            if ast.unparse(call.func).startswith("logger."):
                template = call.args[0]
                constant = isinstance(template, ast.Name) and template.id.isupper()
                assert constant or isinstance(template, ast.Constant), ast.unparse(call)


def test_a_record_is_cleaned_whatever_its_arguments_are(
    caplog: pytest.LogCaptureFixture, log_values: None
) -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    log = logging.getLogger("via_state.pod")
    log.error("%s and %r, %s", "a\nb", "a\x1bb", ValueError("\x00\n"))
    log.error("%(key)s", {"key": "a\nb"})
    log.error("%s %d %.1f %s", Rude(), 7, 0.5, None)
    try:
        raise ValueError("first\nERROR second\x1b[2J")
    except ValueError:
        log.exception("it failed")
    assert [one.getMessage() for one in caplog.records[:3]] == [
        r"a\nb and 'a\x1bb', \x00\n", r"a\nb", "<Rude> 7 0.5 None"
    ]  # fmt: skip
    trace = str(caplog.records[3].exc_text)
    assert all(line.startswith("    ") for line in trace.split("\n"))
    assert "\x1b" not in trace


#: Texts that are names: of keys, epochs, code. They are compared, so they stay as they are; what may be one is decided
#: where keys and names are made.
NAMES = {
    "append_id", "code", "digest", "epoch", "event_name", "fingerprint", "handler", "holder", "home", "id", "key", "lane", "lease_owner", "log_hash", "template", "candidate_record_id", "compactable_record_id",
    "manifest", "members", "metadata", "name", "doorbell", "roles", "payload", "peer", "pod", "prefix", "reason", "halted", "record_id", "key_hash", "position_hash", "start", "status", "worker_group", "wanted_by", "worker",
}  # fmt: skip


def test_every_column_for_text_is_a_name_or_cleans_what_it_is_given() -> None:
    for model in apps.get_app_config("via_state").get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, models.CharField | models.TextField) and field.name not in NAMES:
                assert isinstance(field, LineField | NameField | TraceField), f"{model.__name__}.{field.name}"


def test_every_command_writes_through_one_place() -> None:
    found = [name for _, name, _ in pkgutil.iter_modules(commands.__path__)]
    assert len(found) > 7
    for name in found:
        command = importlib.import_module(f"{commands.__name__}.{name}").Command
        assert issubclass(command, StateCommand)
        assert command.handle is StateCommand.handle
        assert command.execute is StateCommand.execute


def test_the_error_of_a_command_is_one_line() -> None:
    class Failing(StateCommand):
        def answer(self, *args: object, **options: object) -> None:
            raise CommandError("no\nsuch \x1b[2J log", returncode=2)

    with pytest.raises(CommandError, match=r"^no\\nsuch \\x1b\[2J log$") as caught:
        Failing().handle()
    assert caught.value.returncode == 2
