"""Jobs that take a while, and what does them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from via_state import Delivery, State, StateApp, StateAppEvents, live

#: Jobs that the page shows.
REMEMBERED = 6
STEPS = 100
#: Seconds that a step takes.
PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Job:
    """A line of the list."""

    number: str
    what: str
    done: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """Somebody wants something done."""

    number: str
    what: str

    def fold(self, jobs: list[Job]) -> list[Job]:
        return [Job(self.number, self.what), *jobs][:REMEMBERED]


@dataclass(frozen=True, slots=True)
class Finished:
    """It is done."""

    number: str

    def fold(self, jobs: list[Job]) -> list[Job]:
        return [Job(one.number, one.what, done=True) if one.number == self.number else one for one in jobs]


class Jobs(State):
    queue = StateAppEvents(Started, Finished, key="jobs")
    steps = StateApp(int, key="job.{job}")


@live.fragment("jobs/_jobs.html", shared=True)
def jobs() -> dict[str, Any]:
    """The list. Its bars are nodes of their own: a step renders no list."""
    return {"jobs": Jobs.queue.read(), "steps": STEPS}


@Jobs.queue.on_event("work", Started)
def work(event: Started, delivery: Delivery) -> None:
    """Do a job, one step after the other. Where another worker takes over, it continues at the step that was reached."""
    steps = Jobs.steps.at(job=event.number)
    for step in range(steps.read() + 1, STEPS + 1):
        time.sleep(PAUSE)  # this is the work
        steps.set(step)
    Jobs.queue.append(Finished(event.number), wait=False)
