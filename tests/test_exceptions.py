"""Every error says what to do, and whoever catches it can tell whether to try again."""

from __future__ import annotations

import inspect

import pytest

from via_state import exceptions
from via_state.exceptions import OutcomeUnknown, Transient, ViaStateError

ERRORS = [
    one
    for _, one in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(one, Exception) and one.__module__ == exceptions.__name__
]
#: The same call would fail again: it, the declaration or the deployed code must change first.
FINAL = {
    "AppendTooLarge", "BroadcastTooLarge", "LiveScriptsDisabled", "CASConflict", "CellFromNewerVersion", "CellUnreadable", "Closed", "LoopEnded", "DeclarationError", "EpochChanged",
    "EventRefused", "FragmentUnknown", "GreenThreads", "InvalidKey", "InvalidOffset", "MessageTooLarge", "NotBound", "NotFollowed", "NotInLiveBlock", "NotInTransaction", "SessionEnded", "SessionRequired", "SharedFragmentIsPersonal", "StateInPureFunction", "SyncVerbInEventLoop", "UserRequired",
    "ValueRefused", "ValueTooLarge",
}  # fmt: skip
#: What handlers raise, and what tells a runner that it is not the one any more.
SIGNALS = {"Fenced", "Poison", "RetryAfter"}


@pytest.mark.parametrize("error", ERRORS, ids=lambda one: one.__name__)
def test_an_error_has_one_of_three_fates(error: type[Exception]) -> None:
    if error is ViaStateError or error.__name__ in SIGNALS:
        return
    fates = [issubclass(error, Transient), issubclass(error, OutcomeUnknown), error.__name__ in FINAL]
    assert sum(fates) == 1, "make it a Transient or an OutcomeUnknown, or list it as final"


@pytest.mark.parametrize("error", ERRORS, ids=lambda one: one.__name__)
def test_an_error_says_what_it_means(error: type[Exception]) -> None:
    assert "." in (error.__doc__ or ""), "a sentence, at least"
