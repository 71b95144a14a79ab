"""``make demo``: a real cluster on this machine. PostgreSQL and two web pods, until Ctrl-C."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from testproject.servers.postgres import Postgres, readable_by_others
from testproject.servers.process import HOST, Process, ServerError, answers

PROJECT = Path(__file__).resolve().parent.parent
FOLDER = PROJECT / ".demo"
PODS = 2


class DemoError(Exception):
    """Why the demo can't run, and what to do."""


@contextmanager
def only_one() -> Iterator[None]:
    """One demo per checkout: two would share a data folder."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoError(
                "The demo is running already in this checkout. Stop it with Ctrl-C where it runs."
            ) from None
        yield


def data_folder() -> Path:
    """Where PostgreSQL keeps its data: inside the project, unless its account can't enter there."""
    if os.geteuid() != 0 or readable_by_others(PROJECT):
        return FOLDER / "postgres"
    name = hashlib.blake2b(str(PROJECT).encode(), digest_size=6).hexdigest()
    aside = Path(tempfile.gettempdir()) / f"via-state-demo-{name}"
    print(f"PostgreSQL's account can't enter this folder; its data is in {aside}", flush=True)
    return aside


def check_ports(ports: list[int]) -> None:
    """Raise `DemoError` when a port can't be used."""
    if ports[0] < 1 or ports[-1] > 65535:
        raise DemoError(f"{ports[0]} is no port to begin with. Say: make demo PORT=9001")
    for port in ports:
        if answers(port):
            raise DemoError(f"Port {port} is in use. Say: make demo PORT={port + 1000 if port < 64000 else 9001}")


def migrate(environment: dict[str, str]) -> None:
    """Bring the database up to date."""
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    done = subprocess.run(
        command, cwd=PROJECT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DemoError(f"manage.py migrate failed:\n{done.stderr.strip()}")


def pod(name: str, port: int, environment: dict[str, str]) -> Process:
    """A web process of the test project."""
    return Process(
        name,
        [
            *(
                sys.executable,
                "-m",
                "uvicorn",
                "testproject.asgi:application",
                "--host",
                HOST,
                "--port",
                str(port),
            ),
            *("--log-level", "warning", "--timeout-graceful-shutdown", "2"),
        ],
        FOLDER / f"{name.replace(' ', '-')}.log",
        env={**environment, "VIA_POD_NAME": name},
        cwd=PROJECT,
    )


def serves(port: int) -> bool:
    """Whether a pod answers requests."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def run(port: int, stop: threading.Event) -> None:
    """Start everything, say where it is, and wait for ``stop`` or for something to end by itself."""
    ports = [port + number for number in range(PODS)]
    check_ports(ports)
    with only_one(), ExitStack() as running:
        print("Starting PostgreSQL...", flush=True)
        database = Postgres(data_folder())
        running.callback(database.stop)
        database.start()
        environment = {"VIA_DATABASE_PORT": str(database.port), "DJANGO_SETTINGS_MODULE": "testproject.settings"}
        migrate(environment)
        pods = []
        for number, pod_port in enumerate(ports, 1):
            print(f"Starting pod {number}...", flush=True)
            process = pod(f"pod {number}", pod_port, environment)
            running.callback(process.stop)
            process.start(lambda at=pod_port: serves(at))  # type: ignore[misc]
            pods.append(process)
        print("\nTwo processes share one state. Open both side by side, and press the buttons in one of them:")
        for pod_port in ports:
            print(f"  http://{HOST}:{pod_port}/")
        print("\nCtrl-C stops them. What they stored is there again at the next start.", flush=True)
        while not stop.wait(0.5):
            for process in [*pods, database.process]:
                if not process.running:
                    raise DemoError(f"{process.name} ended by itself. Its log ends:\n{process.tail()}")
        print("\nStopping...", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--port", type=int, default=8001, help="of the first pod; the second has the next one")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        run(parser.parse_args().port, stop)
    except (DemoError, ServerError) as error:
        sys.exit(f"\n{error}")


if __name__ == "__main__":
    main()
