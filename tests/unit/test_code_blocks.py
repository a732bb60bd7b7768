"""Which code blocks of a page are run: on small pages, and tests that name them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import code_blocks
from code_blocks import claims_of, unrun

PAGE = """\
# Page

```python
one()
```

- in a list

  ```sh
  two
  ```

<!-- not run: there is no such machine -->
```python
three()
```

<!-- not run: a comment that is not the line above -->

Text.

````python
```
four()
````

```text
five
```

```{toctree}
six
```
"""


def test_blocks_in_order() -> None:
    found = [(one.line, one.language, one.is_marked) for one in code_blocks.blocks_of(PAGE)]
    assert found == [
        (3, "python", False),
        (9, "sh", False),
        (14, "python", True),
        (22, "python", False),
        (27, "text", False),
        (31, "{toctree}", False),
    ]
    assert [one.text for one in code_blocks.blocks_of(PAGE)][3] == "```\nfour()\n"


@pytest.mark.parametrize(
    ("source", "claims"),
    [
        ('one, two = blocks("page.md", count=2)\n(it,) = blocks("page.md", "sh", count=1)', [2, 1]),
        ('[*blocks("page.md", count=1), *blocks("page.md", count=1)]', [2, 0]),
        ("other.blocks(1)\nblocks", [0, 0]),
    ],
)
def test_what_a_test_claims(source: str, claims: list[int]) -> None:
    found = claims_of(source)
    assert [found["page.md", language] for language in ("python", "sh")] == claims


def test_all_is_run() -> None:
    claims = Counter({("page.md", "python"): 2, ("page.md", "sh"): 1})
    assert list(unrun([("page.md", PAGE)], claims)) == []


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({}, ["page.md:3: 2 blocks of python, of which tests run 0", "page.md:9: 1 blocks of sh"]),
        ({"sh": 1, "python": 1}, ["page.md:3: 2 blocks of python, of which tests run 1"]),
        ({"sh": 1, "python": 3}, ["page.md:3: 2 blocks of python, of which tests run 3"]),
        ({"sh": 1, "python": 2, "json": 1}, ["page.md: tests run 1 blocks of json that it does"]),
    ],
)
def test_some_are_not_run(claims: dict[str, int], told: list[str]) -> None:
    counted = Counter({("page.md", language): count for language, count in claims.items()})
    found = list(unrun([("page.md", PAGE)], counted))
    assert len(found) == len(told)
    for one, start in zip(found, told, strict=True):
        assert one.startswith(start)


def test_a_block_needs_a_language() -> None:
    (told,) = unrun([("page.md", "```\nls\n```\n")], Counter())
    assert told == "page.md:1: a code block without a language; `text` is for output"


def test_a_test_gets_what_it_is_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_blocks, "ROOT", tmp_path)
    (tmp_path / "page.md").write_text(PAGE)
    assert code_blocks.blocks("page.md", count=2) == ["one()\n", "```\nfour()\n"]
    with pytest.raises(ValueError, match=r"page\.md has 2 blocks of python to run, not 3"):
        code_blocks.blocks("page.md", count=3)
