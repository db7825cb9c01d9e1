"""docs/config.md: fresh, complete, its examples valid, its links whole."""

from __future__ import annotations

import re
from typing import Annotated

import pytest
from pydantic import TypeAdapter

from bench.experiment import config_page
from bench.experiment.config import FrontEnd, Mixup, Recipe, SpecAugment
from bench.experiment.config_page import Key, example, sections

KEYS = [(place, key) for place, _, keys in sections() for key in keys]


def test_the_committed_page_is_that_of_the_types() -> None:
    committed = config_page.PATH.read_text(encoding="utf-8")
    assert committed == config_page.text(), "run: python -m bench config-page"


def test_nested_types_are_reached() -> None:
    reached = {section for _, section, _ in sections()}
    assert reached >= {FrontEnd, Recipe, Mixup, SpecAugment}


@pytest.mark.parametrize(("place", "key"), KEYS, ids=lambda part: getattr(part, "name", part))
def test_a_key_has_a_meaning_and_a_valid_example(place: str, key: Key) -> None:
    assert key.field.description
    if key.inside is None:
        TypeAdapter(Annotated[key.field.annotation, key.field]).validate_python(example(key))


def test_links_lead_to_sections() -> None:
    text = config_page.text()
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w-]", "", heading.lower()) for heading in headings}
    assert set(re.findall(r"\(#([^)]+)\)", text)) == anchors
