"""What the pictures are taken of: two pods and a worker over PostgreSQL, with nothing stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from testproject.demo import manage
from testproject.servers.postgres import Postgres
from testproject.web_pod import WebPod
from testproject.worker import Worker


@contextmanager
def stage() -> Iterator[tuple[list[WebPod], str]]:
    """The pods, and the password of the admin's user."""
    with TemporaryDirectory(prefix="via-state-picture-") as name, ExitStack() as running:
        folder = Path(name)
        folder.chmod(0o755)
        database = Postgres(folder / "postgres")
        running.callback(database.stop)
        database.start()
        environment = database.environment
        manage(environment, "migrate", "--verbosity", "0")
        password = manage(environment, "demo_admin")
        worker = Worker(folder, environment)
        running.callback(worker.process.stop)
        worker.start()
        pods = [WebPod(f"pod {number}", folder, environment, port=8000 + number) for number in (1, 2)]
        for pod in pods:
            running.callback(pod.process.stop)
            pod.start()
        yield pods, password
