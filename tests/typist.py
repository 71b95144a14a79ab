"""Somebody who follows a page of the documentation to the letter, in an empty folder, with the built wheel."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from testproject.servers.ports import free_port
from testproject.servers.process import Process
from testproject.servers.waiting import wait_until
from testproject.servers.web import answers

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"(?:# |<!-- )(?P<name>[\w/.]+?)(?:, (?P<where>at the end|below|instead of [\w ]+))?(?: -->)?\n")
#: What a server says that watches files, whenever it starts; that it watches it says with DEBUG only.
WATCHING = "Quit the server with"
#: What runs until somebody presses Ctrl-C.
SERVERS = ("runserver", "uvicorn", "run_projectors")
PROGRAMS = {"python": [sys.executable], "django-admin": [sys.executable, "-m", "django"], "uvicorn": [sys.executable, "-m", "uvicorn"]}  # fmt: skip


class Typist:
    """Types one step of a page after the other. Ports that the page names become free ones."""

    def __init__(self, page: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.steps = {part.partition("\n")[0]: part for part in page.split("\n## ")[1:]}
        self.folder, self.environment = folder, dict(environment)
        self.running: list[tuple[str, Process]] = []
        self.installed: list[str] = []
        #: What stands for programs of others: called with the arguments.
        self.commands: dict[str, Callable[..., object]] = {}
        self._ports: dict[int, int] = {}
        self._before_last: dict[str, int] = {}
        self._written = folder  # the last file with Python

    def port(self, shown: int) -> int:
        """The port that stands for one of the page."""
        return self._ports.setdefault(shown, free_port())

    def follow(self, number: int) -> None:
        """Write the files and type the commands of a step; what it shows as output must come."""
        (step,) = [text for title, text in self.steps.items() if title.startswith(f"Step {number}:")]
        said = ""
        reloads, before, written = self.reloads(), dict(self.running), False
        for kind, text in BLOCK.findall(step):
            if kind == "console":
                said = "".join([self.type(line) for line in text.splitlines()])
            elif kind == "text":
                shown = re.escape(text.strip()).replace(r"\.\.\.", ".*")
                assert re.search(re.sub(r"(\\\s)+", r"\\s+", shown), said, re.DOTALL), said
            else:
                self.write(text)
                written = written or kind == "python"
        if written:
            now = dict(self.running)  # what the step itself started again read what was written
            self.wait_for_reload({name: count for name, count in reloads.items() if now[name] is before[name]})

    def write(self, block: str) -> None:
        """A file, or the end of one."""
        named = FILE.match(block)
        assert named, block
        name, text = named["name"], block[named.end() :]
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text() if named["where"] else ""
        if (named["where"] or "").startswith("instead"):
            before = before[: self._before_last[name]]
        self._before_last[name] = len(before)
        path.write_text(f"{before}\n\n{text}" if before else text)
        if path.suffix == ".py":
            self._written = path

    def type(self, line: str) -> str:
        """A command; what it says. Servers keep running: one that is started again has been ended before."""
        line = re.sub(r"\b80\d\d\b", lambda port: str(self.port(int(port[0]))), line)
        program, *arguments = shlex.split(line, comments=True)
        if program == "pip":
            self.installed += arguments[1:]
            return ""
        if program in self.commands:
            self.commands[program](*arguments)
            return ""
        if "createsuperuser" in arguments:  # asks; the password is in the environment
            arguments += ["--noinput", "--username", "admin", "--email", "admin@example.com"]
        command = [*PROGRAMS[program], *arguments]
        server = (
            any(name in (program, *arguments[:2]) for name in SERVERS) and "--until-caught-up" not in arguments
        )
        if server:
            self.end(arguments[-1])
            self.start(arguments[-1], command)
            return ""
        done = subprocess.run(
            command, cwd=self.folder, env={**os.environ, **self.environment}, capture_output=True, text=True, check=False
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, name: str, command: list[str]) -> None:
        """Start a server, and wait until it answers, if it has a port."""
        log = self.folder / f"{name}.log"
        process = Process(
            name, command, log, env=self.environment, death_signal=signal.SIGKILL, cwd=self.folder
        )  # fmt: skip
        process.start(lambda: not name.isdecimal() or answers(int(name), "/"))
        self.running.append((name, process))

    def reloads(self) -> dict[str, int]:
        """How often each server that watches files has started."""
        return {name: count for name, _ in self.running if (count := self.said(name).count(WATCHING))}

    def wait_for_reload(self, before: Mapping[str, int]) -> None:
        """Wait until those servers have started again that watch what was written; others were ended.

        A server that has just started takes what it sees first as unchanged: where it was written a moment before, it is saved again.
        """

        def again() -> bool:
            started = self.reloads()
            return all(started[name] > count and answers(int(name), "/") for name, count in before.items())

        for _ in range(6):
            try:
                return wait_until(again, "the reload", timeout=30)
            except TimeoutError:
                before = {name: count for name, count in self.reloads().items() if name in before}
                self._written.touch()
        said = "".join(f"\n--- {name}\n{self.said(name)[-4000:]}" for name, _ in self.running)
        raise TimeoutError(f"No reload since {before}, however often it was saved.{said}")

    def said(self, name: str) -> str:
        """What a server has written."""
        return (self.folder / f"{name}.log").read_text()

    def end(self, name: str | None = None) -> None:
        """Ctrl-C for a server, or for all."""
        for running, process in [*self.running]:
            if name in (None, running):
                os.killpg(process.pid, signal.SIGINT)
                process.stop()
                self.running.remove((running, process))
