"""What visitors say about themselves."""

from __future__ import annotations

from django import forms


class ProfileForm(forms.Form):
    """A name."""

    name = forms.CharField(
        label="Name",
        max_length=40,
        widget=forms.TextInput(attrs={"autocomplete": "nickname"}),
        error_messages={
            "required": "Give a name.",
            "max_length": "A name has at most %(limit_value)d characters, not %(show_value)d.",
        },
    )
