"""Halted keys are listed whatever a visitor's text made of the error of a fold."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from django.test import override_settings

from tests.conftest import POSTGRES_ALIAS
from via_state.bookkeeping.database.halted_keys import RowHaltedKeys
from via_state.bookkeeping.halted_keys import HaltReport
from via_state.models import HaltedKey
from via_state.runtime.worker_threads import database_threads


@pytest.mark.django_db(databases=[POSTGRES_ALIAS], transaction=True)
def test_a_text_that_no_database_takes_hides_no_other_halted_key() -> None:
    prefix = uuid.uuid4().hex
    reports = {"plain": HaltReport("fold", "a sentence", 1), "odd": HaltReport("fold", "nul \x00, half \ud800", 2)}

    async def write() -> None:
        threads = database_threads()
        await RowHaltedKeys(threads).change("pod", {}, reports)
        await threads.close()

    with override_settings(VIA_STATE={"DATABASE": POSTGRES_ALIAS, "PREFIX": prefix}):
        asyncio.run(write())
    found = HaltedKey.objects.using(POSTGRES_ALIAS).filter(prefix=prefix)
    assert {row.key: row.text for row in found} == {"plain": "a sentence", "odd": r"nul \x00, half \ud800"}
