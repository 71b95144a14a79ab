"""``make demo``: a real cluster on this machine. PostgreSQL, perhaps NATS and Redis, two web pods and a worker, perhaps Prometheus, until Ctrl-C."""

from __future__ import annotations

import argparse
import errno
import fcntl
import hashlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from testproject.servers.accounts import readable_by_others, shared_folder, unprivileged_account
from testproject.servers.nats import Nats
from testproject.servers.ports import why_unusable
from testproject.servers.postgres import Postgres
from testproject.servers.process import Process, ServerError, end_with
from testproject.servers.process import run as run_command
from testproject.servers.prometheus import MISSING, Prometheus, installed
from testproject.servers.redis import Redis
from testproject.servers.secret import secret
from testproject.web_pod import PROJECT, WebPod
from testproject.worker import Worker

PODS = 2
PORTS = range(1, 65536 - PODS + 1)
BACKPLANES = ("postgres", "nats")
#: What is in ``CHANNEL_LAYERS``: nothing, a layer over Redis, which carries broadcasts then, or ours.
LAYERS = ("none", "redis", "backplane")


class DemoError(Exception):
    """Why the demo can't run, and what to do."""


class Stopped(BaseException):
    """Somebody pressed Ctrl-C or sent SIGTERM."""


def stop(number: int, frame: FrameType | None) -> None:
    """Handle the first signal; what comes while everything is being stopped changes nothing."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise Stopped


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """One demo per folder: two would share its data."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise DemoError(f"The demo can't use {error.filename} ({error.strerror}). Say: make clean") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoError(
                "The demo is running already in this checkout. Stop it with Ctrl-C where it runs."
            ) from None
        yield


def data_folder(folder: Path) -> Path:
    """Where PostgreSQL keeps its data: in ``folder``, unless its account can't enter there."""
    account, inside = unprivileged_account(), folder / "postgres"
    if account is None or readable_by_others(folder):
        return inside
    name = hashlib.blake2b(str(folder).encode(), digest_size=6).hexdigest()
    aside = shared_folder(Path("/var/tmp")) / f"via-state-demo-{name}"  # outlives a reboot
    aside.mkdir(exist_ok=True)
    if aside.is_symlink() or aside.stat().st_uid not in (os.geteuid(), account.pw_uid):
        raise DemoError(f"{aside} belongs to another account, so it can't be trusted. Remove it.")
    if inside.is_symlink():
        inside.unlink()
    if not inside.exists():
        inside.symlink_to(aside)  # `make clean` follows it
    print(f"PostgreSQL's account can't enter {folder}; its data is in {aside}", flush=True)
    return aside


def ports(text: str) -> list[int]:
    """The pods' ports, all of them usable. Raises `DemoError`."""
    if not (text.isascii() and text.isdigit() and int(text) in PORTS):
        raise DemoError(
            f"PORT={text} is no port for the first pod: {PORTS[0]} to {PORTS[-1]}. Say: make demo PORT=9001"
        )
    found = [int(text) + number for number in range(PODS)]
    for port in found:
        if error := why_unusable(port):
            why = "is in use" if error.errno == errno.EADDRINUSE else f"can't be used ({error.strerror})"
            elsewhere = found[0] + 1000 if 1024 <= found[0] < 60000 else 9001
            raise DemoError(f"Port {port} {why}. Say: make demo PORT={elsewhere}")
    return found


def manage(environment: dict[str, str], *arguments: str) -> str:
    """What a command of manage.py prints. Raises `DemoError`."""
    command = [sys.executable, "manage.py", *arguments, "--settings", "testproject.settings"]
    done = run_command(command, cwd=PROJECT, env={**os.environ, **environment})
    if done.returncode:
        raise DemoError(f"manage.py {arguments[0]} failed:\n{done.stderr.strip()}")
    return done.stdout.strip()


def stop_together(processes: list[Process]) -> None:
    """They finish what they are doing at the same time, not one after another."""
    for process in processes:
        process.ask_to_stop()
    for process in processes:
        process.stop()


def watching(folder: Path, pods: list[WebPod], worker: Worker) -> Prometheus | None:
    """Prometheus beside all of them; where it is not installed, a sentence in its place. Raises `ServerError`."""
    if not installed():
        print(f"{MISSING}. The demo runs without it.", flush=True)
        return None
    print("Starting Prometheus...", flush=True)
    targets = {"web": [pod.address for pod in pods], "worker": [worker.address]}
    watcher = Prometheus(folder / "prometheus", targets)
    watcher.start()
    return watcher


def _here(path: str) -> str:
    """A path as one types it in the project's folder."""
    return os.path.relpath(path, PROJECT) if path.startswith(str(PROJECT)) else path


