"""Every error that via_state raises on purpose. Each one says what to do."""

from __future__ import annotations

__all__ = [
    "AppendOutcomeUnknown",
    "AppendTooLarge",
    "BackplaneRefused",
    "BackplaneUnavailable",
    "BroadcastFailed",
    "BroadcastTooLarge",
    "BroadcastTooOften",
    "CASConflict",
    "CellFromNewerVersion",
    "CellUnreadable",
    "Closed",
    "DeclarationError",
    "EpochChanged",
    "EventRefused",
    "Fenced",
    "FragmentUnknown",
    "GreenThreads",
    "InvalidKey",
    "InvalidOffset",
    "KeyHalted",
    "LiveScriptsDisabled",
    "LoopEnded",
    "MessageTooLarge",
    "NotBound",
    "NotCaughtUp",
    "NotFollowed",
    "NotInLiveBlock",
    "NotInTransaction",
    "NotMigrated",
    "OutcomeUnknown",
    "Poison",
    "RetryAfter",
    "SessionEnded",
    "SessionRequired",
    "SharedFragmentIsPersonal",
    "Stalled",
    "StateInPureFunction",
    "SyncVerbInEventLoop",
    "Transient",
    "UpdateContended",
    "UpdateOutcomeUnknown",
    "UserRequired",
    "ValueRefused",
    "ValueTooLarge",
    "ViaStateError",
]


class ViaStateError(Exception):
    """Base of all errors of via_state.

    An error has one of three fates. `Transient`: nothing was written, try again later. `OutcomeUnknown`: it may have been
    written, look before you try again. Any other: nothing was written, and the same call would fail again.
    """

    #: The server that did not answer, as log lines name it: "The database 'default'". Empty for all other errors.
    server = ""


class Transient(ViaStateError):
    """Nothing was written, and the cause passes: by itself, or when an operator has acted. Try again later.

    A view may answer 503 for all of these.
    """


class OutcomeUnknown(ViaStateError):
    """The request was sent and no answer came: it may have been done. Look before you try again.

    A backplane raises it as it is; pods ask again with the same id, and raise one of its subclasses when that does not help.
    """


# --- declaring and addressing -----------------------------------------------------------------------------


class DeclarationError(ViaStateError, TypeError):
    """A declaration can't work. The message names it and says what to write instead."""


class InvalidKey(ViaStateError, ValueError):
    """A family parameter is missing, unknown or of a type that has no stable text.

    Pass every parameter of the key's template as a string, an integer or a UUID.
    """


class InvalidOffset(ViaStateError, ValueError):
    """What was given is not an offset that says its epoch, or the text of one.

    Pass what ``append`` returned. Between processes send ``offset.token()``, and read it with ``Offset.parse(token)``.
    """


class NotBound(ViaStateError, TypeError):
    """Session or user state was used without saying whose.

    Bind it first: ``Feed(request).profile``, or with a WebSocket's ``scope``, a session, or a user.
    """


class SessionRequired(ViaStateError):
    """There is no session that could hold the value, and none may be created here.

    A WebSocket can't set a cookie: make the first write from an HTTP request, or add SessionMiddleware.
    """


class SessionEnded(ViaStateError):
    """The session that this value belonged to was flushed (a logout). Bind to the new session."""


class UserRequired(ViaStateError):
    """An anonymous visitor has no user state. Ask ``request.user.is_authenticated`` before writing."""


# --- calling ----------------------------------------------------------------------------------------------


class SyncVerbInEventLoop(ViaStateError, RuntimeError):
    """A blocking verb was called inside a running event loop, which it would stall.

    Await the twin that the message names, or call the verb through ``sync_to_async``.
    """


class StateInPureFunction(ViaStateError, RuntimeError):
    """A fold, an upcaster, a migration or a function for ``default=`` called a verb of a state.

    What they give must follow from their arguments alone: every process calls them, at its own time. Put what a fold needs to know
    into the event, when it is appended.
    """


class NotInTransaction(ViaStateError):
    """``append_on_commit`` was called in a transaction of another database than ``VIA_STATE["DATABASE"]``.

    Nothing was written. The message says what the transaction should be, or what to call instead.
    """


class NotCaughtUp(Transient, TimeoutError):
    """This pod did not come to the asked offset or revision in time. Read without ``at_least``, or wait longer."""


class EpochChanged(ViaStateError):
    """The offset belongs to another generation of the log, which was restored or recreated. Drop the offset."""


class KeyHalted(Transient):
    """The projection of this key is halted; the message says why. It resumes when the cause is gone."""


# --- values and events ------------------------------------------------------------------------------------


class EventRefused(ViaStateError, TypeError):
    """The event can't be appended: a type that this log does not declare, or fields that do not encode.

    Nothing was written. The message names the field.
    """


class ValueRefused(ViaStateError, TypeError):
    """The new value of a cell does not encode as the declared type. Nothing was written."""


class ValueTooLarge(ViaStateError, ValueError):
    """The new value of a cell is larger than the backplane takes. Nothing was sent.

    Keep less in one value: a family with a key for each part, or a `StateAppEvents` where it only grows.
    """


