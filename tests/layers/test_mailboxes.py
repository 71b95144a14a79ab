"""Messages that wait for their reader."""

from __future__ import annotations

from via_state.layers.mailboxes import Mailboxes


class Until(float):
    """A time that counts how often somebody looked at it."""

    looks = 0

    def __le__(self, other: float) -> bool:
        Until.looks += 1
        return super().__le__(other)

    def __gt__(self, other: float) -> bool:
        Until.looks += 1
        return super().__gt__(other)


def test_a_long_queue_costs_each_message_the_same() -> None:
    boxes = Mailboxes(lambda channel: 2000)
    Until.looks = 0
    for number in range(2000):
        assert boxes.put("channel", b"%d" % number, Until("inf"))
    assert [boxes.pop("channel") for _ in range(2000)] == [
        (b"%d" % number, float("inf")) for number in range(2000)
    ]
    assert Until.looks <= 3 * 2000


def test_what_has_expired_makes_room() -> None:
    boxes = Mailboxes(lambda channel: 2)
    assert boxes.put("channel", b"old", Until(0.0))
    assert boxes.put("channel", b"new", Until("inf"))
    assert boxes.put("channel", b"next", Until("inf"))
    assert not boxes.put("channel", b"too much", Until("inf"))
    assert boxes.pop("channel") == (b"new", float("inf"))
