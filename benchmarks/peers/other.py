"""A process in the environment of the other packages."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from testproject.web_pod import PROJECT

#: Made by ``make bench-peers``.
PYTHON = PROJECT / ".venv-peers" / "bin" / "python"


class Other:
    """Runs a module of `others`. It is started at the first question, and has a database of its own."""

    def __init__(self, module: str, environment: dict[str, str]) -> None:
        # Imported: a task is found by the name of its module.
        command = [str(PYTHON), "-W", "ignore", "-c", f"from benchmarks.peers.others.{module} import main; main()"]
        self._module = module
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
        )
        self.version = str(self._answer()["version"])

    def figure(self, job: str) -> float:
        """Have it measured once."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{job}\n")
        self._child.stdin.flush()
        return float(self._answer()["figure"])

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._module} ended with status {self._child.wait()}.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        self._child.kill()
        self._child.communicate()
