"""Fails for a line of a document (*.md) of more than 120 columns, a link to a file or heading that is not there, a
public name that is on no page of the reference, or on several, and a code block that no test runs.

Tables and fenced code blocks may be wider: a row cannot be split, and code is shown as it is.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import code_blocks
import differences

ROOT = Path(__file__).resolve().parents[1]
MAX_COLUMNS = 120
PLACES = (
    "*.md",
    "docs/**/*.md",
    "examples/**/*.md",
    "benchmarks/**/*.md",
    "src/**/*.md",
    "tests/**/*.md",
)
LINK = re.compile(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"#+ (.*)")
EXPLAINED = re.compile(r"^\.\. auto\w+:: (\w+)$", re.MULTILINE)


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line outside of code blocks."""
    fenced = {number for block in code_blocks.blocks_of(text) for number in block.lines}
    for number, line in enumerate(text.splitlines(), 1):
        if number not in fenced:
            yield number, line


def is_table(line: str) -> bool:
    return line.lstrip().startswith("|")


def anchors(text: str) -> set[str]:
    """What the headings are called in links."""
    titles = (found[1] for _, line in prose(text) if (found := HEADING.match(line)))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def is_missing(link: str, anchor: str, path: Path) -> bool:
    if "://" in link or link.startswith("mailto:"):
        return False
    target = path.parent / link if link else path
    if not target.exists():
        return True
    return bool(anchor) and target.suffix == ".md" and anchor not in anchors(target.read_text())


def faults(path: Path, root: Path = ROOT) -> Iterator[str]:
    name = path.relative_to(root)
    for number, line in prose(path.read_text()):
        if len(line) > MAX_COLUMNS and not is_table(line):
            yield f"{name}:{number}: {len(line)} columns, at most {MAX_COLUMNS} are allowed"
        for link, anchor in LINK.findall(line):
            if is_missing(link, anchor, path):
                yield f"{name}:{number}: there is no {link}{anchor and '#'}{anchor}"


def public_names(source: str) -> list[str]:
    """What `__all__` of a module lists."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    return []


def unexplained(names: list[str], pages: list[str]) -> Iterator[str]:
    """Whatever does not have its one place in the reference."""
    count = Counter(name for page in pages for name in EXPLAINED.findall(page))
    for name in names:
        if count[name] != 1 and not name.startswith("__"):
            yield f"docs/reference: {name} is on {count[name]} pages; give it one `.. auto…::` line"


def reference_faults(root: Path = ROOT) -> Iterator[str]:
    names = public_names((root / "python/cwsandbox/__init__.py").read_text())
    pages = [path.read_text() for path in sorted((root / "docs/reference").glob("*.md"))]
    yield from unexplained(names, pages)


def main() -> int:
    paths = sorted(path for place in PLACES for path in ROOT.glob(place))
    if not paths:
        print("check_docs: no files found", file=sys.stderr)
        return 1
    found = [fault for path in paths for fault in faults(path)]
    found += [*reference_faults(), *code_blocks.faults(paths), *differences.faults()]
    print(
        "\n".join(found)
        or f"documents: {len(paths)} within {MAX_COLUMNS} columns, links lead somewhere, "
        "all names explained, all code run"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
