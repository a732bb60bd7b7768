"""What language models read of the site: on a small project."""

from __future__ import annotations

from pathlib import Path

import pytest

import make_llms

INDEX = """\
# Thing

Does things, and
[others](guide/one.md). More.

```{toctree}
:hidden:
:caption: Guide
Overview <../README>
guide/one
```

```{toctree}
:hidden:
:caption: Reference
reference/index
```

```{toctree}
:caption: The project
```
"""
PAGES = {
    "docs/index.md": INDEX,
    "README.md": "# Read me\n\n![A picture](x.svg)\n\nThe v1.2 of it does this: or that.\n\nMore.\n",
    "docs/guide/one.md": "# One\n\n| a | b |\n\n```sh\nls\n\nps.\n```\n\n`code` first:\n\nSecond.\n",
    "docs/reference/index.md": "# All\n\nNames.\n\n```{toctree}\n:hidden:\nthing\n```\n",
    "docs/reference/thing.md": "# The thing\n\n```{eval-rst}\n.. autoclass:: Thing\n```\n",
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    project = tmp_path / "project"
    for name, text in PAGES.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    texts = tmp_path / "texts" / "docs" / "reference"
    texts.mkdir(parents=True)
    (texts / "thing.txt").write_text("The thing\n*********\n\nclass Thing\n\n   It is one.\n")
    monkeypatch.setattr(make_llms, "ROOT", project)
    monkeypatch.setattr(make_llms, "USE", ("Guide", "Reference"))
    site = tmp_path / "site"
    site.mkdir()
    assert make_llms.main(str(tmp_path / "texts"), str(site)) == 0
    return site


def test_the_list(site: Path) -> None:
    assert (
        (site / "llms.txt").read_text()
        == """\
# Thing

> Does things, and others.

## Guide

- [Read me](README.md): The v1.2 of it does this: or that.
- [One](docs/guide/one.md): `code` first

## Reference

- [All](docs/reference/index.md): Names.
- [The thing](docs/reference/thing.md): class Thing

## The project



## Whole

- [All of the guide, the reference and the manual](llms-full.txt)
"""
    )


def test_the_pages(site: Path) -> None:
    assert (site / "docs/guide/one.md").read_text() == PAGES["docs/guide/one.md"]
    made = (site / "docs/reference/thing.md").read_text()
    assert made == "# The thing\n\nclass Thing\n\n   It is one.\n"


def test_the_whole(site: Path) -> None:
    whole = (site / "llms-full.txt").read_text()
    assert [line for line in whole.splitlines() if line.startswith("# ")] == [
        "# Read me",
        "# One",
        "# All",
        "# The thing",
    ]
