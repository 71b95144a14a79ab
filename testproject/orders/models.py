"""What has left the house."""

from __future__ import annotations

from django.db import models


class Shipment(models.Model):
    """A parcel. One row for each order, written by the event handler."""

    order = models.CharField(max_length=8, unique=True)
    item = models.CharField(max_length=60)
    address = models.CharField(max_length=120)
    shipped_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.order}: {self.item}"
