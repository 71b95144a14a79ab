"""What visitors of a room may send."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import RegexValidator

from testproject.chat.state import Joined, Left, Posted

room_name = RegexValidator(r"\A[\w-]+\Z", "A room's name has letters, digits, - and _ only.")


class RoomForm(forms.Form):
    """The name of a room, in any script."""

    room = forms.CharField(
        label="Room",
        max_length=40,
        strip=False,
        validators=[room_name],
        error_messages={
            "required": "Give the room a name.",
            "max_length": "A room's name has at most %(limit_value)d characters.",
        },
    )


class LineForm(forms.Form):
    """A message; or with ``action``, that the visitor comes or goes."""

    text = forms.CharField(
        label="Message",
        max_length=500,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
        error_messages={"max_length": "A message has at most %(limit_value)d characters, not %(show_value)d."},
    )
    action = forms.ChoiceField(
        choices=[("post", "Send"), ("join", "Join"), ("leave", "Leave")],
        required=False,
        error_messages={"invalid_choice": "The action is one of: post, join, leave."},
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        posts = cleaned.get("action") in ("", "post")
        if posts and "text" in cleaned and not cleaned["text"]:
            self.add_error("text", "Write something: an empty message is not sent.")
        return cleaned

    def event(self, author: str) -> Posted | Joined | Left:
        """What is said or done by ``author``."""
        if self.cleaned_data["action"] == "join":
            return Joined(author)
        if self.cleaned_data["action"] == "leave":
            return Left(author)
        return Posted(author, self.cleaned_data["text"])
