"""The generated pages are those that the generator makes now."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"


def generator():
    spec = importlib.util.spec_from_file_location("generate_pages", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["zoo.md", "../README.md"])
def test_contract_generated_page_is_up_to_date(page):
    made = generator().PAGES[page]()
    assert (DOCS / page).read_text(encoding="utf-8") == made, (
        "run `python docs/generate.py` and commit the page"
    )