def check(name: str, given: str, known: Sequence[str]) -> None:
    """Raises `DemoError` for what ``make demo`` does not know."""
    if given not in known:
        raise DemoError(f"{name}={given} is none of: {', '.join(known)}. Say: make demo {name}={known[1]}")


def run(port: str, backplane: str, layer: str, folder: Path, *, monitor: bool = False) -> None:
    """Start everything, say where it is, and wait until something ends by itself. Raises `Stopped` in between."""
    check("BACKPLANE", backplane, BACKPLANES)
    check("LAYER", layer, LAYERS)
    with only_one(folder), ExitStack() as running:
        found = ports(port)
        print("Starting PostgreSQL...", flush=True)
        database = Postgres(data_folder(folder), passfile=folder / "pgpass")
        running.callback(database.stop)
        database.start()
        key = folder / "secret-key"
        secret(key)
        environment = {**database.environment, "VIA_SECRET_KEY_FILE": str(key)}
        servers = [database.process]
        if backplane == "nats":
            print("Starting NATS...", flush=True)
            token = folder / "nats-token"
            nats = Nats(folder / "nats", token=secret(token))
            running.callback(nats.stop)
            nats.start()
            environment |= {"VIA_NATS_SERVERS": f"nats://{nats.address}", "VIA_NATS_TOKEN_FILE": str(token)}
            servers.append(nats.process)
        if layer != "none":
            environment["VIA_LAYER"] = layer
        if layer == "redis":
            print("Starting Redis...", flush=True)
            password = folder / "redis-password"
            redis = Redis(folder / "redis", password=secret(password))
            running.callback(redis.stop)
            redis.start()
            environment |= {"VIA_REDIS": f"{redis.host}:{redis.port}", "VIA_REDIS_PASSWORD_FILE": str(password)}
            servers.append(redis.process)
        manage(environment, "migrate", "--verbosity", "0")
        admin_password = manage(environment, "demo_admin")
        pods = [WebPod(f"pod {number}", folder, environment, at) for number, at in enumerate(found, 1)]
        worker = Worker(folder, environment)
        projecting = [*(pod.process for pod in pods), worker.process]
        running.callback(stop_together, projecting)
        for pod in pods:
            print(f"Starting {pod.name}...", flush=True)
            pod.start()
        print("Starting the worker...", flush=True)
        worker.start()
        watcher = watching(folder, pods, worker) if monitor else None
        if watcher is not None:
            running.callback(watcher.stop)
            servers.append(watcher.process)
        print("\nTwo processes share one state. Open both side by side, and press the buttons in one of them:")
        for pod in pods:
            print(f"  {pod.url}/")
        print(
            "\nA worker ships the orders. What it gives up on, and how it stands, is in the admin, where notices to everybody are sent, too:"
        )
        print(f"  {pods[0].url}/admin/   user: admin   password: {admin_password}")
        print(f"  {worker.url}/metrics for Prometheus")
        if watcher is not None:
            print("\nPrometheus reads that of all three each 5 s, and judges the alert rules:")
            print(f"  {watcher.url}/alerts")
        print("\nHow their logs stand, from another terminal:")
        variables = " ".join(f"{name}={_here(value)}" for name, value in environment.items())
        print(f"  {variables} {_here(sys.executable)} manage.py state_status")
        print("\nCtrl-C stops them. What they stored is there again at the next start.", flush=True)
        running.callback(print, "\nStopping...", flush=True)
        processes = [*projecting, *servers]
        while all(process.running for process in processes):
            time.sleep(0.3)
        ended = next(process for process in processes if not process.running)
    raise DemoError(ended.ending())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m testproject.demo", description=__doc__)
    parser.add_argument("--port", default="8001", help="of the first pod; the second has the next one")
    parser.add_argument(
        "--backplane", default=BACKPLANES[0], help=f"what carries the state: {', '.join(BACKPLANES)}"
    )
    parser.add_argument("--layer", default=LAYERS[0], help=f"the channel layer: {', '.join(LAYERS)}")
    parser.add_argument("--monitor", action="store_true", help="run Prometheus beside it, where it is installed")
    parser.add_argument("--folder", type=Path, default=PROJECT / ".demo", help="for data and logs")
    parser.add_argument(
        "--end-with-parent", action="store_true", help="stop when the process that started this is gone"
    )
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    if options.end_with_parent:
        end_with(os.getppid())
    try:
        run(options.port, options.backplane, options.layer, options.folder.resolve(), monitor=options.monitor)
    except Stopped:
        print("Stopped.", flush=True)
    except (DemoError, ServerError) as error:
        sys.exit(f"\n{error}")


if __name__ == "__main__":
    main()
