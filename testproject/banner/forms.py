"""The banner's text, and a notice."""

from __future__ import annotations

from django import forms


class BannerForm(forms.Form):
    """One line."""

    text = forms.CharField(
        label="Text",
        max_length=120,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={
            "required": "Write something: the banner can't be empty.",
            "max_length": "The banner has at most %(limit_value)d characters, not %(show_value)d.",
        },
    )


class NoticeForm(forms.Form):
    """One line that nobody keeps."""

    notice = forms.CharField(
        label="Notice",
        max_length=120,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={
            "required": "Write something: an empty notice says nothing.",
            "max_length": "A notice has at most %(limit_value)d characters, not %(show_value)d.",
        },
    )
