"""The checker of documents, on small ones: it sees what is too wide or leads nowhere, and nothing else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
WIDE = "x " * 61

Check = Callable[[str], list[str]]


@pytest.fixture
def checker(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(TOOLS))
    yield importlib.import_module("check_docs")
    sys.modules.pop("check_docs", None)


@pytest.fixture
def check(checker: ModuleType, tmp_path: Path) -> Check:
    """Writes a document and gives the offences found in it."""

    def check(text: str) -> list[str]:
        path = tmp_path / "page.md"
        path.write_text(text)
        return list(checker.faults(path, tmp_path))

    return check


@pytest.mark.parametrize(
    "text",
    [
        "x" * 120,
        "µ" * 120,
        f"| {WIDE} |",
        f"  | {WIDE} |",
        f"```\n{WIDE}\n```",
        f"````text\n```\n{WIDE}\n````",
        f"~~~\n```\n{WIDE}\n~~~",
        "[whole](page.md), [top](page.md#page), [top](#page), [elsewhere](https://example.com/a#b)",
        "## What `x` is, in short\n[below](#what-x-is-in-short)",
        "```\n[none](none.md)\n```",
    ],
)
def test_good(check: Check, text: str) -> None:
    assert check(f"# Page\n\n{text}\n") == []


@pytest.mark.parametrize(
    "text", [WIDE[:121], f"- {WIDE}", f"    {WIDE}", f"a | {WIDE}", f"`{WIDE}`"]
)
def test_a_line_that_is_too_wide(check: Check, text: str) -> None:
    assert check(f"# Page\n\n{text}\n") == [
        f"page.md:3: {len(text)} columns, at most 120 are allowed"
    ]


def test_what_comes_after_a_code_block_counts(check: Check) -> None:
    assert check(f"```sh\nls\n```\n{WIDE}\n") == ["page.md:4: 122 columns, at most 120 are allowed"]


@pytest.mark.parametrize(
    "link", ["none.md", "none.md#part", "../page.md", "none/", "page.md#part", "#part"]
)
def test_a_link_that_leads_nowhere(check: Check, link: str) -> None:
    assert check(f"See\n[a page]({link}).\n") == [f"page.md:2: there is no {link}"]


def test_a_heading_in_a_code_block_is_none(check: Check) -> None:
    assert check("```\n# Part\n```\n[part](#part)\n") == ["page.md:4: there is no #part"]


def test_a_link_in_a_table(check: Check) -> None:
    assert check("| [a](none.svg) |\n") == ["page.md:1: there is no none.svg"]


def test_each_public_name_has_one_place_in_the_reference(checker: ModuleType) -> None:
    pages = [".. autoclass:: One\n   :members:\n.. autofunction:: two\n", ".. autoclass:: One\n"]
    assert list(checker.unexplained(["One", "two", "three", "__version__"], pages)) == [
        "docs/reference: One is on 2 pages; give it one `.. auto…::` line",
        "docs/reference: three is on 0 pages; give it one `.. auto…::` line",
    ]


def test_the_public_names_are_read_from_the_source(checker: ModuleType) -> None:
    assert checker.public_names("import x\n__all__ = ['a', 'b']\nc = 1\n") == ["a", "b"]
    assert set(checker.reference_faults()) == set()
