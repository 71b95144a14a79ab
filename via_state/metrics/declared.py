"""How a metric is made: once, with what an operator must know of it."""

from __future__ import annotations

import collections
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Generic, Literal, NamedTuple, TypeVar

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.samples import Sample

M = TypeVar("M", Counter, Gauge, Histogram)
#: How the gauges of several processes of one machine are joined: those of processes that live.
Mode = Literal["livemin", "livemax", "livesum", "livemostrecent"]

FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
KEY = ("key",)
HANDLER = ("name", "key")


class Described(NamedTuple):
    """A metric as the catalogue lists it. ``worry``: when a person should look; empty where it is only to be drawn."""

    name: str
    kind: str
    labels: tuple[str, ...]
    unit: str
    text: str
    worry: str
    mode: str = ""
    module: str = ""


CATALOG: list[Described] = []


def describe(module: str, *metrics: Described) -> None:
    """Put metrics of a module into the catalogue."""
    CATALOG.extend(one._replace(module=module) for one in metrics)


def _caller() -> str:
    """The module that declares a metric."""
    return str(sys._getframe(2).f_globals["__name__"])


class Family(dict[tuple[str, ...], M], Generic[M]):
    """The children of a metric with labels, by their labels' values: prometheus-client's own look-up is ten times slower."""

    def __init__(self, metric: M) -> None:
        super().__init__()
        self._labels: Callable[..., M] = metric.labels

    def __missing__(self, labels: tuple[str, ...]) -> M:
        child = self[labels] = self._labels(*labels)
        return child


def counter(name: str, text: str, worry: str = "", unit: str = "count") -> Counter:
    """A counter without labels."""
    describe(_caller(), Described(f"{name}_total", "counter", (), unit, text, worry))
    return Counter(name, text)


def counters(
    name: str, text: str, labels: Sequence[str] = KEY, worry: str = "", unit: str = "count"
) -> Family[Counter]:
    """A counter with labels."""
    describe(_caller(), Described(f"{name}_total", "counter", tuple(labels), unit, text, worry))
    return Family(Counter(name, text, labels))


class Unset(Gauge):
    """A gauge that shows nothing before it is set: a process that never had a worker, or a loop, must not show one that failed at 0."""

    def _metric_init(self) -> None:
        """Done with the first figure."""

    def set(self, value: float) -> None:
        if not hasattr(self, "_value"):
            super()._metric_init()
        super().set(value)

    def _child_samples(self) -> Iterable[Sample]:
        return super()._child_samples() if hasattr(self, "_value") else ()


def gauge(
    name: str, text: str, mode: Mode, worry: str = "", unit: str = "count", *, from_start: bool = True
) -> Gauge:
    """A gauge without labels. ``from_start``: it is 0 before it is set."""
    describe(_caller(), Described(name, "gauge", (), unit, text, worry, mode))
    return (Gauge if from_start else Unset)(name, text, multiprocess_mode=mode)


def gauges(
    name: str, text: str, mode: Mode, labels: Sequence[str] = KEY, worry: str = "", unit: str = "count"
) -> Family[Gauge]:
    """A gauge with labels."""
    describe(_caller(), Described(name, "gauge", tuple(labels), unit, text, worry, mode))
    return Family(Gauge(name, text, labels, multiprocess_mode=mode))


class Tally(Histogram):
    """A histogram that takes figures quickly, and adds them up when it is looked at, when there are `MOST`, and when it is told to.

    prometheus-client's own takes two locks for each figure.
    """

    MOST = 1000

    def _metric_init(self) -> None:
        self._waiting: collections.deque[float] = collections.deque()
        super()._metric_init()

    def observe_all(self, values: Iterable[float]) -> None:
        """Observe each."""
        self._waiting.extend(values)
        if len(self._waiting) > self.MOST:
            self.add_up()

    def add_up(self) -> None:
        """Add up what was observed. From any thread."""
        values: list[float] = []
        with suppress(IndexError):
            while True:
                values.append(self._waiting.popleft())
        if values:
            self._sum.inc(sum(values))
            found = collections.Counter(bisect_left(self._upper_bounds, one) for one in values)
            for index, times in found.items():
                self._buckets[index].inc(times)

    def _child_samples(self) -> Iterable[Sample]:
        self.add_up()
        return super()._child_samples()


def histogram(
    name: str, text: str, worry: str = "", unit: str = "seconds", buckets: Sequence[float] = FAST
) -> Tally:
    """A histogram without labels."""
    describe(_caller(), Described(name, "histogram", (), unit, text, worry))
    return Tally(name, text, buckets=buckets)


def histograms(
    name: str,
    text: str,
    labels: Sequence[str] = KEY,
    worry: str = "",
    unit: str = "seconds",
    buckets: Sequence[float] = FAST,
) -> Family[Histogram]:
    """A histogram with labels."""
    describe(_caller(), Described(name, "histogram", tuple(labels), unit, text, worry))
    return Family(Histogram(name, text, labels, buckets=buckets))
