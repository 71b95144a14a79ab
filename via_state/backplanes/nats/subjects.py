"""What a prefix owns on the server: two streams and the subjects of their messages."""

from __future__ import annotations

from typing import NamedTuple

from via_state.backplanes.nats.tokens import encoded, is_ours, key_of, token_of

#: Headers of ours. A key whose token is only a digest travels whole in the first.
FULL_KEY = "Via-Key"
COUNT = "Via-Count"
EXPIRES_IN = "Via-Expires-In"
WRITE_ID = "Via-Write-Id"


class Subjects(NamedTuple):
    """The names of one prefix."""

    prefix: str

    @property
    def log_stream(self) -> str:
        return f"{self.prefix}_log"

    @property
    def bucket(self) -> str:
        return f"{self.prefix}_cells"

    @property
    def cell_stream(self) -> str:
        return f"KV_{self.bucket}"

    @property
    def records(self) -> str:
        """Before the token of a log's records."""
        return f"{self.prefix}.log."

    @property
    def metas(self) -> str:
        """Before the token of a log's metadata: its epoch and its floor."""
        return f"{self.prefix}.meta."

    @property
    def cells(self) -> str:
        """Before the token of a cell."""
        return f"$KV.{self.bucket}."

    @property
    def bells(self) -> str:
        """Before the token of a key that moved."""
        return f"{self.prefix}.bell."

    @property
    def live(self) -> str:
        """Before the topic of a message, which no stream keeps."""
        return f"{self.prefix}.live."

    def key_in(self, subject: str, headers: dict[str, str]) -> str:
        """The key that a message is about. Raises ValueError for what is not ours, with the reason."""
        token = self.token_in(subject)
        if (key := key_of(token)) is not None:
            return key
        key = key_of(headers.get(FULL_KEY, ""))
        if not key or token_of(key) != token:
            raise ValueError(f"it lacks the header {FULL_KEY} with its key")
        return key

    def token_in(self, subject: str) -> str:
        """The token of a subject. Raises ValueError for what is not ours."""
        for before in (self.records, self.metas, self.cells):
            if subject.startswith(before) and is_ours(token := subject.removeprefix(before)):
                return token
        raise ValueError("its subject is not how we write a key")


def key_headers(key: str) -> dict[str, str]:
    """What a message of ``key`` says in addition to its subject."""
    return {FULL_KEY: encoded(key)} if key_of(token_of(key)) is None else {}
