"""Fails for a link of the built site that leads nowhere: tools/check_site.py DIRECTORY

Only what is in the site is looked at. Of links to elsewhere the form is checked, since there may be no network.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

LINKS = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src"}
ELSEWHERE = re.compile(r"https://[\w.-]+(:\d+)?(/\S*)?")
SCHEME = re.compile(r"[a-z][a-z+.-]*:")


@dataclass
class Page(HTMLParser):
    """The links of a page, and the names that links to it may end with."""

    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=lambda: {"", "top"})

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.anchors.update(filter(None, (values.get("id"), values.get("name"))))
        link = values.get(LINKS.get(tag, ""))
        if link:
            self.links.append(link)


@cache
def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text())
    return page


def is_good(link: str, path: Path) -> bool:
    if link.startswith("data:"):
        return True
    if SCHEME.match(link) or link.startswith("//"):
        return bool(ELSEWHERE.fullmatch(link))
    name, anchor = urldefrag(link)
    name = unquote(name.partition("?")[0])
    target = path.parent / name if name else path
    if not target.is_file():
        return False
    return target.suffix != ".html" or unquote(anchor) in read(target).anchors


def faults(root: Path) -> Iterator[str]:
    for path in sorted(root.rglob("*.html")):
        for link in dict.fromkeys(read(path).links):
            if not is_good(link, path):
                yield f"{path.relative_to(root)}: there is no {link}"


def main(directory: str) -> int:
    root = Path(directory)
    pages = sorted(root.rglob("*.html"))
    if not pages:
        print(f"check_site: there are no pages in {root}", file=sys.stderr)
        return 1
    found = list(faults(root))
    count = sum(len(read(path).links) for path in pages)
    print("\n".join(found) or f"site: {count} links of {len(pages)} pages lead somewhere")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
