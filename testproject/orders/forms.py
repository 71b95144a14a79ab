"""What visitors of the order book may send."""

from __future__ import annotations

import secrets
from typing import Any

from django import forms

from testproject.orders.state import AT_WORK, ON_STRIKE, REMEMBERED, Corrected, Order, Placed

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # none that looks like another one


def _text(label: str, longest: int, missing: str) -> forms.CharField:
    return forms.CharField(
        label=label,
        max_length=longest,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={
            "required": missing,
            "max_length": f"{label}: at most %(limit_value)d characters, not %(show_value)d.",
        },
    )


class OrderForm(forms.Form):
    """A new order."""

    item = _text("Item", 60, "Say what you order.")
    address = _text("Address", 120, "Say where it goes.")

    def event(self) -> Placed:
        """The order, with a number of its own."""
        return self.placed(self.cleaned_data["item"], self.cleaned_data["address"])

    @staticmethod
    def placed(item: str, address: str) -> Placed:
        """An order of this, with a number of its own."""
        return Placed("".join(secrets.choice(_LETTERS) for _ in range(6)), item, address)


class FillForm(forms.Form):
    """As many orders as the book shows, at once."""

    fill = forms.BooleanField()

    def events(self) -> list[Placed]:
        """The orders."""
        goods = ["Teapot", "Kettle", "Six cups", "Sugar bowl", "Milk jug", "Tray", "Tea towel", "Strainer"]
        streets = ["High Street", "Mill Lane", "Station Road", "Church Walk", "Harbour Row"]
        return [
            OrderForm.placed(goods[number % len(goods)], f"{number} {streets[number % len(streets)]}")
            for number in range(1, REMEMBERED + 1)
        ]


class CorrectionForm(forms.Form):
    """Another address for an order of the book."""

    order = _text("Order", 8, "Say which order.")
    address = _text("New address", 120, "Say where it goes.")

    def __init__(self, *args: Any, book: list[Order], **kwargs: Any) -> None:
        super().__init__(*args, **{"auto_id": "id_corrected_%s", **kwargs})
        self._book = book

    def clean_order(self) -> str:
        number = str(self.cleaned_data["order"]).upper()
        found = next((one for one in self._book if one.order == number), None)
        if found is None:
            raise forms.ValidationError("The book has no such order.")
        if found.status == "shipped":
            raise forms.ValidationError("That order has been shipped.")
        return number

    def event(self) -> Corrected:
        """The correction."""
        return Corrected(self.cleaned_data["order"], self.cleaned_data["address"])


class CarrierForm(forms.Form):
    """What the carrier does."""

    carrier = forms.ChoiceField(
        choices=[(AT_WORK, "Back to work"), (ON_STRIKE, "Go on strike")],
        error_messages={
            "required": "Say what the carrier does.",
            "invalid_choice": f"The carrier is either {AT_WORK} or {ON_STRIKE}.",
        },
    )
