"""Prometheus, from the system's packages: what the demo's processes count, with our alert rules."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from testproject.servers.ports import HOST, free_port
from testproject.servers.process import Process, ServerError
from testproject.servers.web import answers
from via_state.monitoring import FILES

MISSING = "Prometheus is not installed. On Debian and Ubuntu: apt-get install prometheus"
#: Seconds between two scrapes, and two judgements of the rules.
EVERY = 5


def installed() -> bool:
    """Whether there is one."""
    return shutil.which("prometheus") is not None


class Prometheus:
    """A server over ``folder``. ``targets``: addresses whose ``/metrics`` it reads, by job."""

    def __init__(self, folder: Path, targets: Mapping[str, Sequence[str]]) -> None:
        self.port = free_port()
        self.folder = folder
        self._targets = targets
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Raises `ServerError`."""
        server = shutil.which("prometheus")
        if server is None:
            raise ServerError(MISSING)
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "prometheus.yml"
        config.write_text(json.dumps(self._config(), indent=2))  # JSON is YAML
        options = [
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            "--storage.tsdb.retention.time=1d",
            f"--web.listen-address={HOST}:{self.port}",
        ]
        self._process = Process("Prometheus", [server, *options], self.folder / "prometheus.log", cwd=self.folder)
        self._process.start(lambda: answers(self.port, "/-/ready"))

    def _config(self) -> dict[str, object]:
        return {
            "global": {"scrape_interval": f"{EVERY}s", "evaluation_interval": f"{EVERY}s"},
            "rule_files": [str(FILES["alerts"])],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
                for job, addresses in self._targets.items()
            ],
        }

    @property
    def process(self) -> Process:
        assert self._process is not None, "start() comes first"
        return self._process

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()
