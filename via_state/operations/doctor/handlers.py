"""Event handlers: whether anybody runs them, and what they can't get past."""

from __future__ import annotations

from collections.abc import Collection

from via_state.bookkeeping.database.counting import Letters
from via_state.bookkeeping.positions import BLOCKED
from via_state.core.findings import Finding, bad, lasted, several
from via_state.operations.condition import Condition, Trouble, at_least

#: What is named of each kind.
MOST = 5
#: Seconds that a handler may fail at one record.
STUCK = 60.0


def halted_handlers(condition: Condition) -> list[Finding]:
    """Those that wait for an operator, then those that fail again and again."""
    halted = [one for one in condition.troubles if one.halted]
    found = [
        bad(
            "D311",
            f"{one.at.name!r} on {one.at.key!r} is halted ({one.halted}): {one.halted_text}",
            f"manage.py resume_handler {one.at.name} WHERE --key '{one.at.key}' --dry-run",
        )
        for one in halted[:MOST]
    ]
    stuck = sorted(
        (one for one in condition.troubles if not one.halted and one.age >= STUCK), key=lambda one: -one.age
    )
    return found + [_stuck(one) for one in stuck[:MOST]]


def _stuck(one: Trouble) -> Finding:
    how = f"failed {one.attempts} times at one record" if one.attempts else "can't continue"
    text = f"{one.at.name!r} on {one.at.key!r} {how}, for {lasted(one.age)}: {one.error}"
    hint = "Mend the cause: it is tried again by itself. Or move the record into the dead letters in the admin."
    if one.error == BLOCKED:
        hint = "Finish, or roll back, the deploy: it continues by itself then, and nothing needs to be moved."
    return bad("D311", text, hint)


def no_worker(condition: Condition, code: Collection[tuple[str, str]]) -> list[Finding]:
    """``code``: the handlers that are declared, by declared key and name."""
    known = len(condition.handlers)
    if any(one.alive for one in condition.workers) or not (known or code):
        return []
    number, be = (known, "registered") if known else (len(code), "declared")
    what = several(number, f"event handler is {be}", f"event handlers are {be}")
    last = ""
    if condition.workers:
        one = condition.workers[0]
        last = f" The last one, {one.name}, was heard of until {one.lease_until:%Y-%m-%d %H:%M:%S}."
    return [bad("D301", f"{what}, and no worker is alive.{last}", "Start one: manage.py run_projectors")]


def orphans(condition: Condition, code: Collection[tuple[str, str]]) -> list[Finding]:
    """Those that are registered, and in no code."""
    return [
        bad(
            "D302",
            f"The event handler {name!r} of {log!r} is registered and in no code of this project: its log keeps all records that it "
            "has not had.",
            f"manage.py retire_handler {name} --log '{log}'; if it was renamed: manage.py rename_handler {name} NEW --log '{log}'",
        )
        for log, name in sorted({(one.template, one.name) for one in condition.handlers} - set(code))[:MOST]
    ]


def dead_letters(condition: Condition) -> list[Finding]:
    """Those that wait for a person, by handler."""
    worst = sorted(condition.letters.items(), key=lambda one: -one[1].number)
    return [
        bad(
            "D303",
            _waiting(handler, log, letters),
            f"Mend the cause, then manage.py replay_dead_letters --handler {handler}",
        )
        for (handler, log), letters in worst[:MOST]
    ]


def _waiting(handler: str, log: str, letters: Letters) -> str:
    whose, age = f"of {handler!r} on {log!r}", lasted(letters.age)
    one, many = (
        f"dead letter {whose} waits for a person, for",
        f"dead letters {whose} wait for a person, the oldest for",
    )
    return f"{several(letters.number, one, many, at_least(letters.number))} {age}."
