"""``manage.py demo_admin``: somebody who may sign in to the demo's admin."""

from __future__ import annotations

import secrets
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand

NAME = "admin"


class Command(BaseCommand):
    help = f"Gives the user {NAME!r}, who may do everything, a new password, and prints it."

    def handle(self, *args: Any, **options: Any) -> None:
        user, _ = User.objects.get_or_create(username=NAME)
        user.is_staff = user.is_superuser = user.is_active = True
        password = secrets.token_urlsafe(9)
        user.set_password(password)
        user.save()
        self.stdout.write(password)
