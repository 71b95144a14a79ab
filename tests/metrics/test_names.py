"""The names of metrics are an interface: what is shown is what is listed, with these types and labels."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

from tests.metrics.names import NAMES
from via_state.metrics import catalog, exposition
from via_state.metrics.declared import CATALOG


def test_the_catalogue_has_these_metrics_and_no_others() -> None:
    catalog.as_markdown()  # imports them all
    assert {one.name: (one.kind, one.labels) for one in CATALOG} == NAMES
    assert len(CATALOG) == len(NAMES)


def test_the_exposition_has_each_of_them_with_its_type() -> None:
    shown = {one.name: one.type for one in text_string_to_metric_families(exposition.page().decode())}
    assert {name: shown.get(name.removesuffix("_total")) for name in NAMES} == {
        name: kind for name, (kind, _) in NAMES.items()
    }


def test_what_is_said_to_be_absent_is() -> None:
    names = {name for one in catalog.ABSENT for name in re.findall(r"via_[a-z_]+(?=`)", one)}
    assert len(names) > 5
    assert not names & NAMES.keys()
    states = {name: value for one in catalog.ABSENT for name, value in re.findall(r'(via_\w+)\{\w+="(\w+)"', one)}
    for one in CATALOG:
        assert not re.search(rf"\b{states.get(one.name, 'held')}\b", one.text), one.name