class CellUnreadable(ViaStateError):
    """The stored value no longer decodes as the declared type; it is kept as it is and never overwritten.

    Restore the type (or give the field a default), or call ``reset(force=True)`` to discard the stored value.
    """


class CellFromNewerVersion(ViaStateError):
    """The stored value was written by a newer version of the code. Deploy that version; nothing is overwritten."""


class UpdateContended(Transient):
    """Other writers won every round until the time was up. Nothing was written by this call.

    For a hot key declare a `StateAppEvents`: appends never conflict.
    """


class UpdateOutcomeUnknown(OutcomeUnknown):
    """The connection broke during the write, and whether it took effect can no longer be told. Read, then decide."""


# --- the backplane ----------------------------------------------------------------------------------------


class BackplaneUnavailable(Transient):
    """The backplane can't be reached. Nothing was written; try again, and look at the backplane's server."""


class Stalled(BackplaneUnavailable):
    """A log whose head is ahead brings no records. It is asked again; if that lasts, look at the backplane's server."""


class BackplaneRefused(BackplaneUnavailable):
    """The server answered, and refuses what was asked: a right, a table or a setting is missing. Nothing was written.

    Waiting does not help: somebody has to change what the message names.
    """


class AppendOutcomeUnknown(OutcomeUnknown):
    """The append was sent, no answer came, and the time in which the backplane can tell is over.

    It may or may not be in the log. Look before you append it again.
    """


class AppendTooLarge(ViaStateError, ValueError):
    """The append is larger than the backplane takes. Nothing was sent; append less at once."""


class MessageTooLarge(ViaStateError, ValueError):
    """The message is larger than the backplane carries. Nothing was sent; say less, or append it to a log."""


class BroadcastTooLarge(ViaStateError, ValueError):
    """The broadcast is larger than a carrier takes. No tab was told anything; say less, and let a live block show the rest."""


class BroadcastFailed(OutcomeUnknown):
    """The tabs of this process were told; whether those of other processes are is not known. The message says what failed.

    Do not repeat it blindly: tabs that were told would be told twice.
    """


class BroadcastTooOften(Transient):
    """This process says more than ``VIA_STATE["BROADCAST_RATE"]`` allows. No tab was told anything.

    Each broadcast is sent to every tab: keep what changes often in state, which live pages show at their own pace.
    """


class LiveScriptsDisabled(ViaStateError):
    """A script was to run in pages, and ``VIA_STATE["LIVE_SCRIPTS"]`` is not True. Nothing was sent."""


class CASConflict(ViaStateError):
    """Another writer replaced the cell first. ``update`` retries by itself.

    ``cell`` is what the store had after that, a `Cell`, or None where it is absent: whoever tries again need not load it.
    """

    def __init__(self, text: str, cell: object = None) -> None:
        super().__init__(text)
        self.cell = cell


class Closed(ViaStateError):
    """The backplane was closed. Get the current one instead of keeping an old reference."""


class LoopEnded(Closed):
    """The background thread of this process, which does all work of via_state, has ended; or it is one of another process.

    Where the message names a fault, restart the process: what it says is in the log, with its traceback.
    """


class GreenThreads(ViaStateError):
    """gevent or eventlet has replaced the threads of this process, so that via_state can't have one of its own.

    Nothing was read or written. Serve the project with real threads or with asyncio.
    """


class NotMigrated(BackplaneRefused):
    """The backplane's tables are missing. Run ``manage.py migrate``."""


# --- live pages -------------------------------------------------------------------------------------------


class FragmentUnknown(ViaStateError, LookupError):
    """No function is declared for this template. Decorate one with ``@live.fragment("app/_template.html")`` in a ``state.py``."""


class SharedFragmentIsPersonal(ViaStateError):
    """A fragment with ``shared=True`` uses what differs from visitor to visitor. The message names it.

    It is rendered once for all. Leave ``shared`` out, or move that part out of it.
    """


class NotInLiveBlock(ViaStateError, AttributeError):
    """A live block asked for a part of the request that is gone when the block is rendered again. The message says what to use instead."""


class NotFollowed(ViaStateError):
    """A live block reads state that a page can't follow: too many keys, or those of somebody else. The message says which."""


# --- event handlers ---------------------------------------------------------------------------------------


class RetryAfter(ViaStateError):
    """Raise it in an event handler to be called again with the same record in ``seconds``.

    It is not an attempt: a record waits as often as its handler asks for time. With ``counts=True`` it is one, and the record is
    given up as the handler's ``retry=`` says. ``raise RetryAfter(60) from error`` keeps the cause in sight.
    """

    def __init__(self, seconds: float, *, counts: bool = False) -> None:
        given: object = seconds
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < 10**9:
            raise ValueError(f"RetryAfter({seconds!r}): give a number of seconds.")
        super().__init__(seconds)
        self.seconds = float(seconds)
        self.counts = counts

    def __str__(self) -> str:
        return f"asked to be called again in {self.seconds:g} s"


class Poison(ViaStateError):
    """Raise it in an event handler for a record that will never succeed: it becomes a dead letter at once.

    Give the reason, for the person who looks at it.
    """


class Fenced(ViaStateError):
    """Inside a worker only: another worker runs this handler for this key now. What was not committed is its work."""
