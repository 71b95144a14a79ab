"""What visitors of the jobs' page may send."""

from __future__ import annotations

import secrets

from django import forms

from testproject.jobs.state import Started


class JobForm(forms.Form):
    """A new job."""

    what = forms.CharField(
        label="What is to be done",
        max_length=60,
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "Count the teapots"}),
        error_messages={
            "required": "Say what is to be done.",
            "max_length": "At most %(limit_value)d characters, not %(show_value)d.",
        },
    )

    def event(self) -> Started:
        """The job, with a number of its own."""
        return Started(secrets.token_hex(4), self.cleaned_data["what"])
