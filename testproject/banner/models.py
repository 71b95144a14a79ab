"""What was told to everybody from the admin."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Notice(models.Model):
    """A line that everybody saw who looked at a page then. Nobody may add one who may not send one."""

    text = models.CharField(max_length=120)
    level = models.CharField(
        max_length=7,
        default="info",
        choices=[(one, one.capitalize()) for one in ("info", "success", "warning", "error")],
    )
    sent_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ("view",)
        permissions: ClassVar = [("send_notice", "Can send a notice to everybody")]

    def __str__(self) -> str:
        return self.text
