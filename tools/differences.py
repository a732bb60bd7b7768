"""The list of differences in docs/migration.md, written from tests/interop/differences.toml.

tools/differences.py          writes it anew
tools/differences.py --check  fails if it is not what would be written

The tests of tests/interop hold the names in that file to what both packages have; those that it names hold the rest.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "tests/interop/differences.toml"
PAGE = "docs/migration.md"
BEGIN, END = "<!-- differences: begin -->\n", "<!-- differences: end -->\n"
OWN = "Our own: "
COLUMNS = 120


def shown(path: str) -> str:
    """A path of the comparison as a reader knows it."""
    if path.startswith(("$ ", "= ")):
        return path[2:]
    if path.endswith(":repr"):
        return f"repr({path.removesuffix(':repr')})"
    return re.sub(r"\((\w+)\)$", r"(\1=…)", path.removeprefix("exceptions/"))


def wrapped(text: str, indent: str = "  ") -> str:
    """A bullet within the width of a page; code is not split."""
    lines = [""]
    for word in re.findall(r"`[^`]*`\S*|\S+", text):
        if len(lines[-1]) + len(word) > COLUMNS - 1:
            lines.append(indent + word)
        else:
            lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines) + "\n"


def bullet(entry: dict[str, Any]) -> str:
    reason = entry["reason"].removeprefix(OWN)
    names = ", ".join(f"`{name}`" for name in dict.fromkeys(map(shown, entry["paths"])))
    return wrapped(f"- {reason[0].upper()}{reason[1:].rstrip('.')}: {names}")


def page_part(found: dict[str, Any]) -> str:
    entries = found["difference"]
    own = [bullet(one) for one in entries if one["reason"].startswith(OWN)]
    changed = [bullet(one) for one in entries if not one["reason"].startswith(OWN)]
    behaviour = [
        wrapped(f"- **{one['what']}** Published: {one['published']} Here: {one['here']}")
        for one in found["behaviour"]
    ]
    return "\n".join(
        [
            "### Beside the published names\n",
            "".join(own),
            "### Names that look different\n",
            "".join(changed),
            "### What behaves differently\n",
            "".join(behaviour),
        ]
    )


def written(page: str, part: str) -> str:
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE} needs the lines {BEGIN.strip()} and {END.strip()}")
    return f"{before}{begin}\n{part}\n{end}{after}"


def missing_tests(found: dict[str, Any], root: Path) -> Iterator[str]:
    for one in found["behaviour"]:
        name, _, function = one["test"].partition("::")
        source = (root / name).read_text() if (root / name).is_file() else ""
        if not re.search(rf"^(async )?def {function}\(", source, re.MULTILINE):
            yield f"{SOURCE}: there is no test {one['test']}"


def faults(root: Path = ROOT) -> Iterator[str]:
    found = tomllib.loads((root / SOURCE).read_text())
    yield from missing_tests(found, root)
    page = (root / PAGE).read_text()
    if written(page, page_part(found)) != page:
        yield f"{PAGE}: does not say what {SOURCE} says; run tools/differences.py"


def main(*options: str) -> int:
    if options == ("--check",):
        told = list(faults())
        print("\n".join(told) or f"{PAGE}: up to date")
        return 1 if told else 0
    page = ROOT / PAGE
    part = page_part(tomllib.loads((ROOT / SOURCE).read_text()))
    page.write_text(written(page.read_text(), part))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
