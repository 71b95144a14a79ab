"""A process that writes: ``python -m tests.cluster.chaos_worker append|lanes|update NAME COUNT``; prints what it knows as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import django


def main(job: str, name: int, count: int) -> None:
    django.setup()
    from tests.cluster.shared_state import Shared, Step
    from via_state.exceptions import AppendOutcomeUnknown, UpdateOutcomeUnknown

    unknown = 0
    if job == "append":
        acknowledged = {}
        for number in range(count):
            try:
                acknowledged[int(Shared.steps.append(Step(name * 100_000 + number)))] = name * 100_000 + number
            except AppendOutcomeUnknown:
                unknown += 1
        print(json.dumps({"acknowledged": acknowledged, "unknown": unknown}), flush=True)
        last = int(sys.stdin.readline())  # the test says up to where everybody wrote
        epoch = Shared.steps.status().position.epoch
        while Shared.steps.status().position.offset < last:
            Shared.steps.read()
        print(json.dumps({"digest": Shared.steps.read(), "epoch": epoch}), flush=True)
    elif job == "lanes":
        print(json.dumps(asyncio.run(append_to_lanes(name, count))), flush=True)
    else:
        done = 0
        for _ in range(count):
            try:
                Shared.total.update(lambda old: old + 1)
                done += 1
            except UpdateOutcomeUnknown:
                unknown += 1
        print(json.dumps({"acknowledged": done, "unknown": unknown}), flush=True)
        total = int(sys.stdin.readline())  # the test says what the database holds
        while Shared.total.read() != total:
            time.sleep(0.01)
        print(json.dumps({"total": total}), flush=True)


async def append_to_lanes(name: int, count: int) -> dict[str, list[tuple[int, int]]]:
    """So many appends to each lane, one after the other, the lanes side by side. Gives offset and number of each, by lane."""
    from tests.cluster.shared_state import LANES, Shared, Step

    async def write(lane: int) -> list[tuple[int, int]]:
        numbers = range(name * 100_000, name * 100_000 + count)
        return [(int(await Shared.lane.at(lane=lane).aappend(Step(number))), number) for number in numbers]

    return dict(zip(map(str, range(LANES)), await asyncio.gather(*map(write, range(LANES))), strict=True))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
