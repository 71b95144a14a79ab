"""Event handlers: whether anybody runs them, and what they can't get past."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from via_state.bookkeeping.database.counting import Letters
from via_state.bookkeeping.positions import BLOCKED
from via_state.core.findings import Finding, bad, lasted, several
from via_state.operations.condition import TROUBLES, Condition, Trouble, at_least

#: What is named of each kind.
MOST = 5
#: Seconds that a handler may fail at one record.
STUCK = 60.0


def halted_handlers(condition: Condition) -> list[Finding]:
    """Those that wait for an operator, then those that fail again and again; each cause once, with its keys."""
    halted = _by_cause(one for one in condition.troubles if one.halted)
    stuck = _by_cause(one for one in condition.troubles if not one.halted and one.age >= STUCK)
    worst = sorted(stuck, key=lambda some: -max(one.age for one in some))
    return [_halted(some) for some in halted[:MOST]] + [_stuck(some) for some in worst[:MOST]]


def _by_cause(troubles: Iterable[Trouble]) -> list[list[Trouble]]:
    """Troubles of one handler for the same reason, together."""
    found: dict[tuple[object, ...], list[Trouble]] = {}
    for one in troubles:
        found.setdefault((one.handler, one.halted, one.halted_text, one.error), []).append(one)
    return list(found.values())


def _keys(some: list[Trouble]) -> str:
    """Whose, and on which keys: the first ones, and how many more were read."""
    named = ", ".join(repr(one.at.key) for one in some[:MOST])
    least = "at least " if len(some) >= TROUBLES else ""
    more = f" and {least}{len(some) - MOST} more" if len(some) > MOST else ""
    return f"{some[0].at.name!r} on {named}{more}"


def _halted(some: list[Trouble]) -> Finding:
    one = some[0]
    where = f"--key '{one.at.key}'" if len(some) == 1 else f"--log '{one.at.template}'"
    text = f"{_keys(some)} is halted ({one.halted}): {one.halted_text}"
    return bad("D311", text, f"manage.py resume_handler {one.at.name} WHERE {where} --dry-run")


def _stuck(some: list[Trouble]) -> Finding:
    one, most = some[0], max(each.attempts for each in some)
    how = (
        f"failed {'' if len(some) == 1 else 'up to '}{several(most, 'time', 'times')} at one record"
        if most
        else "can't continue"
    )
    text = f"{_keys(some)} {how}, for {lasted(max(each.age for each in some))}: {one.error}"
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
