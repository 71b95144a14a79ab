"""``manage.py run_projectors``: a worker process."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from django.core.management.base import CommandError, CommandParser

from via_state.declarations.catalog import handled_logs
from via_state.handlers.projection_keeper import ProjectionKeeper
from via_state.handlers.worker import Worker
from via_state.health import why_dead, why_unready
from via_state.management.arguments import add_key_argument
from via_state.management.base import StateCommand, counted
from via_state.management.health import HealthServer
from via_state.operations.logs import check_keys, durable_pod
from via_state.operations.names import check_names
from via_state.pod.pod import Pod
from via_state.runtime import outage


class Command(StateCommand):
    help = (
        "Runs event handlers, folds logs so that they are snapshotted and compacted, and relays the outbox. Start as many as "
        "you like: they share the work, and take over from one that dies. The first SIGTERM or Ctrl-C lets what runs end, the "
        "second stops at once. Examples: manage.py run_projectors; manage.py run_projectors --handler ship --concurrency 4"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_key_argument(parser)
        parser.add_argument(
            "--handler",
            action="append",
            default=[],
            metavar="NAME",
            help="only these event handlers; nothing is folded then",
        )
        parser.add_argument(
            "--concurrency", type=int, default=8, metavar="N", help="handlers that run at once (8)"
        )
        parser.add_argument(
            "--until-caught-up",
            action="store_true",
            help="end when nothing more can be done now; with 1 if something is left, with 2 if a server refuses or is away for a minute",
        )
        parser.add_argument(
            "--metrics-port", type=int, metavar="PORT", help="serve /metrics, /livez and /readyz there"
        )
        parser.add_argument(
            "--metrics-host", default="127.0.0.1", metavar="HOST", help="at this address (127.0.0.1)"
        )

    def answer(self, *args: Any, **options: Any) -> None:
        pod = durable_pod()
        every = handled_logs(without_handlers=True)
        check_names(options["handler"], {name for log in every for name in log.handlers}, "event handler")
        if options["concurrency"] < 1:
            raise CommandError("--concurrency is a number from 1.", returncode=2)
        if options["metrics_port"] is not None and not 0 <= options["metrics_port"] <= 65535:
            raise CommandError("--metrics-port is a number from 0 (any free port) to 65535.", returncode=2)
        keys = set(options["key"])
        check_keys(options["key"], ())
        logs = handled_logs(options["handler"])
        wanted = _wanted(keys, every) if keys else None
        worker = Worker(
            pod.reconciler,
            pod.books.positions(),
            logs,
            concurrency=options["concurrency"],
            wanted=wanted,
            worker_group="\0".join(sorted(keys)),
        )
        keeper = None if options["handler"] else ProjectionKeeper(pod, every, wanted)
        self._run(pod, worker, keeper, options)

    def _run(self, pod: Pod, worker: Worker, keeper: ProjectionKeeper | None, options: dict[str, Any]) -> None:
        stop = threading.Event()

        def unready() -> str:
            if stop.is_set():
                return "This worker ends."
            return why_unready(pod) or ("" if worker.may_continue() else "The lease of this worker is over.")

        health = _health(options, lambda: why_dead(pod.thread), unready)
        with _signals(stop):
            self._work(pod, worker, keeper, options, stop, health)

    def _work(
        self,
        pod: Pod,
        worker: Worker,
        keeper: ProjectionKeeper | None,
        options: dict[str, Any],
        stop: threading.Event,
        health: HealthServer | None,
    ) -> None:
        try:
            self._start(pod, worker, keeper, stop, options["until_caught_up"])
            if health is not None:
                health.ready = True
            if not stop.is_set():
                count = sum(len(one.handlers) for one in worker.logs)
                self.stdout.write(f"Worker {worker.id[:12]} runs {counted(count, 'event handler')}.")
            if options["until_caught_up"]:
                self._catch_up(pod, worker, keeper, stop)
            else:
                self._wait(pod, worker, stop)
        finally:
            if health is not None:
                health.ready = False
            left = [f"{one.handler.name} on {one.key}" for one in worker.waiting()]
            if stop.is_set() and (busy := [f"{one.handler.name} on {one.key}" for one in worker.busy()]):
                self.stderr.write(
                    self.style.WARNING(
                        f"Waiting for {', '.join(busy[:10])} to end; the same signal again stops at once."
                    )
                )
            # The pod is the process's: a test, a task or a shell continues with it.
            if pod.thread.alive:
                pod.thread.call(pod.services.remove(*(one for one in (worker, keeper) if one is not None)))
            if self._called_from_command_line:  # type: ignore[attr-defined]
                pod.close()  # whatever it still has to write is waited for
            if health is not None:
                health.close()
        self.stdout.write(
            f"Worker {worker.id[:12]} has ended; it passed {counted(worker.measures.handled, 'record')}."
        )
        if options["until_caught_up"] and left and not stop.is_set():
            self.stderr.write(self.style.ERROR(f"Not caught up: {', '.join(left[:10])}"))
            raise SystemExit(1)

    def _start(
        self,
        pod: Pod,
        worker: Worker,
        keeper: ProjectionKeeper | None,
        stop: threading.Event,
        catching_up: bool,
    ) -> None:
        """A worker that comes up before its servers waits for them; one that is to catch up, for a minute."""

        async def start() -> None:
            await pod.services.start()
            await pod.services.add(worker)
            if keeper is not None:
                await pod.services.add(keeper)

        future, said, began = pod.thread.submit(start()), "", time.monotonic()
        try:
            while not future.done() and not stop.wait(0.05):
                if worker.waits_for and worker.waits_for != said:
                    said = worker.waits_for
                    self.stderr.write(self.style.WARNING(f"Not started yet: {said}"))
                if said and catching_up and time.monotonic() - began > outage.LONG:
                    raise CommandError(f"Not caught up, because nothing could be started: {said}", returncode=2)
            if future.done():
                future.result()
        finally:
            future.cancel()

    def _wait(self, pod: Pod, worker: Worker, stop: threading.Event) -> None:
        handled, shown = 0, time.monotonic()
        live = self.stderr.isatty()
        while not stop.wait(1.0):
            pod.thread.refuse_ended()
            if live:
                now = time.monotonic()
                rate = (worker.measures.handled - handled) / (now - shown)
                handled, shown = worker.measures.handled, now
                self.progress(
                    f"{counted(handled, 'record')}, {rate:,.0f}/s, {worker.measures.total_lag:,} before it, "
                    f"{worker.measures.stuck_now:,} stuck, {counted(len(worker.alive), 'worker')}"
                )
        self.progress("")

    def _catch_up(self, pod: Pod, worker: Worker, keeper: ProjectionKeeper | None, stop: threading.Event) -> None:
        async def settle() -> None:
            await pod.outbox.settle()
            await worker.settle(None)
            if keeper is not None:
                await keeper.settle()

        future = pod.thread.submit(settle())
        while not future.done():
            if stop.wait(0.05):
                future.cancel()
                return
            if (error := pod.reconciler.obstacle or pod.replicas.obstacle) is not None:
                future.cancel()
                raise CommandError(f"Not caught up: {error}", returncode=2)
        future.result()


def _health(options: dict[str, Any], dead: Callable[[], str], unready: Callable[[], str]) -> HealthServer | None:
    host, port = options["metrics_host"], options["metrics_port"]
    try:
        return None if port is None else HealthServer(host, port, dead, unready)
    except (OSError, UnicodeError) as error:
        raise CommandError(
            f"Nothing can be served at --metrics-host {host}, --metrics-port {port}: {error}", returncode=2
        ) from error


@contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    """Have signals set ``stop``. Only the main thread can; in another one whoever called the command ends the process."""
    main = threading.current_thread() is threading.main_thread()
    wanted = (signal.SIGTERM, signal.SIGINT) if main else ()
    before = {one: signal.signal(one, _stopper(stop)) for one in wanted}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _stopper(stop: threading.Event) -> Callable[[int, FrameType | None], None]:
    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    return on_signal


def _wanted(keys: set[str], every: Any) -> Callable[[str], bool]:
    templates = [log for log in every if log.spec.name in keys]
    return lambda key: key in keys or any(log.reads(key) for log in templates)
