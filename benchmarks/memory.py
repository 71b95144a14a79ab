"""Figures that need no server: folding, and pods converging over the memory backplane."""

from __future__ import annotations

import time

import msgspec

from benchmarks.harness import Benchmark
from benchmarks.state import Bench, Tick
from via_state.testing import pods

EVENTS = 500_000
PACK = 1000
TICKS = [Tick()] * PACK


def fold() -> float:
    """Events per second that one pod reads and folds from a log that is there already."""
    with pods(2) as (writer, reader):
        for _ in range(EVENTS // PACK):
            Bench.ticks.using(writer).append_many(TICKS, wait=False)
        started = time.perf_counter()
        assert Bench.ticks.using(reader).read() == EVENTS
        return EVENTS / (time.perf_counter() - started)


def converge(n: int) -> float:
    """Events per second from the first append until ``n`` pods have folded all of them."""
    with pods(n) as cluster:
        bound = [Bench.ticks.using(pod) for pod in cluster]
        for ticks in bound:
            assert ticks.read() == 0
        started = time.perf_counter()
        for _ in range(EVENTS // PACK):
            last = bound[0].append_many(TICKS, wait=False)[-1]
        for ticks in bound:
            assert ticks.read(at_least=last, timeout=60) == EVENTS
        return EVENTS / (time.perf_counter() - started)


def decode_alone() -> float:
    """Raw: msgspec decoding the same packs into the same events."""
    envelope = msgspec.defstruct("Envelope", [("version", int), ("payload", Tick)], tag="Tick", array_like=True)
    decoder = msgspec.json.Decoder(list[envelope])  # type: ignore[valid-type]
    pack = msgspec.json.encode([envelope(1, tick) for tick in TICKS])
    started = time.perf_counter()
    for _ in range(EVENTS // PACK):
        decoder.decode(pack)
    return EVENTS / (time.perf_counter() - started)


def encode_and_decode_alone(n: int) -> float:
    """Raw: msgspec encoding the events once and decoding them ``n`` times."""
    encoder = msgspec.json.Encoder()
    decoder = msgspec.json.Decoder(list[tuple[str, int, Tick]])
    started = time.perf_counter()
    for _ in range(EVENTS // PACK):
        pack = encoder.encode([("Tick", 1, tick) for tick in TICKS])
        for _ in range(n):
            decoder.decode(pack)
    return EVENTS / (time.perf_counter() - started)


def benchmarks() -> list[Benchmark]:
    packs = f"{EVENTS:,} events in packs of {PACK}"
    return [
        Benchmark("fold", "events/s", fold, decode_alone, f"{packs}; raw: decoding alone"),
        *(
            Benchmark(
                f"converge-{n}",
                "events/s",
                lambda n=n: converge(n),  # type: ignore[misc]
                lambda n=n: encode_and_decode_alone(n),  # type: ignore[misc]
                f"{packs}, {n} pods; raw: encoding once, decoding {n} times",
            )
            for n in (1, 4)
        ),
    ]
