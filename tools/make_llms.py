"""Writes what language models read of the built site (https://llmstxt.org): tools/make_llms.py TEXTS SITE

`llms.txt` lists the pages, each with its first sentence, in the order of docs/index.md. `llms-full.txt` is the text of
those that explain how the package is used. A page is its Markdown source, except where that has nothing but directives:
then it is what Sphinx's text builder left in TEXTS.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from code_blocks import blocks_of

ROOT = Path(__file__).resolve().parents[1]
INDEX = "docs/index.md"
# How it works, and how it is worked on, is left out of the whole text.
USE = ("Guide", "Cookbook", "Reference", "The daemon's manual")
SENTENCE = re.compile(r"(.+?[.!?])(?:\s|$)", re.DOTALL)
NO_PROSE = "#|!<*-"
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True)
class Page:
    name: str  # its path from the project's root, and in the site
    text: str

    @property
    def title(self) -> str:
        return self.text.partition("\n")[0].removeprefix("# ").strip()

    @property
    def summary(self) -> str:
        """The first sentence, without its links."""
        text = CODE.sub("", self.text)
        paragraphs = (one.strip() for one in text.split("\n\n"))
        prose = next((one for one in paragraphs if one and one[0] not in NO_PROSE), "")
        found = SENTENCE.match(prose)
        return LINK.sub(r"\1", " ".join((found[1] if found else prose).split())).rstrip(":")


def entries(index: Path) -> Iterator[tuple[str, list[str]]]:
    """(Caption, pages) of each toctree of a page; the pages as paths from the project's root."""
    for block in blocks_of(index.read_text()):
        if block.language != "{toctree}":
            continue
        lines = block.text.split("\n")
        caption = next((one.split(": ", 1)[1] for one in lines if one.startswith(":caption:")), "")
        names = [one for one in lines if one and not one.startswith(":")]
        paths = [re.sub(r".*<(.*)>", r"\1", one) + ".md" for one in names]
        yield (
            caption,
            [str((index.parent / path).resolve().relative_to(ROOT)) for path in paths],
        )


def below(name: str) -> Iterator[str]:
    """A page, and those that its own toctrees name."""
    yield name
    for _, names in entries(ROOT / name):
        for one in names:
            yield from below(one)


def page(name: str, texts: Path) -> Page:
    source = (ROOT / name).read_text()
    if "```{eval-rst}" not in source:
        return Page(name, source)
    text = (texts / name).with_suffix(".txt").read_text()
    title, _, rest = text.partition("\n")
    return Page(name, f"# {title}\n\n{rest.lstrip('*=- ').lstrip()}")


def listing(sections: dict[str, list[Page]]) -> str:
    index = Page(INDEX, (ROOT / INDEX).read_text())
    parts = [f"# {index.title}\n\n> {index.summary}\n"]
    for caption, pages in sections.items():
        lines = [f"- [{one.title}]({one.name}): {one.summary}" for one in pages]
        parts.append(f"## {caption}\n\n" + "\n".join(lines) + "\n")
    parts.append("## Whole\n\n- [All of the guide, the reference and the manual](llms-full.txt)\n")
    return "\n".join(parts)


def main(texts: str, site: str) -> int:
    sections = {
        caption: [page(one, Path(texts)) for name in names for one in below(name)]
        for caption, names in entries(ROOT / INDEX)
    }
    for one in (one for pages in sections.values() for one in pages):
        target = Path(site) / one.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(one.text)
    (Path(site) / "llms.txt").write_text(listing(sections))
    whole = [one.text for caption in USE for one in sections[caption]]
    (Path(site) / "llms-full.txt").write_text("\n\n".join(whole))
    print(f"llms.txt: {sum(map(len, sections.values()))} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
